"""Runs docs/notebook.ipynb and writes what comes out into it.

Run: python scripts/run_notebook.py [docs/notebook.ipynb]. The run that the notebook makes goes to a temporary folder.
"""

from __future__ import annotations

import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import nbformat
from nbclient import NotebookClient

NOTEBOOK = Path(__file__).parents[1] / "docs" / "notebook.ipynb"
LONGEST = 600  # seconds that a cell may take


def run_notebook(path: Path, folder: Path) -> nbformat.NotebookNode:
    """Run a notebook's cells in a folder; gives the notebook with what came out, but for times and warnings."""
    notebook = nbformat.read(path, as_version=4)
    NotebookClient(notebook, timeout=LONGEST, resources={"metadata": {"path": str(folder)}}).execute()
    for cell in notebook.cells:
        cell.metadata.clear()
        if cell.cell_type == "code":  # warnings speak of this machine
            cell.outputs = [output for output in cell.outputs if output.get("name") != "stderr"]
    notebook.metadata.get("language_info", {}).pop("version", None)
    return notebook


if __name__ == "__main__":
    chosen = Path(sys.argv[1]) if len(sys.argv) > 1 else NOTEBOOK
    with TemporaryDirectory() as away:
        nbformat.write(run_notebook(chosen, Path(away)), chosen)
