"""A command that is killed at random moments, again and again, and then left to end."""

from __future__ import annotations

import multiprocessing
import os
import random
import shutil
import signal
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from _outcome import Outcome

if TYPE_CHECKING:
    from collections.abc import Callable
    from multiprocessing.process import BaseProcess

CHAIN = 4  # kills of one command before it may end
LAST = 1.05  # of an undisturbed command's time, within which a kill falls
LONGEST = 600  # seconds that a command may take
CHANGES = {
    "ctypes.dlsym", "fcntl.flock", "open", "os.link", "os.mkdir", "os.remove", "os.rename", "os.rmdir", "os.truncate",
    "shutil.rmtree", "sqlite3.connect",
}  # fmt: skip
CONTEXT = multiprocessing.get_context("forkserver")


@dataclass
class Command:
    """`nestvec` in processes of its own.

    Attributes:
        words: after `nestvec`.
        log: what it prints.
        changes: to files and folders that it makes undisturbed.
        seconds: that it takes undisturbed.
    """

    words: list[str]
    log: Path
    changes: int = 0
    seconds: float = 0.0

    def start(self, last: int = 0) -> BaseProcess:
        """Begin it; it is killed right before its change number `last`, counted from 1."""
        process = CONTEXT.Process(target=obey, args=(self.words, self.log, last))
        process.start()
        return process

    def finish(self) -> str | None:
        """Let it end; what is wrong with that."""
        began = time.perf_counter()
        process = self.start()
        process.join(LONGEST)
        self.seconds = time.perf_counter() - began
        if process.exitcode is None:
            process.kill()
            return f"it did not end within {LONGEST} s"
        if process.exitcode:
            return f"it ended with {process.exitcode}: {self.log.read_text()[-500:]!r}"
        self.changes = int(self.log.with_suffix(".changes").read_text())
        return None

    def kill(self, last: int, seconds: float) -> bool:
        """Begin it and kill it before a change, or after some seconds where that is 0; whether it was still at work."""
        process = self.start(last)
        process.join(LONGEST if last else seconds)
        process.kill()
        process.join()
        return process.exitcode == -signal.SIGKILL


def obey(words: list[str], log: Path, last: int) -> None:
    """Be `nestvec`, in a process that was forked for it."""
    descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.dup2(descriptor, 1)
    os.dup2(descriptor, 2)
    changes, of_this = 0, os.getpid()

    def count(event: str, given: tuple[Any, ...]) -> None:
        nonlocal changes
        if event not in CHANGES or os.getpid() != of_this:
            return
        if event == "open" and not (given[2] or 0) & (os.O_WRONLY | os.O_RDWR | os.O_CREAT):
            return
        changes += 1
        if changes == last:
            os.kill(of_this, signal.SIGKILL)

    from nestvec.cli import main

    sys.argv = ["nestvec", *words]
    sys.addaudithook(count)
    try:
        main()
    finally:
        log.with_suffix(".changes").write_text(str(changes))


@dataclass(frozen=True)
class Target:
    """A command under attack, in a folder of its own.

    Attributes:
        words: after `nestvec`, for a folder.
        begin: fills the empty folder.
        look: what a reader finds in it, one of two things; anything else is damage.
        result: all that must be there at the end.
    """

    words: Callable[[Path], list[str]]
    begin: Callable[[Path], object]
    look: Callable[[Path], object]
    result: Callable[[Path], object]


@dataclass
class Attack:
    """Kills of one command.

    Attributes:
        name: of the command.
        target: it.
        folder: empty, for this attack.
        outcome: where each kill and each end is counted.
        rng: draws the moments.
    """

    name: str
    target: Target
    folder: Path
    outcome: Outcome
    rng: random.Random
    states: list[object] = field(default_factory=list)
    wanted: object = None

    def run(self, kills: int) -> None:
        """Run it undisturbed, then kill it so many times."""
        place, log = self.folder / "place", self.folder / "log"
        command = Command(self.target.words(place), log)
        self._begin(place)
        self.states.append(self.target.look(place))
        problem = command.finish()
        if problem:
            raise SystemExit(f"{self.name}, undisturbed: {problem}")
        self.states.append(self.target.look(place))
        self.wanted = self.target.result(place)
        self.outcome.figures[self.name] = {"seconds": round(command.seconds, 1), "changes": command.changes}
        seconds, changes, done = command.seconds, command.changes, 0
        while done < kills:
            self._begin(place)
            for _ in range(min(CHAIN, kills - done)):
                last = self.rng.randint(1, changes) if self.rng.random() < 0.5 else 0
                after = self.rng.uniform(0, LAST * seconds)
                if not command.kill(last, after):
                    break
                done += 1
                moment = f"before change {last} of {changes}" if last else f"after {after:.2f} s"
                self.outcome.judge(f"{self.name} killed {moment}", self._damage(place))
            self.outcome.judge(f"{self.name} continued", command.finish() or self._difference(place))
        shutil.rmtree(place)

    def _begin(self, place: Path) -> None:
        shutil.rmtree(place, ignore_errors=True)
        place.mkdir()
        self.target.begin(place)

    def _damage(self, place: Path) -> str | None:
        """What a reader finds wrong."""
        try:
            found = self.target.look(place)
        except Exception as error:  # each reader has its own
            return f"{type(error).__name__}: {error}"
        return None if found in self.states else f"neither the old nor the new: {str(found)[:300]}"

    def _difference(self, place: Path) -> str | None:
        """What differs from the undisturbed end."""
        there = self.target.result(place)
        if there == self.wanted:
            return None
        if not isinstance(there, dict) or not isinstance(self.wanted, dict):
            return "another result than undisturbed"
        names = sorted(name for name in {*there, *self.wanted} if there.get(name) != self.wanted.get(name))
        return f"differs from the undisturbed: {', '.join(names)[:300]}"
