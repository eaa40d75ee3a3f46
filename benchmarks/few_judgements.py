"""What a team with few judged queries should train: each way to train, by how many training queries it has.

    python benchmarks/few_judgements.py RUN [--sizes 300,1000] [--seeds 0,1,2] [--ways mnr] [--out few.jsonl]

RUN is a finished run of the judgements with the trained system `mnr`. Its split, its model, its keyword search and its
weights of the words are used for all, so that trainings differ in nothing but what they learn from. The ways are the
pretrained model as it is, `adapted` (crops of the training split's documents, no judgements), `mnr` from the pretrained
model, `adapted-mnr` from the adapted one, `mnr-no-dropout`, and `graded` whole and with each of its parts off (the sum
over widths; documents judged low as negatives; documents just below the threshold as positives), without mixing. Of
each size, a seed draws the queries, smaller draws being parts of larger ones, the crops, and dropout.

Measured on the validation queries, in float32 and as one bit a number, alone and beside keyword search, against the
documents judged for them and `--documents` others. Each training is appended to --out when it is done, and not done
again. Differences are paired by query over all seeds, with 95 % bootstrap intervals. The last line is JSON.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import tempfile
import time
import tomllib
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any
from unittest import mock

import numpy as np

from nestvec.evaluation.ranking import Vectors, ask_words, code_documents
from nestvec.evaluation.significance import Bootstrap
from nestvec.evaluation.surface import Catalogue
from nestvec.lexical.bm25 import Bm25
from nestvec.lexical.hybrid_file import read_hybrid
from nestvec.models.encoder import open_model
from nestvec.models.find import find_model
from nestvec.models.load import load_model, load_weights, save_model
from nestvec.models.prompts import DOCUMENT, QUERY
from nestvec.pipeline.inputs import Prepared, prepare
from nestvec.pipeline.rank_points import rank_alone_and_fused
from nestvec.point import VectorFormat
from nestvec.settings import Settings
from nestvec.training.examples import TrainingData
from nestvec.training.job import make_job
from nestvec.training.train import train
from nestvec.tuning.trial_data import take_query_share

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray
    from sentence_transformers import SentenceTransformer

METRIC = "recall@10"
FORMATS = (VectorFormat(384, "float32"), VectorFormat(384, "binary"))
RESAMPLES = 10_000
PRETRAINED, ADAPTED, MNR, BOTH, NO_DROPOUT = ("pretrained", "adapted", "mnr", "adapted-mnr", "mnr-no-dropout")
GRADED, ONE_WIDTH, NO_LOW, RELEVANT_ONLY = ("graded", "graded-one-width", "graded-no-low", "graded-relevant-only")
WAYS = (PRETRAINED, ADAPTED, MNR, BOTH, NO_DROPOUT, GRADED, ONE_WIDTH, NO_LOW, RELEVANT_ONLY)


class Bench:
    """The input of a run, and what measures a model on its validation queries.

    Args:
        run: the folder of the run.
        documents: how many that nobody judged for them are searched beside.
    """

    def __init__(self, run: Path, documents: int) -> None:
        config = tomllib.loads((run / "config.toml").read_text(encoding="utf-8"))
        given = {name: value for name, value in config.items() if not isinstance(value, dict)}
        self.prepared = prepare(Settings.from_flat(given))
        self.hybrid, whole, task = read_hybrid(run / "hybrid.json"), self.prepared.catalogue, self.prepared.task
        self.asked = np.flatnonzero(self.prepared.topics.splits == "validation")
        judged = np.unique(task.document[np.isin(task.topic, self.asked)])
        others = np.setdiff1d(np.arange(len(whole.ids)), judged)
        drawn = np.random.default_rng(0).choice(others, min(documents, len(others)), replace=False)
        self.rows = np.sort(np.concatenate([judged, drawn]))
        picked = self.rows.tolist()
        self.catalogue = Catalogue([whole.ids[row] for row in picked], [whole.texts[row] for row in picked], None)
        self.queries = [task.texts[row] for row in self.asked.tolist()]
        texts = [self.catalogue.texts[row] for row in self.catalogue.order]
        self.words = ask_words(Bm25.of(texts, self.hybrid.lexical), self.queries, self.catalogue)

    def measure(self, model: SentenceTransformer) -> dict[str, list[float]]:
        """Values of `METRIC` by format and leg, one for each validation query."""
        with tempfile.TemporaryDirectory() as held:
            save_model(model, Path(held) / "model", {})
            folder = find_model(str(Path(held) / "model"))
            queries = open_model(folder, None, "torch", "float32").encode(self.queries, QUERY)
            documents = open_model(folder, None, "auto", "auto").encode(self.catalogue.texts, DOCUMENT)
        found = {}
        for coded in code_documents("", Vectors(queries, documents), self.catalogue, FORMATS):
            legs = rank_alone_and_fused(coded, self.words, self.hybrid, self.catalogue)
            for leg, ranking in zip(("alone", "fused"), legs, strict=True):
                measured = self.prepared.judgements.measure(self.asked, self.rows[ranking.rows])
                found[f"{coded.point.format.name} {leg}"] = [round(float(value), 6) for value in measured[METRIC]]
        return found


@contextlib.contextmanager
def without_part(way: str) -> Iterator[None]:
    """Switch off the part of `graded` that a way names and that no option switches off."""

    def is_relevant(gain: NDArray[np.int64], relevant_from: int) -> NDArray[np.bool_]:
        return gain >= relevant_from

    def is_never(gain: NDArray[np.int64], relevant_from: int) -> NDArray[np.bool_]:
        del relevant_from
        return np.zeros(len(gain), dtype=bool)

    with contextlib.ExitStack() as stack:
        if way == RELEVANT_ONLY:
            stack.enter_context(mock.patch("nestvec.training.examples.worth_finding", is_relevant))
            stack.enter_context(mock.patch("nestvec.training.losses.worth_finding", is_relevant))
        if way == NO_LOW:
            stack.enter_context(mock.patch("nestvec.training.examples.clearly_not", is_never))
        yield


def train_way(
    prepared: Prepared, way: str, share: float, seed: int, adapted: Path | None
) -> tuple[SentenceTransformer, int]:
    """Train in one way on a share of the training queries; returns the model and how many queries there were."""
    model = load_model(prepared.model)
    if way == PRETRAINED:
        return model, 0
    settings = prepared.settings
    training = replace(settings.training, dropout=0.0 if way == NO_DROPOUT else settings.training.dropout)
    training = replace(training, batch_size=None, learning_rate=None, epochs=1)
    if way == ONE_WIDTH:
        training = replace(training, dimension_weights=(1.0, *[0.0] * (len(prepared.dimensions) - 1)))
    settings, task, queries = replace(settings, seed=seed, training=training), prepared.task, 0
    settings = replace(settings, graded=replace(settings.graded, mixing=(1.0,)))
    if way != ADAPTED:
        task, queries = take_query_share(prepared.records, task, share, seed)
    if way == BOTH and adapted is not None:
        load_weights(model, adapted)
    data = TrainingData.of(prepared.records, prepared.grades, task.learning)
    system = ADAPTED if way == ADAPTED else GRADED if way.startswith(GRADED) else MNR
    with tempfile.TemporaryDirectory() as held, without_part(way):
        job = make_job(model, system, data, settings, prepared.dimensions)
        train(model, replace(job, validation=None), Path(held) / "checkpoints", Path(held) / "logs", lambda _: None)
    return model, queries


def list_trainings(ways: list[str], sizes: list[str], seeds: list[int]) -> list[tuple[str, str, int]]:
    """Way, size and seed of all trainings, a seed's before the next one's; those that need no queries have no size."""
    found = [(PRETRAINED, "", 0)]
    for seed in seeds:
        found += [(ADAPTED, "", seed)] if {ADAPTED, BOTH} & set(ways) else []
        found += [(way, size, seed) for size in sizes for way in WAYS[2:] if way in ways]
    return found


def show(done: dict[tuple[str, str, int], dict[str, Any]]) -> dict[str, Any]:
    """Print a line per way and size; returns means, and differences to the pretrained model, over all seeds."""
    told: dict[str, Any] = {}
    before = done[PRETRAINED, "", 0]["values"]
    bootstrap = Bootstrap(len(next(iter(before.values()))), RESAMPLES, np.random.default_rng(0))
    for way, size in dict.fromkeys((way, size) for way, size, _ in done):
        same = [one for (other, of, _), one in done.items() if (other, of) == (way, size)]
        line = {}
        for name, base in before.items():
            mean = np.mean([one["values"][name] for one in same], axis=0)
            gain = bootstrap.interval(mean - np.array(base))
            line[name] = {"mean": float(mean.mean()), "gain": [gain.value, gain.low, gain.high]}
        told[f"{way} {size}".strip()] = {"seeds": len(same), "queries": same[0]["queries"], **line}
        cells = "  ".join(f"{name} {entry['mean']:.4f} ({entry['gain'][0]:+.4f})" for name, entry in line.items())
        print(f"{way:<20}{size:>6} {len(same)} seeds  {cells}")
    return told


def main() -> None:
    """Train what is not done yet, then print the table and JSON."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("run", type=Path)
    parser.add_argument("--sizes", default="100,300,1000,3000,all")
    parser.add_argument("--seeds", default="0,1,2")
    parser.add_argument("--ways", default=",".join(WAYS), help="separated by commas: " + ", ".join(WAYS))
    parser.add_argument("--documents", type=int, default=8000)
    parser.add_argument("--out", type=Path, default=Path("few.jsonl"))
    options = parser.parse_args()
    bench = Bench(options.run, options.documents)
    prepared = bench.prepared
    whole = len(np.unique(prepared.records.query[prepared.task.in_part("train")]))
    lines = options.out.read_text(encoding="utf-8").splitlines() if options.out.is_file() else []
    done = {(one["way"], one["size"], one["seed"]): one for one in map(json.loads, lines)}
    adapted = options.out.with_suffix(".adapted")
    print(f"{len(bench.asked):,} validation queries, {len(bench.rows):,} documents, {whole:,} training queries")
    seeds = [int(seed) for seed in options.seeds.split(",")]
    for way, size, seed in list_trainings(options.ways.split(","), options.sizes.split(","), seeds):
        kept = adapted / str(seed)
        if (way, size, seed) in done and (way != ADAPTED or kept.is_dir()):
            continue
        began, share = time.monotonic(), 1.0 if size in ("", "all") else int(size) / whole
        model, queries = train_way(prepared, way, share, seed, kept)
        if way == ADAPTED:
            save_model(model, kept, {})
        one = {"way": way, "size": size, "seed": seed, "queries": queries, "values": bench.measure(model)}
        done[way, size, seed] = one
        with options.out.open("a", encoding="utf-8") as stream:
            stream.write(json.dumps(one) + "\n")
        means = "  ".join(f"{name} {np.mean(values):.4f}" for name, values in one["values"].items())
        print(f"{way} {size} seed {seed}: {queries:,} queries, {time.monotonic() - began:.0f} s: {means}", flush=True)
    print(json.dumps(show(done)))


if __name__ == "__main__":
    main()
