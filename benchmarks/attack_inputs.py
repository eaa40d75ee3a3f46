"""Attempts to bring a reader down: bombs, broken files, and files whose right rows are known.

A bomb would take far more memory or time than its size says; each is read in a process of its own, whose peak memory
and seconds are printed. Half of the other files are broken at random: each must load or end with one line. Of the rest
it is known what is right: stray quotes, delimiters, encodings, odd ids, qrels in many forms, and Parquet of every type
of text and number. These must give exactly their rows, or be refused where that is right, too.

    python benchmarks/attack.py --parts inputs [--effort 1.0]    10,000 files and all bombs
    python benchmarks/attack_inputs.py [--source DIR]            the bombs alone, by the nestvec of another folder

What gets through is kept in a folder that is named; put it into tests/data/failed_once with the mending commit.
"""

from __future__ import annotations

import argparse
import multiprocessing
import random
import shutil
import sys
import tempfile
import traceback
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from _outcome import Outcome

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))
from bombs import BOMBS, LOADED, Bomb, Reading, read_bomb
from counted import counted_inputs, counted_outcome
from mutations import LONGEST, at_most, broken_inputs, load_outcome

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from multiprocessing.connection import Connection

CONTEXT = multiprocessing.get_context("fork")
FILES = 10_000
MOST_MEMORY = 1.0  # GiB that the process of a bomb may take; its libraries alone take a tenth of that
MOST_SECONDS = 120
_FEWEST = 5  # bombs, however small the effort


def attack(run: Path, folder: Path, effort: float, seed: int) -> Outcome:
    """Read bombs, broken files and counted ones; the run is of no use."""
    del run
    outcome = Outcome("inputs")
    names = list(BOMBS)
    random.Random(seed).shuffle(names)
    for name in names[: max(_FEWEST, round(effort * len(names)))]:
        found, problem = explode(name, folder / "bomb")
        outcome.judge(name, problem)
        outcome.figures[name] = {"peak_gib": round(found.peak, 2), "seconds": round(found.seconds, 1)}
    kept = Path(tempfile.mkdtemp(prefix="nestvec-inputs-"))
    for name, read in make_files(round(effort * FILES), seed):
        place = kept / name
        place.mkdir()
        problem = judge_reading(read, place)
        outcome.judge(f"{kept}/{name}", problem)
        if problem is None:
            shutil.rmtree(place)
    return outcome


def explode(name: str, folder: Path, source: Path | None = None) -> tuple[Reading, str | None]:
    """Read a bomb and print what it took; the problem, if there is one."""
    bomb = BOMBS[name]()
    bomb.write(folder)
    found = read_bomb(folder, MOST_SECONDS, source)
    shutil.rmtree(folder)
    problem = judge_bomb(bomb, found)
    size = sum(map(len, bomb.files.values())) / 2**20
    shown = found.outcome.replace(f"{folder}/", "")[:90]
    print(f"    {name:<36}{size:8.2f} MiB{found.peak:7.2f} GiB peak{found.seconds:7.1f} s  {shown}", flush=True)
    return found, problem


def judge_bomb(bomb: Bomb, found: Reading) -> str | None:
    """What is wrong with what came of a bomb."""
    if not (found.refused or found.outcome == LOADED) or bomb.right not in found.outcome:
        return found.outcome
    return f"took {found.peak:.1f} GiB" if found.peak > MOST_MEMORY else None


def make_files(count: int, seed: int) -> Iterator[tuple[str, Callable[[Path], str]]]:
    """So many files: each one's name, and what reads it in a folder."""

    def read_bytes(name: str, content: bytes, folder: Path) -> str:
        path = folder / name
        path.write_bytes(content)
        return load_outcome(path)

    for name, content in broken_inputs(seed, count - count // 2):
        yield name, partial(read_bytes, name, content)
    for name, made in counted_inputs(seed, count // 2):
        yield name, partial(counted_outcome, made=made)


def judge_reading(read: Callable[[Path], str], folder: Path) -> str | None:
    """What is wrong with how a file was read, in a process that was forked for it: some faults end a process."""
    receiver, sender = CONTEXT.Pipe(duplex=False)
    process = CONTEXT.Process(target=_tell_problem, args=(read, folder, sender))
    process.start()
    sender.close()
    try:
        problem: str | None = receiver.recv()
    except EOFError:
        problem = "the process ended without a word"
    process.join()
    receiver.close()
    return problem


def _tell_problem(read: Callable[[Path], str], folder: Path, sender: Connection) -> None:
    """Read a file and send what was wrong with that."""
    problem = None
    try:
        with at_most(LONGEST):
            read(folder)
    except BaseException as error:
        traceback.print_exc(limit=-4)
        problem = f"{type(error).__name__}: {error}"
    sender.send(problem)


def main() -> None:
    """Read the bombs and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--source", type=Path, help="the folder that holds the package nestvec")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="nestvec-bombs-") as held:
        problems = [explode(name, Path(held) / "bomb", options.source)[1] for name in BOMBS]
    fell = [problem for problem in problems if problem is not None]
    print(f"{len(problems)} tried, {len(problems) - len(fell)} held, {len(fell)} fell")
    sys.exit(1 if fell else 0)


if __name__ == "__main__":
    main()
