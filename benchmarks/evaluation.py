"""sentence-transformers' InformationRetrievalEvaluator beside ours: four dimensions, the same texts and judgements.

    python benchmarks/evaluation.py [--data TABLE.csv] [--queries 2000] [--documents 20000]

Theirs is called once a dimension, with `truncate_dim`; ours encodes once and cuts. First both in full, encoding
included, then both on the same stored vectors, where every figure must agree to 1e-6; otherwise the exit code is 1.
(Of vectors that were encoded apart, rounding can swap neighbours.) Each runs in a process of its own, so that its peak
memory is its own. Without a table, which has the columns of the Home Depot challenge, the built-in sample's texts are
varied until they are enough. The last line is JSON: ratios of theirs to ours.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
from pyarrow import csv

from nestvec.data.sample import read_sample
from nestvec.settings import DEFAULT_MODEL

if TYPE_CHECKING:
    from collections.abc import Callable

DIMENSIONS = (384, 192, 96, 48)
CUTOFFS, DEPTH = (1, 3, 5, 10), 100  # their defaults
TOLERANCE = 1e-6
TEXTS = ("name", "description")  # of the sample's products
LEAST_RELEVANT = 2.5  # grade
SHARED = (
    *(f"{name}@{cutoff}" for name in ("accuracy", "precision", "recall") for cutoff in CUTOFFS),
    *("mrr@10", "ndcg@10", "map@100"),
)
Figures = dict[str, dict[str, float]]


@dataclass(frozen=True)
class Texts:
    """What both are asked.

    Attributes:
        queries: q texts.
        documents: d texts, no two alike; both name the one at place i `f"{i:07}"`, so that ties fall alike.
        relevant: places of the relevant documents of each query, at least one.
    """

    queries: list[str]
    documents: list[str]
    relevant: list[list[int]]


# Texts


def judged(path: str) -> pa.Table:
    """Rows of query, document and grade: of a table like Home Depot's, or the sample's."""
    if not path:
        table = read_sample()
        texts = [f"{name}. {text}" for name, text in zip(*(table[n].to_pylist() for n in TEXTS), strict=True)]
        return pa.table({"query": table["query"], "document": texts, "grade": table["relevance"]})
    columns = ["search_term", "product_title", "relevance"]
    table = csv.read_csv(path, csv.ReadOptions(encoding="latin-1")).select(columns)
    return table.rename_columns(["query", "document", "grade"])


def choose(table: pa.Table, queries: int, documents: int) -> Texts:
    """Draw queries with something relevant, what is relevant to them, and other documents up to the number."""
    rng = np.random.default_rng(7)
    held = list(dict.fromkeys(table["document"].to_pylist()))
    place = {text: at for at, text in enumerate(held)}
    answers: dict[str, set[int]] = {}
    for query, document, grade in zip(*(table[name].to_pylist() for name in table.column_names), strict=True):
        if grade >= LEAST_RELEVANT:
            answers.setdefault(query, set()).add(place[document])
    names = sorted(answers)
    asked = [names[at] for at in rng.permutation(len(names))[:queries]]
    needed = sorted(set().union(*(answers[query] for query in asked)))
    others = np.setdiff1d(np.arange(len(held)), needed)
    kept = [*needed, *rng.permutation(others)[: max(0, documents - len(needed))].tolist()]
    moved = {old: new for new, old in enumerate(kept)}
    relevant = [sorted(moved[at] for at in answers[query]) for query in asked]
    return padded(asked, [held[at] for at in kept], relevant, (queries, documents))


def padded(asked: list[str], held: list[str], relevant: list[list[int]], sizes: tuple[int, int]) -> Texts:
    """Vary the texts there are until they are enough: a copy of a query has the same answers."""
    copies = [f"{asked[at % len(asked)]} {at // len(asked)}" for at in range(len(asked), sizes[0])]
    more = [f"no. {at // len(held)} {held[at % len(held)]}" for at in range(len(held), sizes[1])]
    answers = [relevant[at % len(asked)] for at in range(max(sizes[0], len(asked)))]
    return Texts([*asked, *copies], [*held, *more], answers[: len(asked) + len(copies)])


# The two sides, each in its own process


def ours(texts: Texts, vectors: Callable[[], tuple[np.ndarray, np.ndarray]]) -> Figures:
    """Every figure of each dimension, from one encoding."""
    from nestvec.evaluation.metrics import Judgements
    from nestvec.vectors.cut import prefix
    from nestvec.vectors.topk import top_k

    asked, held = vectors()
    query = np.repeat(np.arange(len(texts.queries)), [len(places) for places in texts.relevant])
    document = np.concatenate([np.array(places, dtype=np.int64) for places in texts.relevant])
    shape = len(texts.queries), len(texts.documents)
    judgements = Judgements(query, document, np.ones(len(query), dtype=np.int64), shape, 1)
    found = {}
    for dimension in DIMENSIONS:
        rows, _ = top_k(prefix(asked, dimension), prefix(held, dimension), DEPTH)
        values = judgements.measure(np.arange(shape[0]), rows, CUTOFFS)
        values["map@100"] = values["map"]
        found[str(dimension)] = {name: float(values[name].mean()) for name in SHARED}
    return found


def theirs(texts: Texts, model: Any, corpus: np.ndarray | None = None) -> Figures:  # noqa: ANN401 - or a stand-in
    """Every figure of each dimension, from an evaluator for each."""
    import torch
    from sentence_transformers.sentence_transformer.evaluation import InformationRetrievalEvaluator
    from sentence_transformers.util import cos_sim

    found = {}
    for dimension in DIMENSIONS:
        evaluator = InformationRetrievalEvaluator(
            {str(at): text for at, text in enumerate(texts.queries)},
            {f"{at:07}": text for at, text in enumerate(texts.documents)},
            {str(at): {f"{place:07}" for place in places} for at, places in enumerate(texts.relevant)},
            truncate_dim=dimension,
            score_functions={"cosine": cos_sim},
            write_csv=False,
        )
        held = None if corpus is None else torch.from_numpy(corpus)[:, :dimension]
        told = evaluator.compute_all_metrics(model, corpus_embeddings=held)["cosine"]
        found[str(dimension)] = {
            f"{name.removesuffix('@k')}@{cutoff}": float(value)
            for name, values in told.items()
            for cutoff, value in values.items()
        }
    return found


class Stored:
    """Stands in for the model where only scoring is timed: it hands out the queries' stored vectors.

    Args:
        vectors: (q, w) float32.
    """

    def __init__(self, vectors: np.ndarray) -> None:
        self.vectors = vectors

    def encode_query(self, texts: list[str], truncate_dim: int, **_: object) -> Any:  # noqa: ANN401
        """All of them, cut, as a tensor."""
        import torch

        if len(texts) != len(self.vectors):
            raise ValueError("queries are asked all at once")
        return torch.from_numpy(self.vectors)[:, :truncate_dim]


def child(folder: Path, side: str, whole: bool) -> None:
    """Run one side, and write its figures, seconds and peak memory to the folder."""
    import sentence_transformers  # noqa: F401 - both have it loaded before the clock starts

    from nestvec.models.encoder import open_model
    from nestvec.models.find import find_model
    from nestvec.models.load import load_model
    from nestvec.models.prompts import DOCUMENT, QUERY
    from nestvec.models.torch_encoder import open_torch

    texts = Texts(**json.loads((folder / "texts.json").read_text(encoding="utf-8")))
    stored = folder / "queries.npy", folder / "documents.npy"
    model = load_model(find_model(DEFAULT_MODEL)) if whole and side == "theirs" else None
    vectors = None if whole else tuple(np.load(path) for path in stored)

    def encoded() -> tuple[np.ndarray, np.ndarray]:
        if vectors is not None:
            return vectors[0], vectors[1]
        folder = find_model(DEFAULT_MODEL)  # encoded as a run does whose trial passes, see `surface_encoder`
        exact, faster = open_torch(folder, None, "float32"), open_model(folder, None, "auto", "auto")
        made = exact.encode(texts.queries, QUERY), faster.encode(texts.documents, DOCUMENT)
        for path, held in zip(stored, made, strict=True):
            np.save(path, held)
        return made

    before, start = peak(), time.perf_counter()
    if side == "ours":
        found = ours(texts, encoded)
    else:
        found = theirs(texts, model) if vectors is None else theirs(texts, Stored(vectors[0]), vectors[1])
    seconds = time.perf_counter() - start
    told = {"seconds": seconds, "peak": peak(), "added": peak() - before, "figures": found}
    (folder / f"{side}.json").write_text(json.dumps(told), encoding="utf-8")


def peak() -> float:
    """MiB that this process has held at most."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10


