"""The command-line application `nestvec`: how it starts and ends, its log on standard error, exit codes of errors."""

from __future__ import annotations

import logging
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from nestvec import distributed
from nestvec.cli.help_page import Command, Group
from nestvec.errors import NestvecError, StoppedError
from nestvec.extras import explain_import

if TYPE_CHECKING:
    from collections.abc import Iterator


__all__ = ["Command", "app", "catch_interrupt", "console", "main", "show_log"]

app = typer.Typer(
    cls=Group,
    rich_markup_mode=None,
    help="Fit retrieval embeddings to your own search, at the smallest vector that holds up.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)
console = Console(stderr=True, highlight=False, quiet=not distributed.is_first())


def _print_version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        typer.echo(version("nestvec"))
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_print_version, is_eager=True, metavar="", help="Print the version and exit."
        ),
    ] = False,
) -> None:
    """Fit retrieval embeddings to your own search, at the smallest vector that holds up."""
    del version


@contextmanager
def catch_interrupt() -> Iterator[None]:
    """Turn Ctrl-C into StoppedError, so that the user sees one line and not a traceback."""
    try:
        yield
    except KeyboardInterrupt as error:
        raise StoppedError("stopped; run the same command again to continue after the last finished stage") from error


@contextmanager
def show_log(verbose: bool) -> Iterator[None]:
    """Show nestvec's log records of level DEBUG and above on standard error, if `--verbose` was given."""
    if not verbose:
        yield
        return
    logger, handler = logging.getLogger("nestvec"), _ConsoleHandler(logging.DEBUG)
    handler.setFormatter(logging.Formatter("%(asctime)s %(name)s: %(message)s", "%H:%M:%S"))
    handler.addFilter(lambda record: record.name != "nestvec.progress")  # the reporter shows those itself
    level = logger.level
    logger.setLevel(logging.DEBUG)
    logger.addHandler(handler)
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.setLevel(level)


class _ConsoleHandler(logging.Handler):
    """Prints nestvec's log lines in the terminal above the progress bars."""

    def emit(self, record: logging.LogRecord) -> None:
        """Print a log record as one line on standard error."""
        console.print(self.format(record), markup=False, soft_wrap=True)


def main() -> None:
    """Run the command line; an error ends the process with the exit code of its class (`nestvec.errors`)."""
    try:
        _run_app()
    except NestvecError as error:  # any other exception is an internal fault: Python prints it, with exit code 1
        console.print(f"nestvec: {error}", markup=False, soft_wrap=True)
        sys.exit(error.exit_code)


def _run_app() -> None:
    """Run the command line; if a library is not installed, raise MissingExtraError, which names the missing extra."""
    try:
        app()
    except ModuleNotFoundError as error:
        missing = explain_import(error)
        if missing is None:
            raise
        raise missing from error
