"""Ten thousand inputs and a few bombs through the readers: each must load or end with one line within 10 s.

    python benchmarks/fuzz.py [COUNT] [SEED]

Half of them are broken at random. Of the others it is known what is right: stray quotes, delimiters, encodings, odd
ids and qrels in many forms. These must give exactly their rows, or be refused where that is right, too.

What gets through is kept in a folder named at the end; put it into tests/data/failed_once with the mending commit.
"""

from __future__ import annotations

import json
import shutil
import sys
import tempfile
import time
import traceback
from collections import Counter
from functools import partial
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))
from counted import Counted, WrongResultError, counted_inputs, counted_outcome
from mutations import LONGEST, at_most, broken_inputs, load_outcome, make_bombs

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


def inputs(count: int, seed: int) -> Iterator[tuple[str, Callable[[Path], str]]]:
    """A name and what becomes of the input in a folder."""

    def reads_bytes(name: str, content: bytes, folder: Path) -> str:
        path = folder / name
        path.write_bytes(content)
        return load_outcome(path)

    def reads_counted(made: Counted, folder: Path) -> str:
        with at_most(LONGEST):
            return counted_outcome(folder, made)

    for name, content in chain(broken_inputs(seed, count - count // 2), make_bombs()):
        yield name, partial(reads_bytes, name, content)
    for name, made in counted_inputs(seed, count // 2):
        yield name, partial(reads_counted, made)


def main() -> None:
    """Run and print."""
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 10_000
    seed = int(sys.argv[2]) if len(sys.argv) > 2 else 1
    kept = Path(tempfile.mkdtemp(prefix="nestvec-fuzz-"))
    tally: Counter[str] = Counter({"got through": 0, "wrong": 0})
    slowest = (0.0, "")
    for number, (name, read) in enumerate(inputs(count, seed)):
        folder = kept / name
        folder.mkdir()
        start = time.perf_counter()
        try:
            result = read(folder)
        except BaseException as error:
            print(f"{name}: {type(error).__name__}: {error}")
            traceback.print_exc(limit=-4)
            tally["wrong" if isinstance(error, WrongResultError) else "got through"] += 1
            continue
        slowest = max(slowest, (time.perf_counter() - start, name))
        tally["loaded" if result == "loaded" else "refused"] += 1
        shutil.rmtree(folder)
        if number % 1000 == 999:
            print(f"{number + 1} inputs: {dict(tally)}, slowest {slowest[0]:.2f} s", flush=True)
    print(f"slowest: {slowest[1]} in {slowest[0]:.2f} s; what got through: {kept}")
    print(json.dumps({"inputs": sum(tally.values()), **tally, "slowest_s": round(slowest[0], 2)}))


if __name__ == "__main__":
    main()
