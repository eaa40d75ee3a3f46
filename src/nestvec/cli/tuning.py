"""The command `tune`."""

from __future__ import annotations

from dataclasses import dataclass, fields
from pathlib import Path
from typing import Annotated, Any

import typer

from nestvec.cli.app import Command, app
from nestvec.cli.measuring import merge_settings, require_out
from nestvec.cli.options import ALL_SETTINGS, options, select_given
from nestvec.extras import require_extras
from nestvec.progress import Reporter
from nestvec.runs.config import read_tune
from nestvec.settings import DataSettings, option
from nestvec.tuning.tune_settings import TuneSettings

_PANEL = "The study"
_AS_RUN = [kind for kind in ALL_SETTINGS if kind is not DataSettings]


@dataclass(frozen=True)
class _Files:
    """Options of `tune` for files: the config file to read and the folder to write."""

    out: Path | None = option(None, "The folder for the study.", panel=_PANEL)
    config: Path | None = option(None, "A TOML file with any of these options, and [tune.space].", panel=_PANEL)


@app.command(cls=Command)
@options(_Files, TuneSettings, *ALL_SETTINGS, headings={TuneSettings: _PANEL}, named_only=_AS_RUN)
def tune(
    reporter: Reporter,
    source: Annotated[
        str | None,
        typer.Argument(
            metavar="SOURCE", help="Judgements: a file, a folder, hf:NAME, or `sample`.", show_default=False
        ),
    ] = None,
    **typed: Any,  # noqa: ANN401 - see `options`
) -> None:
    """Search for better training settings on the validation split; measure the best ones once on the test split."""
    config = typed.pop("config")
    planned = select_given({entry.name: typed.pop(entry.name, None) for entry in fields(TuneSettings)})
    settings, out = merge_settings(source, typed.pop("out"), config, typed)
    folder = require_out(out)
    require_extras("train", "evaluate", "report", "tune")
    from nestvec.tuning.study import run_study

    plan = TuneSettings.from_flat((read_tune(config) if config else {}) | planned, str(config or "the command line"))
    tuned = run_study(settings, plan, folder, reporter)
    typer.echo(tuned.verdict)
    typer.echo(f"The report: {tuned.folder / 'report.html'}")
