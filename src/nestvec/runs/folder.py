"""The run's folder: where each file lies, and which stages are done.

A stage is done when its marker exists; the marker is written last, so a killed run leaves nothing that looks finished.
"""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from nestvec.errors import InputError
from nestvec.files import can_be_path, follow_links, locked, read_object, sweep, write_json, write_text
from nestvec.runs.config import FILES_OF, parse_run_config, read_run_config
from nestvec.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

LAYOUT = {
    "config": "config.toml",
    "records": "data/records.parquet",
    "catalogue": "data/catalogue.parquet",
    "queries": "data/queries.parquet",
    "grades": "data/grades.json",
    "audit": "data/audit.json",
    "findings": "data/findings.json",
    "rejected": "data/rejected.parquet",
    "qrels": "data/qrels.trec",
    "trec_ids": "data/trec_ids.json",
    "models": "models",
    "folds": "folds",
    "checkpoints": "checkpoints",
    "mined": "mined",
    "logs": "logs",
    "embeddings": "embeddings",
    "runs": "runs",
    "codes": "codes",
    "hybrid": "hybrid.json",
    "results": "results.json",
    "per_query": "per_query.parquet",
    "training": "training.json",
    "recommendation": "recommendation.json",
    "report": "report.html",
    "figures": "figures",
    "tables": "tables",
    "index": "index",
    "query_graphs": "index/graphs",
    "stages": ".stages",
}

CHECK = ("check.json", "check.html")  # what `nestvec check --out` leaves; a run may follow in the same folder

_FOUND = ("language", "query", "query_id", "document", "document_id", "grade", "split_column")  # where none is given


@dataclass(frozen=True)
class RunFolder:
    """A run's folder on disk, or that of one of its folds; `LAYOUT` says what lies where.

    Attributes:
        root: its path.
        whole: of a fold, the run's folder.
    """

    root: Path
    whole: RunFolder | None = None

    def fold(self, number: int) -> RunFolder:
        """The folder of a fold, counted from 1: what its training leaves, under the same names."""
        return RunFolder(self.path("folds") / str(number), self)

    def path(self, name: str) -> Path:
        """Where the file or folder called `name` in `LAYOUT` lies."""
        return self.root / LAYOUT[name]

    def model(self, system: str) -> Path:
        """The saved model of a trained system."""
        return self._inside("models", system)

    def checkpoints(self, system: str) -> Path:
        """What a training in progress goes on from; gone when the system is saved."""
        return self._inside("checkpoints", system)

    def run(self, name: str) -> Path:
        """The TREC run file of one point of the surface; `name` as in `Point.name`, such as `mnr.48.int8`."""
        return self._inside("runs", f"{name}.trec")

    def embeddings(self, system: str) -> Path:
        """The encoded queries and documents of a system."""
        return self._inside("embeddings", f"{system}.npy")

    def codecs(self, system: str) -> Path:
        """How a system's vectors were coded at every dimension and precision; a trained one's lies with its model."""
        model = self.model(system)
        return (model if model.is_dir() else self._inside("codes", system)) / "codecs.safetensors"

    def query_graph(self, system: str) -> Path:
        """The graph of a system's model, by which an index's queries are encoded without PyTorch."""
        return self._inside("query_graphs", system)

    def _inside(self, folder: str, name: str) -> Path:
        """The path of what has this name in one of the run's folders; InputError for a name that leads elsewhere."""
        if "/" in name or name in (".", "..") or not can_be_path(name):
            raise InputError(f"names a system or a point {name[:80]!r}", "a name without slashes", file=self.root)
        return self.path(folder) / name

    def stage_marker(self, stage: str) -> Path:
        """The file that says that a stage is finished."""
        return self.path("stages") / f"{stage}.json"

    def is_done(self, stage: str) -> bool:
        """Whether a stage was finished by this or an earlier process."""
        return self.stage_marker(stage).exists()

    def mark_done(self, stage: str, facts: dict[str, Any]) -> None:
        """Record that a stage is finished, with facts such as its seconds; call it after its last file is in place."""
        write_json(self.stage_marker(stage), facts)

    def done(self) -> list[str]:
        """Finished stages, in the order they finished."""
        markers = self.path("stages").glob("*.json")
        return [marker.stem for marker in sorted(markers, key=lambda marker: (marker.stat().st_mtime_ns, marker.name))]

    def facts(self, stage: str) -> dict[str, Any]:
        """What `mark_done` recorded."""
        return read_object(self.stage_marker(stage), "what a finished stage left")


