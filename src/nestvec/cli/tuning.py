"""The command that searches for better settings."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from nestvec.cli.app import Terminal, app, stoppable
from nestvec.cli.measuring import settled
from nestvec.cli.options import options
from nestvec.errors import InputError
from nestvec.runs.config import read_tune

_PANEL = "The study"


def _option(text: str) -> Any:  # noqa: ANN401 - typer's
    """An option of the study."""
    return typer.Option(help=text, rich_help_panel=_PANEL, show_default=False)


@app.command()
@options("data", "split", "training", "graded", "evaluation", "recommendation")
def tune(
    source: Annotated[
        str | None, typer.Argument(help="`sample`, a file, a folder, hf:NAME.", show_default=False)
    ] = None,
    out: Annotated[Path | None, _option("The folder to write.")] = None,
    config: Annotated[Path | None, _option("A TOML file with any of these options, and [tune.space].")] = None,
    search: Annotated[str | None, _option("tpe, random, grid, or data-size for a learning curve (tpe).")] = None,
    trials: Annotated[int | None, _option("How many trials (12; a grid's every point).")] = None,
    aim: Annotated[str | None, _option("recall@10, ndcg@10.48.int8, or recall@10,bytes for both (recall@10).")] = None,
    pruner: Annotated[
        str | None, _option("What stops trials that fall behind: median, hyperband, none (median).")
    ] = None,
    repeats: Annotated[int | None, _option("Trainings of each size, for data-size (3).")] = None,
    storage: Annotated[str | None, _option("postgresql://user@host:port/database (a file in the folder).")] = None,
    study: Annotated[str | None, _option("The study's name in a database (the folder's).")] = None,
    workers: Annotated[int | None, _option("Processes that train at a time (1; with ray one a device).")] = None,
    engine: Annotated[str | None, _option("local, or ray for a cluster (local).")] = None,
    **given: Any,  # noqa: ANN401 - see `options`
) -> None:
    """Search for better training settings on validation; test is asked once, at the end."""
    typed = {
        "search": search, "trials": trials, "aim": aim, "pruner": pruner, "repeats": repeats, "storage": storage,
        "study": study, "workers": workers, "engine": engine,
    }  # fmt: skip
    settings, folder = settled(source, out, config, given)
    if folder is None:
        raise InputError("--out is missing", "a folder to write")
    from nestvec.tuning.study import run_study
    from nestvec.tuning.tune_settings import TuneSettings

    stated = read_tune(config) if config else {}
    stated |= {name: value for name, value in typed.items() if value is not None}
    plan = TuneSettings.from_flat(stated, str(config or "the command line"))
    with stoppable(), Terminal() as terminal:
        found = run_study(settings, plan, folder, terminal)
    typer.echo(found.verdict)
    typer.echo(f"The report: {found.folder / 'report.html'}")
