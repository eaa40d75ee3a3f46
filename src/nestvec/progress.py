"""How long work is reported: bars in a terminal or a notebook, lines elsewhere, or calls of the user's own function.

Library code gets a `Reporter`. Every reporter also logs its lines at INFO to the logger `nestvec.progress`, so that an
application that configures logging has them without a bar.
"""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from threading import Event, Thread
from typing import TYPE_CHECKING, Protocol, runtime_checkable

from nestvec import distributed
from nestvec.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from contextlib import AbstractContextManager

    from rich.console import Console
    from rich.progress import Progress as Bars  # `Progress` here is what `progress=` takes

BEGIN_SECONDS = 1  # after which a step says that it is under way: shorter ones say only that they are done
LINE_SECONDS = 30  # between the lines of a step where no bar can be drawn
_LOG = logging.getLogger(__name__)


@dataclass(frozen=True)
class ProgressEvent:
    """What a callback is told."""

    label: str  # of the step, such as `train mnr`; empty for a message between steps
    done: int  # units of the step that are done; 0 when it begins
    total: int  # units that the step has; 0 for a message
    message: str | None = None  # a fact found on the way, such as how many records were read


@runtime_checkable
class Reporter(Protocol):
    """Takes what long work says about itself."""

    def say(self, text: str) -> None:
        """Take one line."""

    def step(self, label: str, total: int) -> AbstractContextManager[Callable[[int], None]]:
        """Open a step of `total` units; the block gets a function and calls it with the units newly done."""


class Outlook(Protocol):
    """Estimates the seconds that work of several steps still takes."""

    def __call__(self, share: float, seconds: float, /) -> float | None:
        """Estimate when `share` of the step under way is done after so many seconds; None while nothing is known."""


class Silent:
    """Shows nothing: the log alone is told."""

    outlook: Outlook | None = None  # of the whole work, see `foresee`

    def say(self, text: str) -> None:
        """Log the line."""
        _LOG.info("%s", text)

    @contextmanager
    def step(self, label: str, total: int) -> Iterator[Callable[[int], None]]:
        """Log the step's begin, and its end with the seconds that it took."""
        start = time.monotonic()
        _LOG.info("%s: begins, %d to do", label, total)
        yield lambda _: None
        _LOG.info("%s: done in %s", label, format_duration(time.monotonic() - start))


@dataclass(frozen=True)
class PartReporter:
    """Tells another reporter what a part of the work says, with the part's name before it."""

    whole: Reporter
    name: str

    def say(self, text: str) -> None:
        """Have the line said with the part's name before it."""
        self.whole.say(f"{self.name}: {text}")

    def step(self, label: str, total: int) -> AbstractContextManager[Callable[[int], None]]:
        """Show the step's progress with the part's name before its label."""
        return self.whole.step(f"{self.name}: {label}", total)


class CallbackReporter(Silent):
    """Calls a function of the user's with every line and every advance; what it raises stops the work."""

    def __init__(self, callback: Callable[[ProgressEvent], None]) -> None:
        self._callback = callback

    def say(self, text: str) -> None:
        """Pass the line on as a message."""
        super().say(text)
        self._callback(ProgressEvent("", 0, 0, text))

    @contextmanager
    def step(self, label: str, total: int) -> Iterator[Callable[[int], None]]:
        """Pass on that the step begins, and every advance."""
        done = 0

        def advance(units: int) -> None:
            nonlocal done
            done += units
            self._callback(ProgressEvent(label, done, total))

        with super().step(label, total):
            self._callback(ProgressEvent(label, 0, total))
            yield advance


class LineReporter(Silent):
    """Prints lines where no bar can be drawn: a step's begin, its end, and every 30 seconds how far it is."""

    def __init__(self, console: Console) -> None:
        self._console = console

    def say(self, text: str) -> None:
        """Print the line."""
        super().say(text)
        self._print_line(text)

    @contextmanager
    def step(self, label: str, total: int) -> Iterator[Callable[[int], None]]:
        """Print lines from a thread of its own, so that a step that seldom advances is heard of, too."""
        done, start, ended = 0, time.monotonic(), Event()

        def advance(units: int) -> None:
            nonlocal done
            done += units

        def print_until_end() -> None:
            if ended.wait(BEGIN_SECONDS):
                return
            self._print_line(f"{label} …")
            while not ended.wait(LINE_SECONDS):
                told = describe_progress(done, total, time.monotonic() - start, self.outlook)
                self._print_line(f"{label}: {told}")

        printer = Thread(target=print_until_end, name=f"nestvec {label}", daemon=True)
        with super().step(label, total):
            printer.start()
            try:
                yield advance
            finally:
                ended.set()
                printer.join()
        self._print_line(f"{label}: done in {format_duration(time.monotonic() - start)}")

    def _print_line(self, text: str) -> None:
        self._console.print(text, markup=False, soft_wrap=True)


