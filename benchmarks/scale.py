"""A million documents: `top_k` over a memory-mapped file beside faiss' exact search of the same numbers.

    python benchmarks/scale.py [--documents 1000000] [--queries 2000] [--turns 3]

At 384 and at 48 dimensions, in float32 and as int8 codes. faiss holds float32 vectors in memory and in int8 what our
codes decode to; its own 8-bit codes (QT_8bit, which round otherwise) are timed, too. Its time is that of the search
alone. The best 100 must be the same but for neighbours whose scores rounding cannot part; otherwise the exit code is 1.
Each search runs in a process of its own, by turns; memory is what it adds to its own, without the mapped file. The last
line is JSON: seconds of ours over those of faiss, by search.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import faiss
import numpy as np

from nestvec.vectors.codecs import Int8
from nestvec.vectors.topk import top_k

if TYPE_CHECKING:
    from collections.abc import Callable

WIDTHS = (384, 48)
K = 100
STEP = 50_000  # documents made at a time
TOPICS = 2000
NEAR = 1e-5  # scores that a float32 product cannot part
SIDES = ("ours", "faiss")
Found = tuple[np.ndarray, np.ndarray]


def make(folder: Path, width: int, documents: int, queries: int) -> None:
    """Unit vectors around topics, and queries near some of them, as files; and the documents' int8 codes."""
    rng = np.random.default_rng(width)
    topics = rng.standard_normal((TOPICS, width), dtype=np.float32)

    def drawn(size: int) -> np.ndarray:
        vectors = topics[rng.integers(0, TOPICS, size)] + rng.standard_normal((size, width), dtype=np.float32)
        unit: np.ndarray = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
        return unit

    np.save(folder / f"queries-{width}.npy", drawn(queries))
    held = np.lib.format.open_memmap(folder / f"float32-{width}.npy", "w+", np.float32, (documents, width))
    for first in range(0, documents, STEP):
        held[first : first + STEP] = drawn(len(held[first : first + STEP]))
    codec = Int8.fit(held)
    np.save(folder / f"scale-{width}.npy", codec.scale)
    codes = np.lib.format.open_memmap(folder / f"int8-{width}.npy", "w+", np.int8, (documents, width))
    for first in range(0, documents, STEP):
        codes[first : first + STEP] = codec.encode(held[first : first + STEP])
    held.flush()
    codes.flush()


# A search in its own process


class Memory:
    """The most anonymous memory that this process held while it ran: the mapped file doesn't count."""

    def __init__(self) -> None:
        self.most = self.start = self.now()
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    @staticmethod
    def now() -> float:
        """MiB."""
        lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith("RssAnon")) / 2**10

    def _watch(self) -> None:
        while not self._done.wait(0.01):
            self.most = max(self.most, self.now())

    def __enter__(self) -> Memory:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._thread.join()


def child(folder: Path, side: str, precision: str, width: int) -> None:
    """Search, and write what was found, the seconds and the memory to the folder."""
    queries = np.load(folder / f"queries-{width}.npy")
    codes = np.load(folder / f"{precision.removesuffix('-own')}-{width}.npy", mmap_mode="r")
    codec = Int8(np.load(folder / f"scale-{width}.npy"))
    decode = codec.decode if precision == "int8" else None
    for first in range(0, len(codes), STEP):
        codes[first : first + STEP].max()  # so that neither waits for the disk
    top_k(queries[:16], codes[:1000], K, decode)  # wakes the threads
    with Memory() as memory:
        search = (
            (lambda: top_k(queries, codes, K, decode)) if side == "ours" else index(codes, codec, precision)(queries)
        )
        start = time.perf_counter()
        rows, scores = search()
        seconds = time.perf_counter() - start
    np.savez(folder / f"{side}.npz", rows=rows, scores=scores)
    told = {"seconds": seconds, "added": memory.most - memory.start}
    (folder / f"{side}.json").write_text(json.dumps(told), encoding="utf-8")


def index(codes: np.ndarray, codec: Int8, precision: str) -> Callable[[np.ndarray], Callable[[], Found]]:
    """Faiss' index over the documents, ready to be asked."""
    width = codes.shape[1]
    built = faiss.IndexFlatIP(width)
    if precision == "int8-own":
        built = faiss.IndexScalarQuantizer(width, faiss.ScalarQuantizer.QT_8bit, faiss.METRIC_INNER_PRODUCT)
        built.train(codec.decode(codes[:STEP]))
    for first in range(0, len(codes), STEP):
        part = codes[first : first + STEP]
        built.add(np.ascontiguousarray(part if precision == "float32" else codec.decode(part), dtype=np.float32))

    def ask(queries: np.ndarray) -> Callable[[], Found]:
        return lambda: built.search(queries, K)[::-1]

    return ask