def claim_folder(root: Path, config: str) -> RunFolder:
    """Make a run's folder, or take up the one that was begun with the same settings.

    Args:
        root: the folder; missing, empty, or of an earlier run.
        config: the settings in TOML; tables named `versions` are not compared.

    Returns:
        The folder, holding its settings.

    Raises:
        InputError: it is a file, holds something else or a run with other settings, or cannot be written.
    """
    try:
        return _claimed(RunFolder(root), config)
    except OSError as error:
        raise InputError(f"cannot be written ({error.strerror})", "a folder for the run", file=root) from error


def refuse_folder(root: Path, config: str) -> None:
    """Raise InputError where `claim_folder` would, as far as that shows without writing anything."""
    try:
        _refuse_foreign(root)
        if (there := RunFolder(root).path("config")).is_file():
            _refuse_other_settings(there, config)
    except OSError as error:
        raise InputError(f"cannot be read ({error.strerror})", "a folder for the run", file=root) from error


@contextmanager
def hold_folder(root: Path) -> Iterator[None]:
    """Keep other processes from running in a run's folder until the block ends, or this process does.

    Args:
        root: the folder, as for `claim_folder`; made if it is missing.

    Yields:
        Nothing.

    Raises:
        InputError: another process holds it, it holds files of something else, or it cannot be written.
    """
    try:
        _refuse_foreign(root)
        follow_links(root).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"cannot be written ({error.strerror})", "a folder for the run", file=root) from error
    with locked(root):
        yield


def _claimed(folder: RunFolder, config: str) -> RunFolder:
    """The folder, new or taken up; what killed processes left in it is removed."""
    _refuse_foreign(folder.root)
    if folder.path("config").is_file():
        _refuse_other_settings(folder.path("config"), config)
        sweep(folder.root)
    else:
        write_text(folder.path("config"), config)
    return folder


def _refuse_foreign(root: Path) -> None:
    """Raise unless the folder is missing, empty, of an earlier run, or what `nestvec check --out` left."""
    if root.exists() and not root.is_dir():
        raise InputError("is a file", "a folder for the run", file=root)
    if not root.is_dir() or RunFolder(root).path("config").is_file():
        return
    if any(not entry.name.startswith(".") and entry.name not in CHECK for entry in root.iterdir()):
        wanted = "a new or empty folder, or that of a run with the same settings"
        raise InputError("holds files that no run made", wanted, file=root)


def _refuse_other_settings(path: Path, config: str) -> None:
    """Raise with the differences between a run's settings and those wanted now."""
    there, now = read_run_config(path).compared, parse_run_config(config).compared
    if there.get("compute") == "auto":  # a run of before the resolved number format was kept
        there["compute"] = now.get("compute")
    for name in now:
        if name in _FOUND or name.startswith(FILES_OF):  # a run of before what was found was kept, or hashed
            there.setdefault(name, now[name])
    there = {name: value for name, value in Settings().flat().items() if name in now} | there  # settings that are new
    ordered = sorted({*there, *now}, key=lambda name: (name.startswith(FILES_OF), name))  # hashes tell a reader least
    names = [name for name in ordered if there.get(name) != now.get(name)]
    if names:
        shown = "; ".join(f"{name} was {there.get(name, 'not set')}, now {now.get(name, 'not set')}" for name in names)
        raise InputError(
            f"was made with other settings: {shown}", "the same settings, or another --out", file=path.parent
        )
