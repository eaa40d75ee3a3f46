"""Commands about runs that are there: list them, and draw a report anew."""

from __future__ import annotations

import json
import webbrowser
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from nestvec.cli.app import Command, app, console
from nestvec.cli.delivering import RunFolder
from nestvec.cli.options import create_flag, options


@app.command(cls=Command)
@options()
def report(
    run: RunFolder,
    show: Annotated[bool, create_flag("open", "Open the report in the browser.")] = False,
) -> None:
    """Write a finished run's report anew; measures nothing."""
    from nestvec.cli.answer import read_answer
    from nestvec.report import write_report
    from nestvec.runs.folder import hold_folder
    from nestvec.runs.run import load_run

    opened = load_run(run)
    with hold_folder(opened.root):
        page = write_report(opened)
    typer.echo(read_answer(opened))
    typer.echo(f"The report: {page}")
    if show and not webbrowser.open(page.resolve().as_uri()):
        console.print("no browser could be started here; open the report by hand", markup=False, soft_wrap=True)


@app.command(cls=Command)
@options()
def runs(
    folder: Annotated[
        Path, typer.Argument(metavar="DIR", help="A folder with runs in it (this one).", show_default=False)
    ] = Path(),
    as_json: Annotated[bool, create_flag("json", "One JSON object a line.")] = False,
) -> None:
    """List the runs below a folder: what each recommends, or which stage it has next."""
    from nestvec.runs.list_runs import LEVELS, list_runs

    listed = list_runs(folder)
    if as_json:
        for run in listed:
            typer.echo(json.dumps(asdict(run)))
        return
    if not listed:
        typer.echo(f"There is no run in {folder}, nor up to {LEVELS} folders below it.")
        return
    from nestvec.cli.output import print_runs

    print_runs(listed, Console(highlight=False))