# The comparison


def measured(folder: Path, side: str, precision: str, width: int) -> dict[str, Any]:
    """What one search tells."""
    told = ["--child", str(folder), "--side", side, "--precision", precision, "--width", str(width)]
    subprocess.run([sys.executable, __file__, *told], check=True)
    found: dict[str, Any] = json.loads((folder / f"{side}.json").read_text(encoding="utf-8"))
    return found


def agree(folder: Path) -> tuple[float, float]:
    """Share of places with the same document, and the largest difference of scores at the others."""
    (mine, scores), (other, told) = (
        (held["rows"], held["scores"]) for held in (np.load(folder / f"{side}.npz") for side in SIDES)
    )
    same = mine == other
    return float(same.mean()), float(np.abs(scores - told)[~same].max(initial=0))


def compare(folder: Path, precision: str, width: int, turns: int) -> dict[str, float]:
    """Take turns, print the medians, and give them."""
    found: dict[str, list[dict[str, Any]]] = {side: [] for side in SIDES}
    for turn in range(turns):
        for side in SIDES if turn % 2 else SIDES[::-1]:
            found[side].append(measured(folder, side, precision, width))
    mine, other = (float(np.median([told["seconds"] for told in found[side]])) for side in SIDES)
    added, theirs = (max(told["added"] for told in found[side]) for side in SIDES)
    same, apart = agree(folder)
    print(
        f"{width:>4} {precision:<8} {mine:9.2f} {other:9.2f} {mine / other:7.2f} {added:9.0f} {theirs:9.0f} "
        f"{same:10.4%} {apart:10.1e}"
    )
    return {
        "ours_s": mine,
        "faiss_s": other,
        "ratio": mine / other,
        "added_mib": added,
        "added_mib_faiss": theirs,
        "same": same,
        "apart": apart,
    }


def main() -> None:
    """Time our exact search and faiss's by turns, and end with a line of JSON."""
    options = parsed()
    if options.child:
        child(Path(options.child), options.side, options.precision, options.width)
        return
    threads = faiss.omp_get_max_threads()
    print(
        f"{options.documents:,} documents, {options.queries:,} queries, the best {K}; faiss {faiss.__version__}, "
        f"{threads} threads on {len(os.sched_getaffinity(0))} processors, medians of {options.turns} turns"
    )
    heads = ("ours s", "faiss s", "ratio", "MiB", "faiss MiB", "same", "apart")
    print(f"{'':<13} " + " ".join(f"{head:>{size}}" for head, size in zip(heads, (9, 9, 7, 9, 9, 10, 10), strict=True)))
    found: dict[str, dict[str, float]] = {}
    with tempfile.TemporaryDirectory(prefix="nestvec-scale-") as name:
        folder = Path(name)
        for width in WIDTHS:
            make(folder, width, options.documents, options.queries)
            for precision in ("float32", "int8"):
                found[f"{precision}-{width}"] = compare(folder, precision, width, options.turns)
            own = measured(folder, "faiss", "int8-own", width)
            found[f"int8-{width}"] |= {"own_s": own["seconds"], "own_added_mib": own["added"]}
            print(f"{width:>4} faiss' own 8 bits    {own['seconds']:9.2f} {'':>17} {own['added']:9.0f}")
            for path in folder.iterdir():
                path.unlink()
    ratios = {search: round(told["ratio"], 3) for search, told in found.items()}
    print(json.dumps({"documents": options.documents, "queries": options.queries, "ratio": ratios, "searches": found}))
    sys.exit(any(told["apart"] > NEAR for told in found.values()))


def parsed() -> argparse.Namespace:
    """What was typed."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--documents", type=int, default=1_000_000)
    parser.add_argument("--queries", type=int, default=2000)
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--child", default="", help=argparse.SUPPRESS)
    parser.add_argument("--side", default="", help=argparse.SUPPRESS)
    parser.add_argument("--precision", default="", help=argparse.SUPPRESS)
    parser.add_argument("--width", type=int, default=0, help=argparse.SUPPRESS)
    return parser.parse_args()


if __name__ == "__main__":
    main()