class BarReporter(Silent):
    """Draws a bar with the time left for each step, and prints lines above it."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._bars: Bars | None = None  # while a step is open

    def say(self, text: str) -> None:
        """Print the line above the bars."""
        super().say(text)
        self._console.print(text, markup=False)

    @contextmanager
    def step(self, label: str, total: int) -> Iterator[Callable[[int], None]]:
        """Draw a bar; a step inside another one gets a bar below the other's."""
        with super().step(label, total):
            if self._bars is not None:
                with _draw_bar(self._bars, label, total, self.outlook) as advance:
                    yield advance
                return
            with _create_bars(self._console) as self._bars:
                try:
                    with _draw_bar(self._bars, label, total, self.outlook) as advance:
                        yield advance
                finally:
                    self._bars = None


Progress = bool | Callable[[ProgressEvent], None] | Reporter  # what `progress=` takes


def make_reporter(progress: Progress = True, console: Console | None = None) -> Reporter:
    """What `progress=` means to every function that takes it.

    Args:
        progress: True shows bars or lines on standard error; False shows nothing; a function is called with each event;
            a reporter is itself.
        console: where to show; None takes standard error.

    Returns:
        The reporter. Of several processes that share a run, only the first reports.

    Raises:
        InputError: `progress` is none of these.
    """
    if isinstance(progress, Reporter):
        return progress
    if progress is False or not distributed.is_first():
        return Silent()
    if callable(progress):
        return CallbackReporter(progress)
    if progress is not True:
        raise InputError(f"progress is {progress!r}", "True, False, or a function that takes a ProgressEvent")
    if console is None:
        from rich.console import Console

        console = Console(stderr=True, highlight=False)
    draws = console.is_terminal or (console.is_jupyter and find_spec("ipywidgets") is not None)
    return BarReporter(console) if draws else LineReporter(console)


@contextmanager
def foresee(reporter: Reporter, outlook: Outlook) -> Iterator[None]:
    """Have a reporter of this module say with each step how long the whole work still takes."""
    while isinstance(reporter, PartReporter):
        reporter = reporter.whole
    if not isinstance(reporter, Silent):
        yield
        return
    before, reporter.outlook = reporter.outlook, outlook
    try:
        yield
    finally:
        reporter.outlook = before


def describe_progress(done: int, total: int, seconds: float, outlook: Outlook | None = None) -> str:
    """How far a step is: `120 of 400, 2 min 10 s left`, and then what is known of the whole work.

    Before the first unit is done, the time so far.
    """
    if not done and total == 1:
        told = f"under way for {format_duration(seconds)}"
    elif not done:
        told = f"0 of {total:,} after {format_duration(seconds)}"
    else:
        told = f"{done:,} of {total:,}, {format_duration(seconds / done * max(0, total - done))} left"
    whole = _describe_whole(done, total, seconds, outlook)
    return f"{told}; whole run: {whole}" if whole else told


def format_rough(seconds: float) -> str:
    """An estimate of a duration, rounded up: `less than a minute`, `about 7 min`, `about 1 h 20 min`."""
    minutes = math.ceil(seconds / 60)
    if minutes <= 1:
        return "less than a minute"
    step = 1 if minutes <= 15 else 5 if minutes <= 60 else 10
    hours, rest = divmod(step * math.ceil(minutes / step), 60)
    if not hours:
        return f"about {rest} min"
    return f"about {hours} h {rest:02d} min" if rest else f"about {hours} h"


def format_duration(seconds: float) -> str:
    """A duration as a person says it: `0.3 s`, `42 s`, `2 min 10 s`, `1 h 05 min`."""
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes == 0:
        return f"{rest} s"
    if minutes < 60:
        return f"{minutes} min {rest:02d} s"
    return f"{minutes // 60} h {minutes % 60:02d} min"


def _describe_whole(done: int, total: int, seconds: float, outlook: Outlook | None) -> str:
    """How long the whole work still takes, in words; nothing while nothing is known."""
    left = outlook(done / total if total else 0.0, seconds) if outlook else None
    return "" if left is None else f"{format_rough(left)} left"


def _create_bars(console: Console) -> Bars:
    """Bars that are gone when their block ends."""
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    return Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(20 if console.width < 110 else 40),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
        TextColumn("{task.fields[whole]}", markup=False),
        console=console,
        transient=True,
    )


@contextmanager
def _draw_bar(bars: Bars, label: str, total: int, outlook: Outlook | None) -> Iterator[Callable[[int], None]]:
    """One bar among them; the block gets what moves it on."""
    start, task = time.monotonic(), bars.add_task(label, total=total, whole="")
    done = 0

    def advance(units: int) -> None:
        nonlocal done
        done += units
        whole = _describe_whole(done, total, time.monotonic() - start, outlook)
        bars.update(task, advance=units, whole=whole and f"run: {whole}")

    try:
        yield advance
    finally:
        bars.remove_task(task)
