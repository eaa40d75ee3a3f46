"""Finished runs that several test modules read: each is made once, for all workers of a session together."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

from filelock import FileLock

from nestvec.indexing.query_encoder import keep_graph
from nestvec.progress import Silent
from nestvec.runs.point_files import open_system
from nestvec.runs.run import load_run

if TYPE_CHECKING:
    from collections.abc import Callable

    import pytest

BIG = 1_000_000  # bytes from which a copy shares a file's content with the original


def make_once(factory: pytest.TempPathFactory, name: str, make: Callable[[Path], Any]) -> Path:
    """A folder that the first worker fills and all others wait for.

    Args:
        factory: pytest's; workers of one session have neighbouring folders.
        name: of the folder, one per content.
        make: fills an empty folder.
    """
    base = factory.getbasetemp()
    folder = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / name
    with FileLock(f"{folder}.lock"):
        if not Path(f"{folder}.made").exists():
            shutil.rmtree(folder, ignore_errors=True)  # a worker failed half-way
            folder.mkdir()
            make(folder)
            Path(f"{folder}.made").touch()
    return folder


def keep_graphs(run: Path, *systems: str) -> None:
    """Write the graphs that indexes of a run's systems would write, so that they come with every copy."""
    for system in systems:
        keep_graph(open_system(load_run(run), system), Silent())


def copy_run(run: Path, target: Path) -> Path:
    """A copy of a run that a test may change; weights are hard links, so they may be replaced but not written into."""
    return Path(shutil.copytree(run, target, copy_function=_copy_or_link))


def _copy_or_link(source: str, target: str) -> str:
    if source.endswith(("model.safetensors", "model.onnx")) and Path(source).stat().st_size >= BIG:
        os.link(source, target)
        return target
    return shutil.copy2(source, target)
