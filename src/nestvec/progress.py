"""Report the progress of long work: bars in a terminal or notebook, lines elsewhere, or calls of a user's function.

Library code gets a `Reporter`. Every reporter also logs its lines at INFO to the logger `nestvec.progress`, for
applications that configure logging.
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

BEGIN_SECONDS = 1  # after this time a line says that a step is running; shorter steps print only that they are done
LINE_SECONDS = 30  # seconds between the progress lines of a step, if no bar can be drawn
_LOG = logging.getLogger(__name__)


@dataclass(frozen=True)
class ProgressEvent:
    """What a user's progress function is called with: a message, or how far a step has got."""

    label: str  # name of the step, such as `train mnr`; empty for a message
    done: int  # units of the step that are done; 0 at its beginning
    total: int  # number of units of the step; 0 for a message
    message: str | None = None  # text of a message, such as how many records were read; None for progress


@runtime_checkable
class Reporter(Protocol):
    """Shows the user messages and the progress of long work, such as a run."""

    def say(self, text: str) -> None:
        """Show the user one line of text."""

    def step(self, label: str, total: int) -> AbstractContextManager[Callable[[int], None]]:
        """Begin a step of `total` units; the `with` block gets a function to call with each number of units done."""


class Outlook(Protocol):
    """Estimates how many seconds are left of work that has several steps, such as a run."""

    def __call__(self, share: float, seconds: float, /) -> float | None:
        """Estimate the seconds left after `share` of the present step took `seconds`; None without an estimate."""


class Silent:
    """Shows nothing, but logs messages and steps to the logger `nestvec.progress`."""

    outlook: Outlook | None = None  # of the whole work, see `foresee`

    def say(self, text: str) -> None:
        """Log a message at level INFO, without showing it."""
        _LOG.info("%s", text)

    @contextmanager
    def step(self, label: str, total: int) -> Iterator[Callable[[int], None]]:
        """Log when a step begins and when it ends, with its duration; shows nothing."""
        start = time.monotonic()
        _LOG.info("%s: begins, %d to do", label, total)
        yield lambda _: None
        _LOG.info("%s: done in %s", label, format_duration(time.monotonic() - start))


@dataclass(frozen=True)
class PartReporter:
    """Passes messages and steps of a part of the work to another reporter, with a prefix: the part's name."""

    whole: Reporter
    name: str

    def say(self, text: str) -> None:
        """Show a message after the name of the part of the work, such as `fold 2 of 10: `."""
        self.whole.say(f"{self.name}: {text}")

    def step(self, label: str, total: int) -> AbstractContextManager[Callable[[int], None]]:
        """Show a step's progress; its label begins with the name of the part of the work, such as `fold 2 of 10: `."""
        return self.whole.step(f"{self.name}: {label}", total)


class CallbackReporter(Silent):
    """Calls the user's function with every message and every progress; an error in that function stops the work."""

    def __init__(self, callback: Callable[[ProgressEvent], None]) -> None:
        self._callback = callback

    def say(self, text: str) -> None:
        """Call the user's function with a message."""
        super().say(text)
        self._callback(ProgressEvent("", 0, 0, text))

    @contextmanager
    def step(self, label: str, total: int) -> Iterator[Callable[[int], None]]:
        """Call the user's function when a step begins, and each time the step advances."""
        done = 0

        def advance(units: int) -> None:
            nonlocal done
            done += units
            self._callback(ProgressEvent(label, done, total))

        with super().step(label, total):
            self._callback(ProgressEvent(label, 0, total))
            yield advance


class LineReporter(Silent):
    """Prints lines where no bar can be drawn: when a step begins or ends, and its progress every 30 seconds."""

    def __init__(self, console: Console) -> None:
        self._console = console

    def say(self, text: str) -> None:
        """Print a message as a line."""
        super().say(text)
        self._print_line(text)

    @contextmanager
    def step(self, label: str, total: int) -> Iterator[Callable[[int], None]]:
        """Print a step's progress from a separate thread, so that a step that rarely advances also shows progress."""
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
    """Draws a progress bar with the time left for each step, and prints messages above the bar."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._bars: Bars | None = None  # while a step is open

    def say(self, text: str) -> None:
        """Print a message above the progress bars."""
        super().say(text)
        self._console.print(text, markup=False)

    @contextmanager
    def step(self, label: str, total: int) -> Iterator[Callable[[int], None]]:
        """Draw a progress bar for a step; a step inside another step gets its bar below the outer step's bar."""
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
    """Make the reporter for an argument `progress=`.

    Args:
        progress: True shows bars or lines on standard error; False shows nothing; a function is called with each
            `ProgressEvent`; a reporter is returned unchanged.
        console: console to print to; None takes standard error.

    Returns:
        The reporter. If several processes share a run, only the first one reports.

    Raises:
        InputError: `progress` has another type.
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
    """During the `with` block, let a reporter of this module show the time left of the whole run with each step."""
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
    """Describe the progress of a step, `120 of 400, 2 min 10 s left`, then the time left of the whole work if known.

    Before the first unit is done, the text has the time so far in place of the time left.
    """
    if not done and total == 1:
        told = f"running for {format_duration(seconds)}"
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
    """Format a duration: `0.3 s`, `42 s`, `2 min 10 s`, `1 h 05 min`."""
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes == 0:
        return f"{rest} s"
    if minutes < 60:
        return f"{minutes} min {rest:02d} s"
    return f"{minutes // 60} h {minutes % 60:02d} min"


def _describe_whole(done: int, total: int, seconds: float, outlook: Outlook | None) -> str:
    """Format the time left of the whole work, `about 7 min left`; an empty text if there is no estimate yet."""
    left = outlook(done / total if total else 0.0, seconds) if outlook else None
    return "" if left is None else f"{format_rough(left)} left"


def _create_bars(console: Console) -> Bars:
    """Create a display for progress bars; the bars disappear when the display's `with` block ends."""
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
    """Add a progress bar to a display; the `with` block gets a function that advances the bar."""
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
