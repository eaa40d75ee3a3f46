"""Writes the report of a run: one self-contained HTML file, the figures, and the tables as CSV."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nestvec.files import replacing, write_text
from nestvec.report.content import read_content
from nestvec.report.csv_tables import write_tables
from nestvec.report.figures import draw_figures
from nestvec.report.run_page import render_run_page

if TYPE_CHECKING:
    from pathlib import Path

    from nestvec.runs.run import Run

__all__ = ["write_report"]


def write_report(run: Run) -> Path:
    """Write `report.html`, `figures/` and `tables/` from the run's files alone; the same files give the same bytes.

    An older report is replaced only when the new page, figures and tables are complete. Returns the page's path. Raises
    InputError if a file of the run is missing or damaged, MissingExtraError if the extra `report` is not installed.
    """
    content, folder = read_content(run), run.folder
    report = folder.path("report")
    with replacing(folder.path("figures")) as figures, replacing(folder.path("tables")) as tables:
        drawings = draw_figures(content, figures)
        write_tables(content, tables)
        write_text(report, render_run_page(content, drawings))
    return report
