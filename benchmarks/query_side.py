"""Whether queries should be turned by a matrix that is trained against the documents' codes (JPQ's idea).

    python benchmarks/query_side.py RUN [--system mnr] [--formats 192a.binary,384.binary] [--crops 10000] [--passes 12]

RUN is a finished run of the judgements. The documents keep their codes. A matrix and a shift, which start as those that
cut the documents, are trained by listwise distillation: the softmax over the scores of codes shall be that over the
scores of whole vectors (Zhan et al. 2021, with distillation in place of judgements), on training queries and words
cropped from training documents, over the best 200 documents by code and the best 50 by whole vectors.

After every third pass, recall@10 on the validation queries is printed, alone and beside keyword search: the difference
to the plain codes, paired by query, with a 95 % interval. Nothing is chosen by it, and no test query is asked.
"""

from __future__ import annotations

import argparse
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from few_judgements import METRIC, RESAMPLES, Bench
from torch.nn import functional

from nestvec.evaluation.ranking import Vectors, code_documents
from nestvec.evaluation.significance import Bootstrap
from nestvec.models.encoder import open_model
from nestvec.models.find import find_model
from nestvec.models.prompts import QUERY
from nestvec.pipeline.rank_points import rank_alone_and_fused
from nestvec.point import VectorFormat
from nestvec.training.crops import crop_queries
from nestvec.vectors.cut import scale_to_unit

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from nestvec.evaluation.ranking import Coded

BATCH, RATE, TEMPERATURE = 128, 1e-3, 0.05
BY_CODE, BY_VECTOR = 200, 50  # candidates of a query
SHOWN = 3  # passes between two measurements


def list_texts(bench: Bench, crops: int) -> list[str]:
    """The training queries, then words cropped from documents that were judged for them."""
    records, train = bench.prepared.records, bench.prepared.task.in_part("train")
    queries = sorted({records.queries[row] for row in np.unique(records.query[train])})
    documents = sorted({records.documents[row] for row in np.unique(records.document[train])})
    drawn = np.random.default_rng(0).choice(len(documents), crops)
    return queries + crop_queries([documents[row] for row in drawn], 0)


def best(scores: torch.Tensor, count: int) -> torch.Tensor:
    """(q, count) rows of the highest scores."""
    return scores.topk(count, dim=1).indices


def measure(bench: Bench, coded: Coded) -> dict[str, NDArray[np.float64]]:
    """`METRIC` of each validation query by its vectors alone, and beside keyword search."""
    legs = rank_alone_and_fused(coded, bench.words, bench.hybrid, bench.catalogue)
    judged = bench.prepared.judgements
    return {
        leg: judged.measure(bench.asked, bench.rows[ranking.rows])[METRIC]
        for leg, ranking in zip(("alone", "fused"), legs, strict=True)
    }


def train_queries(bench: Bench, coded: Coded, asked: Vectors, texts: torch.Tensor, passes: int) -> None:
    """Train the matrix for one format, and print what it gains."""
    before, name = measure(bench, coded), coded.point.format.name
    bootstrap = Bootstrap(len(bench.asked), RESAMPLES, np.random.default_rng(0))
    print(name, "plain", *(f"{leg} {values.mean():.4f}" for leg, values in before.items()), flush=True)
    whole = torch.from_numpy(asked.documents[bench.catalogue.order])
    stored = torch.from_numpy(np.asarray(coded.codec.decode(coded.codes), dtype=np.float32))
    axes, width = coded.codec.axes, asked.queries.shape[1]
    matrix = np.eye(width, dtype=np.float32)[: coded.point.format.dimension] if axes is None else axes.matrix.T
    shift = np.zeros(len(matrix)) if axes is None else -axes.shift
    turn = torch.nn.Linear(width, len(matrix))
    with torch.no_grad():
        turn.weight.copy_(torch.from_numpy(np.ascontiguousarray(matrix)))
        turn.bias.copy_(torch.from_numpy(shift.astype(np.float32)))
        parts = texts.split(512)
        by_code = torch.cat([best(functional.normalize(turn(part)) @ stored.T, BY_CODE) for part in parts])
        candidates = torch.cat([by_code, torch.cat([best(part @ whole.T, BY_VECTOR) for part in parts])], dim=1)
    sharpness = torch.nn.Parameter(torch.tensor(1.0))
    optimizer = torch.optim.Adam([*turn.parameters(), sharpness], lr=RATE)
    steps = passes * -(-len(texts) // BATCH)
    falling = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: min(1, (steps - step) / (steps / 2)))
    order, began = torch.Generator().manual_seed(0), time.monotonic()
    for number in range(1, passes + 1):
        for rows in torch.randperm(len(texts), generator=order).split(BATCH):
            query, found = texts[rows], candidates[rows]
            wanted = torch.bmm(whole[found], query[:, :, None])[:, :, 0] / TEMPERATURE
            scored = torch.bmm(stored[found], functional.normalize(turn(query))[:, :, None])[:, :, 0]
            chances = torch.log_softmax(sharpness * scored / TEMPERATURE, dim=1)
            loss = functional.kl_div(chances, wanted.softmax(dim=1), reduction="batchmean")
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            falling.step()
        if number % SHOWN == 0 or number == passes:
            with torch.no_grad():
                turned = scale_to_unit(turn(torch.from_numpy(asked.queries)).numpy())
            now, told = measure(bench, replace(coded, queries=turned)), []
            for leg, values in now.items():
                gain = bootstrap.interval(values - before[leg])
                told.append(f"{leg} {values.mean():.4f} {gain.value:+.4f} [{gain.low:+.4f}, {gain.high:+.4f}]")
            print(name, f"pass {number}", *told, f"{time.monotonic() - began:.0f} s", flush=True)


def main() -> None:
    """Train and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("run", type=Path)
    parser.add_argument("--system", default="mnr")
    parser.add_argument("--formats", default="384.binary,192a.int2,192a.binary,96a.binary")
    parser.add_argument("--crops", type=int, default=10_000)
    parser.add_argument("--passes", type=int, default=12)
    parser.add_argument("--documents", type=int, default=8000)
    options = parser.parse_args()
    bench = Bench(options.run, options.documents)
    vectors = np.load(options.run / "embeddings" / f"{options.system}.npy", mmap_mode="r")
    topics = len(bench.prepared.topics.ids)
    asked = Vectors(np.array(vectors[:topics])[bench.asked], np.array(vectors[topics:])[bench.rows])
    encoder = open_model(find_model(str(options.run / "models" / options.system)), None, "auto", "auto")
    texts = torch.from_numpy(encoder.encode(list_texts(bench, options.crops), QUERY))
    formats = [VectorFormat.parse(name) for name in options.formats.split(",")]
    for coded in code_documents("", asked, bench.catalogue, formats):
        train_queries(bench, coded, asked, texts, options.passes)


if __name__ == "__main__":
    main()
