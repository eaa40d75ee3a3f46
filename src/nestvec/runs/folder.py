"""The folder of a run: the paths of its files, and which stages (such as `prepare` or `evaluate`) are done.

A stage is done when its marker file exists. The marker is written last, so that a stage whose process was killed is
never taken for finished.
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

CHECK = ("check.json", "check.html")  # files of `nestvec check --out`; a run may be made in the same folder

_FOUND = ("language", "query", "query_id", "document", "document_id", "grade", "split_column")  # detected if not given


@dataclass(frozen=True)
class RunFolder:
    """The folder of a run, or of a fold of a run, on disk; `LAYOUT` lists the paths inside.

    Attributes:
        root: path of the folder.
        whole: the folder of the entire run, if this is the folder of a fold; else None.
    """

    root: Path
    whole: RunFolder | None = None

    def fold(self, number: int) -> RunFolder:
        """Give the folder of a fold, counted from 1; the fold's files have the same names as the run's."""
        return RunFolder(self.path("folds") / str(number), self)

    def path(self, name: str) -> Path:
        """Give the path of the file or folder called `name` in `LAYOUT`."""
        return self.root / LAYOUT[name]

    def model(self, system: str) -> Path:
        """Give the folder of a trained system's model."""
        return self._inside("models", system)

    def checkpoints(self, system: str) -> Path:
        """Give the folder of a training's checkpoints, which is deleted when the system is saved."""
        return self._inside("checkpoints", system)

    def run(self, name: str) -> Path:
        """Give the TREC run file of a system at one dimension and precision, such as `mnr.48.int8`."""
        return self._inside("runs", f"{name}.trec")

    def embeddings(self, system: str) -> Path:
        """Give the path of the file with a system's float32 vectors of the queries and documents."""
        return self._inside("embeddings", f"{system}.npy")

    def codecs(self, system: str) -> Path:
        """Give the path of the file with a system's codecs; a trained system has the file in its model's folder."""
        model = self.model(system)
        return (model if model.is_dir() else self._inside("codes", system)) / "codecs.safetensors"

    def query_graph(self, system: str) -> Path:
        """Give the path of a system's query encoder in ONNX, which encodes queries for an index without PyTorch."""
        return self._inside("query_graphs", system)

    def _inside(self, folder: str, name: str) -> Path:
        """Give the path of an entry in one of the run's folders; InputError if the name would lead elsewhere."""
        if "/" in name or name in (".", "..") or not can_be_path(name):
            raise InputError(f"holds the name {name[:80]!r}", "a name without slashes", file=self.root)
        return self.path(folder) / name

    def stage_marker(self, stage: str) -> Path:
        """Give the path of the file whose existence marks a stage of the run as finished."""
        return self.path("stages") / f"{stage}.json"

    def is_done(self, stage: str) -> bool:
        """Whether a stage of the run is finished, by this process or an earlier one."""
        return self.stage_marker(stage).exists()

    def mark_done(self, stage: str, facts: dict[str, Any]) -> None:
        """Record that a stage is finished, with facts such as its seconds; call this when all its files are written."""
        write_json(self.stage_marker(stage), facts)

    def done(self) -> list[str]:
        """List the finished stages, ordered by the time of finishing."""
        markers = self.path("stages").glob("*.json")
        return [marker.stem for marker in sorted(markers, key=lambda marker: (marker.stat().st_mtime_ns, marker.name))]

    def facts(self, stage: str) -> dict[str, Any]:
        """Read the facts of a finished stage, such as its seconds, that `mark_done` wrote."""
        return read_object(self.stage_marker(stage), "the facts of a finished stage")


def claim_folder(root: Path, config: str) -> RunFolder:
    """Create a run's folder, or continue in a folder that was begun with the same settings.

    Args:
        root: the folder; missing, empty, or of an earlier run.
        config: the settings in TOML; versions of packages may differ from those of the earlier run.

    Returns:
        The folder, in which `config.toml` holds the settings.

    Raises:
        InputError: `root` is a file, holds other files or a run with other settings, or cannot be written.
    """
    try:
        return _claimed(RunFolder(root), config)
    except OSError as error:
        raise InputError(f"cannot be written ({error.strerror})", "a folder for the run", file=root) from error


def refuse_folder(root: Path, config: str) -> None:
    """Check, without writing anything, whether `claim_folder` would refuse a folder; raises the same InputError."""
    try:
        _refuse_foreign(root)
        if (there := RunFolder(root).path("config")).is_file():
            _refuse_other_settings(there, config)
    except OSError as error:
        raise InputError(f"cannot be read ({error.strerror})", "a folder for the run", file=root) from error


@contextmanager
def hold_folder(root: Path) -> Iterator[None]:
    """Lock a run's folder against other processes until the `with` block or this process ends.

    Args:
        root: the run's folder; created if it is missing.

    Yields:
        Nothing.

    Raises:
        InputError: another process holds the lock, the folder holds other files, or it cannot be written.
    """
    try:
        _refuse_foreign(root)
        follow_links(root).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"cannot be written ({error.strerror})", "a folder for the run", file=root) from error
    with locked(root):
        yield


def _claimed(folder: RunFolder, config: str) -> RunFolder:
    """Write the settings to a new folder; in an existing one, compare the settings and delete half-written files."""
    _refuse_foreign(folder.root)
    if folder.path("config").is_file():
        _refuse_other_settings(folder.path("config"), config)
        sweep(folder.root)
    else:
        write_text(folder.path("config"), config)
    return folder


def _refuse_foreign(root: Path) -> None:
    """Raise InputError unless the folder is missing, empty, or made by a run or by `nestvec check --out`."""
    if root.exists() and not root.is_dir():
        raise InputError("is a file", "a folder for the run", file=root)
    if not root.is_dir() or RunFolder(root).path("config").is_file():
        return
    if any(not entry.name.startswith(".") and entry.name not in CHECK for entry in root.iterdir()):
        wanted = "a new or empty folder, or the folder of a run with the same settings"
        raise InputError("holds files that no run made", wanted, file=root)


def _refuse_other_settings(path: Path, config: str) -> None:
    """Raise InputError, listing the differences, if the folder's run was made with other settings."""
    there, now = read_run_config(path).compared, parse_run_config(config).compared
    if there.get("compute") == "auto":  # earlier versions did not record the resolved number format
        there["compute"] = now.get("compute")
    for name in now:
        if name in _FOUND or name.startswith(FILES_OF):  # earlier versions did not record these
            there.setdefault(name, now[name])
    there = {name: value for name, value in Settings().flat().items() if name in now} | there  # new settings: defaults
    ordered = sorted({*there, *now}, key=lambda name: (name.startswith(FILES_OF), name))  # hashes last
    names = [name for name in ordered if there.get(name) != now.get(name)]
    if names:
        shown = "; ".join(f"{name} was {there.get(name, 'not set')}, now {now.get(name, 'not set')}" for name in names)
        raise InputError(
            f"was made with other settings: {shown}", "the same settings, or another --out", file=path.parent
        )
