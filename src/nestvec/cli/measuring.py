"""Commands that prepare, train, measure and compare."""

from __future__ import annotations

from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console

from nestvec import distributed
from nestvec.cli.app import Terminal, app, stoppable
from nestvec.cli.options import options
from nestvec.errors import GateClosedError, InputError
from nestvec.runs.config import read_config
from nestvec.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Iterator

    from nestvec.runs.run import Run

_Source = Annotated[str | None, typer.Argument(help="`sample`, a file, a folder, hf:NAME.", show_default=False)]
_Out = Annotated[Path | None, typer.Option(help="The folder to write.", rich_help_panel="The run", show_default=False)]
_Config = Annotated[
    Path | None,
    typer.Option(help="A TOML file with any of these options.", rich_help_panel="The run", show_default=False),
]
_Strict = Annotated[bool, typer.Option(help="Exit with 3 on 'do not ship'.", rich_help_panel="The run")]


@app.command()
@options("data", "split", "training", "graded", "evaluation", "recommendation")
def run(
    source: _Source = None,
    out: _Out = None,
    config: _Config = None,
    strict: _Strict = False,
    **given: Any,  # noqa: ANN401 - see `options`
) -> None:
    """The main job, end to end: prepare, train, evaluate, recommend, report."""
    settings, folder = settled(source, out, config, given)
    if folder is None:
        raise InputError("--out is missing", "a folder to write")
    from nestvec.pipeline.run import run_settings

    with stoppable(), Terminal() as terminal:
        finished = run_settings(settings, folder, terminal)
    if distributed.is_first():  # of several, one speaks
        _conclude(finished, True, strict)


def _conclude(finished: Run, kept: bool, strict: bool) -> None:
    """Say what came out, and where it is told in full."""
    typer.echo(finished.recommendation.reason)
    if kept:
        typer.echo(f"The report: {finished.folder.path('report')}")
    if strict and not finished.ships:
        raise GateClosedError(finished.recommendation.reason)


@contextmanager
def kept_or_not(folder: Path | None) -> Iterator[Path]:
    """The folder to write, or one that is gone afterwards where none is named."""
    if folder is not None:
        yield folder
        return
    with TemporaryDirectory(prefix="nestvec-") as place:
        yield Path(place)


@app.command()
@options("data", "split", "evaluation", "recommendation")
def evaluate(
    models: Annotated[list[str], typer.Argument(help="Folders or names of models.", show_default=False)],
    data: Annotated[
        str | None,
        typer.Option(help="`sample`, a file, a folder, hf:NAME.", rich_help_panel="The run", show_default=False),
    ] = None,
    model: Annotated[
        str | None,
        typer.Option(help="The pretrained model to measure against.", rich_help_panel="The run", show_default=False),
    ] = None,
    out: _Out = None,
    config: _Config = None,
    strict: _Strict = False,
    **given: Any,  # noqa: ANN401 - see `options`
) -> None:
    """The surface for any sentence-transformers models beside the pretrained one and BM25; trains nothing."""
    settings, folder = settled(data, out, config, {**given, "models": models, "model": model, "epochs": 0})
    from nestvec.cli.output import print_surface
    from nestvec.pipeline.run import run_settings

    with stoppable(), Terminal() as terminal, kept_or_not(folder) as place:
        finished = run_settings(settings, place, terminal)
        print_surface(finished, Console(highlight=False))
        _conclude(finished, folder is not None, strict)


@app.command()
@options("data", "split", "training")
def check(
    source: _Source = None,
    out: _Out = None,
    config: _Config = None,
    **given: Any,  # noqa: ANN401 - see `options`
) -> None:
    """Validate a data set, draw its grades, propose a threshold, audit leaks; trains nothing."""
    settings, folder = settled(source, out, config, given)
    from nestvec.pipeline.checking import check_settings

    with stoppable(), Terminal() as terminal:
        found = check_settings(settings, folder, terminal)
    from nestvec.cli.output import print_check

    print_check(found, Console(highlight=False))
    if folder is not None:
        typer.echo(f"The page: {folder / 'check.html'}")


@app.command()
def compare(
    run_a: Annotated[Path, typer.Argument(help="The folder of a finished run.", show_default=False)],
    run_b: Annotated[Path, typer.Argument(help="Another, which asked the same test queries.", show_default=False)],
    metric: Annotated[str, typer.Option(help="What to compare; any that both measured.")] = "recall@10",
    everything: Annotated[bool, typer.Option("--all", help="Compare every point that both have.")] = False,
    out: Annotated[Path | None, typer.Option(help="A JSON file to write.", show_default=False)] = None,
) -> None:
    """Two finished runs on the same test queries: the second less the first, with intervals and tests."""
    from nestvec.cli.output import print_comparison
    from nestvec.pipeline.comparing import compare as compare_runs

    found = compare_runs(run_a, run_b, metric, everything)
    print_comparison(found, Console(highlight=False))
    if out is not None:
        found.save(out)


@app.command()
def reproduce(
    experiment: Annotated[str, typer.Argument(help="home-depot")],
    out: _Out = None,
    data: Annotated[
        str | None, typer.Option(help="Its Parquet file, or the competition's CSV (the hub).", show_default=False)
    ] = None,
    epochs: Annotated[int, typer.Option(help="Passes over the training pairs.")] = 30,
    max_records: Annotated[int, typer.Option(help="Records that the experiment takes.")] = 25_000,
    compute: Annotated[str, typer.Option(help="float32 as the original, bfloat16, or auto.")] = "auto",
) -> None:
    """The original experiment, as published, against its published numbers; then without its leaks."""
    if out is None:
        raise InputError("--out is missing", "a folder to write")
    from nestvec.pipeline.reproducing import reproduce as reproduce_experiment

    with stoppable(), Terminal() as terminal:
        found = reproduce_experiment(
            experiment, out, data=data, epochs=epochs, max_records=max_records, compute=compute, reporter=terminal
        )
    typer.echo(f"The page: {found.folder / 'reproduce.html'}")


def settled(
    source: str | None, out: Path | None, config: Path | None, given: dict[str, Any]
) -> tuple[Settings, Path | None]:
    """Settings and folder, if one is named: the command line over the config file over the defaults."""
    values = _dashes_gone(read_config(config)) if config else {}
    folder = values.pop("out", None) if out is None else out
    values.pop("out", None)
    values |= {name: value for name, value in {"source": source, **given}.items() if value is not None}
    settings = Settings.from_flat(values, str(config) if config else "the command line")
    if "source" not in values and settings.data.qrels is None:
        raise InputError("no SOURCE is given", "`sample`, a file, a folder, hf:NAME, or --qrels")
    return settings, None if folder is None else Path(folder)


def _dashes_gone(values: dict[str, Any]) -> dict[str, Any]:
    """Names of a config file as the settings spell them, so that the command line's stand over them."""
    return {name.replace("-", "_"): value for name, value in values.items()}
