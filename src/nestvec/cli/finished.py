"""The commands `runs`, which lists runs, and `report`, which writes the report of a finished run again."""

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
    """Write the report of a finished run again, without new measurements."""
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
        console.print("no browser could be started; open the report's path yourself", markup=False, soft_wrap=True)


@app.command(cls=Command)
@options()
def runs(
    folder: Annotated[
        Path, typer.Argument(metavar="DIR", help="The folder to look in (the current one).", show_default=False)
    ] = Path(),
    as_json: Annotated[bool, create_flag("json", "Print one JSON object per line.")] = False,
) -> None:
    """List the runs in a folder: what each finished run recommends, and the next stage of each unfinished run."""
    from nestvec.runs.list_runs import LEVELS, list_runs

    listed = list_runs(folder)
    if as_json:
        for run in listed:
            typer.echo(json.dumps(asdict(run)))
        return
    if not listed:
        typer.echo(f"No run was found in {folder} or up to {LEVELS} folders below it.")
        return
    from nestvec.cli.output import print_runs

    print_runs(listed, Console(highlight=False))
