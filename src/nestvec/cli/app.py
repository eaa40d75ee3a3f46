"""The application: how it starts and ends, and how long work is shown."""

from __future__ import annotations

import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from nestvec import distributed
from nestvec.errors import NestvecError, StoppedError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

app = typer.Typer(
    help="Fit retrieval embeddings to your own search, at the smallest vector that holds up.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
console = Console(stderr=True, highlight=False, quiet=not distributed.is_first())


def _print_version(wanted: bool) -> None:
    """Print the version and end."""
    if wanted:
        from importlib.metadata import version

        typer.echo(version("nestvec"))
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and end.")
    ] = False,
) -> None:
    """Fit retrieval embeddings to your own search, at the smallest vector that holds up."""
    del version


@contextmanager
def stoppable() -> Iterator[None]:
    """Ctrl-C as an error of ours: one line and an exit code instead of a traceback."""
    try:
        yield
    except KeyboardInterrupt as error:
        raise StoppedError("stopped; the same command continues after the last finished stage") from error


class Terminal:
    """Shows what the pipeline is doing: a line for each fact, a bar with time left for each long step."""

    def __init__(self) -> None:
        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(),
        )
        nobody = not console.is_terminal  # watches; a bar that is gone would leave an empty line in a log
        self._progress = Progress(*columns, console=console, transient=True, disable=nobody)

    def __enter__(self) -> Terminal:
        """Nothing is drawn before the first step."""
        return self

    def __exit__(self, *_: object) -> None:
        """Stop drawing and leave the cursor where a person expects it."""
        if self._progress.live.is_started:
            self._progress.stop()

    def say(self, text: str) -> None:
        """Print one line above the bars."""
        self._progress.console.print(text, markup=False)

    @contextmanager
    def step(self, label: str, total: int) -> Iterator[Callable[[int], None]]:
        """A bar over `total` units; the block is given what moves it on."""
        self._progress.start()
        task = self._progress.add_task(label, total=total)
        try:
            yield lambda done: self._progress.advance(task, done)
        finally:
            self._progress.remove_task(task)


def main() -> None:
    """Run the command line and end the process with the exit code that the errors document."""
    try:
        app()
    except NestvecError as error:  # anything else is an internal fault: the traceback is the report, exit code 1
        console.print(f"nestvec: {error}", markup=False, soft_wrap=True)
        sys.exit(error.exit_code)
