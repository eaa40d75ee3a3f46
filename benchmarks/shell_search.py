"""`nestvec search` from the shell: by the graph beside the index, and by PyTorch where the graph is taken away.

    python benchmarks/shell_search.py --run DIR [--turns 5] [--query "steel hammer"] [--before SRC]

Two copies of the run are asked turn by turn, one with the graph and one without, or with `--before` by the source
folder of another nestvec. A run without an index gets one, of its widest vectors. The first search of each copy is the
cold one: its files were just written, and nothing of them is open. Seconds are of the whole command, and of the
processors for all its threads; a ratio is of both ways in one turn, and the median over turns is what counts, because
others disturb a machine.

Then up to 500 queries of the run are asked both ways in this process: how many find the same ten ids in the same order,
how far scores and vectors are apart. The last line is JSON.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from nestvec.indexing.index import build_index, is_built, open_index
from nestvec.indexing.index_query import IndexQuery
from nestvec.indexing.index_settings import FUSED, VECTORS
from nestvec.indexing.query_encoder import keep_graph, open_query_encoder
from nestvec.models.prompts import QUERY
from nestvec.progress import Silent
from nestvec.runs.run import load_run
from nestvec.settings import CUTOFF

WAYS = ("graph", "torch")
QUERIES = 500  # asked both ways, at the most


def make_copies(run: Path, folder: Path) -> dict[str, Path]:
    """A copy of a run for each way, with an index; the graph is in one of them alone."""
    copy = Path(shutil.copytree(run, folder / "graph"))
    if is_built(copy):
        with open_index(copy) as index:
            keep_graph(index.selection.files, Silent())
    else:
        system = next(name for name, point in load_run(copy).full_width.items() if point.dimension)
        build_index(copy, system=system).close()
    without = Path(shutil.copytree(copy, folder / "torch", ignore=shutil.ignore_patterns("graphs")))
    return {"graph": copy, "torch": without}


def search(run: Path, query: str, source: Path | None) -> tuple[float, float]:
    """Wall and processor seconds of one command."""
    places = {} if source is None else {"PYTHONPATH": str(source)}
    began, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN)
    command = [sys.executable, "-m", "nestvec", "search", str(run), query, "--json"]
    subprocess.run(command, check=True, capture_output=True, env=os.environ | places)
    wall, after = time.perf_counter() - began, resource.getrusage(resource.RUSAGE_CHILDREN)
    return wall, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def time_commands(copies: dict[str, Path], options: argparse.Namespace) -> dict[str, Any]:
    """Print a line for each turn; the medians of the warm turns, and the cold one."""
    taken: dict[str, list[tuple[float, float]]] = {way: [] for way in WAYS}
    print(f"{'':8}" + "".join(f"{f'{way} s':>10}{'of work':>9}" for way in WAYS) + f"{'ratio':>9}{'of work':>9}")
    for turn in range(options.turns + 1):
        for way in WAYS if turn % 2 else reversed(WAYS):
            taken[way].append(search(copies[way], options.query, options.before if way == "torch" else None))
        (graph, graph_work), (torch, torch_work) = (taken[way][-1] for way in WAYS)
        seconds = f"{graph:>10.2f}{graph_work:>9.2f}{torch:>10.2f}{torch_work:>9.2f}"
        ratios = f"{torch / graph:>9.1f}{torch_work / graph_work:>9.1f}"
        print(f"{'warm' if turn else 'cold':8}{seconds}{ratios}", flush=True)
    cold, *warm = zip(taken["graph"], taken["torch"], strict=True)
    return {
        "cold_seconds": {way: cold[number][0] for number, way in enumerate(WAYS)},
        "warm_seconds": {way: median(taken[way][turn][0] for turn in range(1, len(taken[way]))) for way in WAYS},
        "warm_work": {way: median(taken[way][turn][1] for turn in range(1, len(taken[way]))) for way in WAYS},
        "ratio": median(torch[0] / graph[0] for graph, torch in warm),
        "ratio_of_work": median(torch[1] / graph[1] for graph, torch in warm),
    }


def compare(copies: dict[str, Path]) -> dict[str, Any]:
    """What both ways find for the run's queries."""
    hits, vectors = {}, {}
    for way, run in copies.items():
        with open_index(run) as index:
            about, queries = index.about, index.selection.run.queries.texts[:QUERIES]
            encoder, mode = open_query_encoder(index.selection.files), FUSED if index.about.fuses else VECTORS
            vectors[way] = np.concatenate([encoder.encode([query], QUERY) for query in queries])
            hits[way] = index.answer(IndexQuery(about, queries, vectors[way], mode, CUTOFF)).hits
    pairs = list(zip(hits["graph"], hits["torch"], strict=True))
    scores = [abs(a.score - b.score) for one, other in pairs for a, b in zip(one, other, strict=True)]
    return {
        "queries": len(pairs),
        "same_ids": sum([hit.id for hit in one] == [hit.id for hit in other] for one, other in pairs),
        "score_apart": max(scores),
        "vectors_apart": float(np.abs(vectors["graph"] - vectors["torch"]).max()),
    }


def main() -> None:
    """Time the command with the graph and without, compare their hits, and end with a line of JSON."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--run", type=Path, required=True, help="the folder of a finished run")
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument("--query", default="steel hammer")
    parser.add_argument("--before", type=Path, help="the src folder of a nestvec to compare with")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="nestvec-shell-") as folder:
        copies = make_copies(options.run, Path(folder))
        found = time_commands(copies, options) | compare(copies)
    print(json.dumps(found))
    sys.exit(found["same_ids"] < found["queries"])


if __name__ == "__main__":
    main()