# The comparison


def measured(folder: Path, side: str, whole: bool) -> dict[str, Any]:
    """What a side's process tells."""
    kind = ["--whole"] if whole else []
    subprocess.run([sys.executable, __file__, "--child", str(folder), "--side", side, *kind], check=True)
    told: dict[str, Any] = json.loads((folder / f"{side}.json").read_text(encoding="utf-8"))
    return told


def compare(folder: Path, whole: bool) -> dict[str, float]:
    """Run both sides, print them, and give the ratios and the largest difference of a figure."""
    mine, other = (measured(folder, side, whole) for side in ("ours", "theirs"))  # ours first: it stores the vectors
    print(
        f"\n{'encoding and scoring' if whole else 'scoring stored vectors':<24} {'s':>9} {'peak MiB':>9} {'added':>9}"
    )
    for name, told in (("theirs", other), ("ours", mine)):
        print(f"{name:<24} {told['seconds']:9.2f} {told['peak']:9.0f} {told['added']:9.0f}")
    pairs = [
        (abs(mine["figures"][dimension][name] - other["figures"][dimension][name]), dimension, name)
        for dimension in mine["figures"]
        for name in SHARED
    ]
    difference, dimension, name = max(pairs)
    print(f"largest difference of {len(pairs)} figures: {difference:.1e} ({name} at {dimension} dimensions)")
    if not whole:
        table(mine["figures"], other["figures"])
    return {
        "speed": other["seconds"] / mine["seconds"],
        "peak": other["peak"] / mine["peak"],
        "added_mib": mine["added"],
        "added_mib_theirs": other["added"],
        "largest_difference": difference,
    }


