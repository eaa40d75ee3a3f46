"""The command line: parse, call one function, print; an error becomes one message and an exit code.

Heavy libraries are imported by the functions that the commands call, so that `--help` stays quick.
"""

from __future__ import annotations

import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from nestvec.errors import GateClosedError, InputError, NestvecError, StoppedError
from nestvec.settings import Settings, read_config

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

app = typer.Typer(
    help="Fit retrieval embeddings to your own search, at the smallest vector that holds up.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
console = Console(stderr=True, highlight=False)


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


_DATA, _TRAINING, _MEASURING = "What to read", "How to train", "What to measure"


def _option(panel: str, text: str, *names: str) -> Any:  # noqa: ANN401 - typer's own type is private
    """One option of a stage, shown under the stage's heading; unset means: as in the config file, else the default."""
    return typer.Option(*names, help=text, rich_help_panel=panel, show_default=False)


@app.command()
def run(
    source: Annotated[
        str | None,
        typer.Argument(help="`sample`, or a CSV, TSV, JSONL or Parquet file of judgements.", show_default=False),
    ] = None,
    out: Annotated[Path | None, typer.Option(help="The run's folder.", show_default=False)] = None,
    config: Annotated[
        Path | None, typer.Option(help="A TOML file with any of these options.", show_default=False)
    ] = None,
    query: Annotated[str | None, _option(_DATA, "Column with the query.")] = None,
    document: Annotated[str | None, _option(_DATA, "Column with the text, or several: name,description.")] = None,
    grade: Annotated[str | None, _option(_DATA, "Column with the relevance grade.")] = None,
    document_id: Annotated[
        str | None, _option(_DATA, "Column that tells documents apart; else their text does.")
    ] = None,
    threshold: Annotated[float | None, _option(_DATA, "Relevant from this grade on; else the histogram's dip.")] = None,
    max_records: Annotated[int | None, _option(_DATA, "Take a seeded subset of this many records.")] = None,
    validation: Annotated[float | None, _option(_DATA, "Share of queries to choose on (0.1).")] = None,
    test: Annotated[float | None, _option(_DATA, "Share of queries to report on (0.2).")] = None,
    model: Annotated[
        str | None, _option(_TRAINING, "The pretrained model: a folder or a name (all-MiniLM-L6-v2).")
    ] = None,
    model_sha256: Annotated[
        str | None, _option(_TRAINING, "What its model.safetensors must hash to.", "--model-sha256")
    ] = None,
    systems: Annotated[str | None, _option(_TRAINING, "What to train (mnr,matryoshka).")] = None,
    epochs: Annotated[int | None, _option(_TRAINING, "Passes over the training pairs; 0 trains nothing (3).")] = None,
    batch_size: Annotated[int | None, _option(_TRAINING, "Pairs in a batch.")] = None,
    learning_rate: Annotated[float | None, _option(_TRAINING, "Peak learning rate.")] = None,
    warmup: Annotated[float | None, _option(_TRAINING, "Share of the steps that warm up (0.1).")] = None,
    compute: Annotated[str | None, _option(_TRAINING, "auto, float32 or bfloat16.")] = None,
    dimensions: Annotated[str | None, _option(_MEASURING, "Widths (the model's, and its 1/2, 1/4 and 1/8).")] = None,
    precisions: Annotated[str | None, _option(_MEASURING, "How vectors are stored (float32,int8).")] = None,
    resamples: Annotated[int | None, _option(_MEASURING, "Draws of the bootstrap and the paired test.")] = None,
    metric: Annotated[str | None, _option(_MEASURING, "What the recommendation goes by (recall@10).")] = None,
    margin: Annotated[float | None, _option(_MEASURING, "How much of it may be lost (0.01).")] = None,
    seed: Annotated[
        int | None, typer.Option(help="Decides split, order and resampling (42).", show_default=False)
    ] = None,
    strict: Annotated[bool, typer.Option(help="Exit with 3 when the answer is 'do not ship'.")] = False,
) -> None:
    """The main job, end to end: prepare, train, evaluate, recommend, report."""
    given = dict(locals())
    strict, config, out = given.pop("strict"), given.pop("config"), given.pop("out")
    values = read_config(config) if config else {}
    folder = values.pop("out", None) if out is None else out
    values.pop("out", None)
    settings = Settings.from_flat(
        {**_dashes_gone(values), **{name: value for name, value in given.items() if value is not None}},
        str(config) if config else "the command line",
    )
    if source is None and "source" not in values:
        raise InputError("no SOURCE is given", "`sample` or a file of judgements")
    if folder is None:
        raise InputError("--out is missing", "a folder for the run")
    from nestvec.pipeline import run_settings

    with _stoppable(), Terminal() as terminal:
        finished = run_settings(settings, Path(folder), terminal)
    typer.echo(finished.recommendation["reason"])
    typer.echo(f"The report: {finished.folder.path('report')}")
    if strict and not finished.ships:
        raise GateClosedError("do not ship: " + finished.recommendation["reason"])


def _dashes_gone(values: dict[str, Any]) -> dict[str, Any]:
    """Names of a config file as the settings spell them, so that the command line's stand over them."""
    return {name.replace("-", "_"): value for name, value in values.items()}


@contextmanager
def _stoppable() -> Iterator[None]:
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
        self._progress = Progress(*columns, console=console, transient=True)

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