def table(mine: Figures, other: Figures) -> None:
    """Print the main figures, theirs above ours."""
    names = ("recall@10", "mrr@10", "ndcg@10", "accuracy@1", "precision@5", "map@100")
    print(f"\n{'':<12} " + " ".join(f"{name:>12}" for name in names))
    for dimension in mine:
        for side, figures in (("theirs", other), ("ours", mine)):
            shown = " ".join(f"{figures[dimension][name]:12.7f}" for name in names)
            print(f"{dimension:>4} {side:<7} {shown}")


def main() -> None:
    """Measure both evaluators, print their times, memory and figures, and end with a line of JSON."""
    options = parsed()
    if options.child:
        child(Path(options.child), options.side, options.whole)
        return
    texts = choose(judged(options.data), options.queries, options.documents)
    letters = [float(np.mean([len(text) for text in side])) for side in (texts.queries, texts.documents)]
    print(
        f"{len(texts.queries):,} queries of {letters[0]:.0f} characters, {len(texts.documents):,} documents of "
        f"{letters[1]:.0f}, {sum(map(len, texts.relevant)):,} relevant; dimensions {', '.join(map(str, DIMENSIONS))}"
    )
    with tempfile.TemporaryDirectory(prefix="nestvec-evaluation-") as name:
        folder = Path(name)
        (folder / "texts.json").write_text(json.dumps(vars(texts)), encoding="utf-8")
        whole, scoring = compare(folder, whole=True), compare(folder, whole=False)
    print(f"\nas fast as theirs: {whole['speed']:.1f} times in full, {scoring['speed']:.1f} times in scoring")
    sizes = {"queries": len(texts.queries), "documents": len(texts.documents)}
    print(json.dumps({**sizes, "whole": whole, "scoring": scoring}))
    sys.exit(scoring["largest_difference"] > TOLERANCE)


def parsed() -> argparse.Namespace:
    """What was typed."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--data", default="", help="a table with search_term, product_title and relevance")
    parser.add_argument("--queries", type=int, default=2000)
    parser.add_argument("--documents", type=int, default=20_000)
    parser.add_argument("--child", default="", help=argparse.SUPPRESS)
    parser.add_argument("--side", default="", help=argparse.SUPPRESS)
    parser.add_argument("--whole", action="store_true", help=argparse.SUPPRESS)
    return parser.parse_args()


if __name__ == "__main__":
    main()
