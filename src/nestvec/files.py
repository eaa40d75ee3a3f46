"""The run's folder: where each file lies, how it is written, and which stages are done.

Everything is written to a temporary name beside its place and renamed, so that a reader never sees half a file and a
killed run leaves nothing that looks finished. A stage is done when its marker exists; the marker is written last.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import shutil
import tomllib
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nestvec.errors import InputError, NestvecError

if TYPE_CHECKING:
    from collections.abc import Iterator

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
    "models": "models",
    "checkpoints": "checkpoints",
    "mined": "mined",
    "logs": "logs",
    "embeddings": "embeddings",
    "runs": "runs",
    "codes": "codes",
    "results": "results.json",
    "per_query": "per_query.parquet",
    "training": "training.json",
    "recommendation": "recommendation.json",
    "report": "report.html",
    "figures": "figures",
    "tables": "tables",
    "index": "index",
    "stages": ".stages",
}


FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)  # of the disk, the quota, the largest file allowed
CHECK = ("check.json", "check.html")  # what `nestvec check --out` leaves; a run may follow in the same folder


@dataclass(frozen=True)
class RunFolder:
    """A run's folder on disk; `LAYOUT` says what lies where."""

    root: Path

    def path(self, name: str) -> Path:
        """Where the file or folder called `name` in `LAYOUT` lies."""
        return self.root / LAYOUT[name]

    def model(self, system: str) -> Path:
        """The saved model of a trained system."""
        return self.path("models") / system

    def checkpoints(self, system: str) -> Path:
        """What a training in progress goes on from; gone when the system is saved."""
        return self.path("checkpoints") / system

    def run(self, name: str) -> Path:
        """The TREC run file of one point of the surface; `name` as in `Point.name`, such as `mnr.48.int8`."""
        return self.path("runs") / f"{name}.trec"

    def embeddings(self, system: str) -> Path:
        """The encoded queries and documents of a system."""
        return self.path("embeddings") / f"{system}.npy"

    def codecs(self, system: str) -> Path:
        """How a system's vectors were coded at every dimension and precision; a trained one's lies with its model."""
        model = self.model(system)
        return (model if model.is_dir() else self.path("codes") / system) / "codecs.safetensors"

    def codes(self, name: str) -> Path:
        """The documents' codes at one point of the surface, with their codec."""
        return self.path("codes") / f"{name}.safetensors"

    def is_done(self, stage: str) -> bool:
        """Whether a stage was finished by this or an earlier process."""
        return (self.path("stages") / f"{stage}.json").exists()

    def mark_done(self, stage: str, facts: dict[str, Any]) -> None:
        """Record that a stage is finished, with facts such as its seconds; call it after its last file is in place."""
        write_json(self.path("stages") / f"{stage}.json", facts)

    def done(self) -> list[str]:
        """Finished stages, in the order they finished."""
        markers = self.path("stages").glob("*.json")
        return [marker.stem for marker in sorted(markers, key=lambda marker: (marker.stat().st_mtime_ns, marker.name))]

    def facts(self, stage: str) -> dict[str, Any]:
        """What `mark_done` recorded."""
        return dict(read_json(self.path("stages") / f"{stage}.json"))


def claim_folder(root: Path, config: str, shared: bool = False) -> RunFolder:
    """Make a run's folder, or take up the one that was begun with the same settings.

    Args:
        root: the folder; missing, empty, or of an earlier run.
        config: the settings in TOML; tables named `versions` are not compared.
        shared: whether other processes may be writing there; their temporary files are left alone.

    Returns:
        The folder, holding its settings.

    Raises:
        InputError: it is a file, holds something else or a run with other settings, or cannot be written.
    """
    try:
        return _claimed(RunFolder(root), config, shared)
    except OSError as error:
        raise InputError(f"cannot be written ({error.strerror})", "a folder for the run", file=root) from error


def _claimed(folder: RunFolder, config: str, shared: bool) -> RunFolder:
    """The folder, new or taken up."""
    root = folder.root
    if root.exists() and not root.is_dir():
        raise InputError("is a file", "a folder for the run", file=root)
    if folder.path("config").is_file():
        _refuse_other_settings(folder.path("config"), config)
        for stale in () if shared else root.rglob(".*.tmp"):  # of a run that was killed
            remove(stale)
        return folder
    if root.is_dir() and any(not entry.name.startswith(".") and entry.name not in CHECK for entry in root.iterdir()):
        wanted = "a new or empty folder, or that of a run with the same settings"
        raise InputError("holds files that no run made", wanted, file=root)
    write_text(folder.path("config"), config)
    return folder


def _refuse_other_settings(path: Path, config: str) -> None:
    """Raise with the first differences between a run's settings and those wanted now."""
    try:
        there, now = (_flat(tomllib.loads(text)) for text in (path.read_text(encoding="utf-8"), config))
    except ValueError as error:
        raise InputError(f"is damaged ({error})", "the settings of a run", file=path) from error
    differing = [name for name in sorted({*there, *now}) if there.get(name) != now.get(name)]
    if differing:
        shown = "; ".join(
            f"{name} was {there.get(name, 'not set')}, now {now.get(name, 'not set')}" for name in differing
        )
        raise InputError(
            f"was made with other settings: {shown}", "the same settings, or another --out", file=path.parent
        )


def _flat(values: dict[str, Any]) -> dict[str, Any]:
    """Settings and inputs by name; where an input lies may differ, as may versions: what it hashes to counts."""
    hashes, tuned = values.get("inputs"), values.get("tune")
    inputs = {f"{name}'s sha256": value for name, value in (hashes if isinstance(hashes, dict) else {}).items()}
    places = {"source", "queries", "corpus", "qrels", "model"}
    settings = {name: value for name, value in values.items() if not isinstance(value, dict) and name not in places}
    study = {f"tune.{name}": value for name, value in (tuned if isinstance(tuned, dict) else {}).items()}
    study.pop("tune.trials", None)  # a study may be made longer
    return settings | inputs | study


@contextmanager
def full_disk(path: Path) -> Iterator[None]:
    """One message where the disk is full.

    Args:
        path: what is being written.

    Yields:
        Nothing.

    Raises:
        NestvecError: it is.
    """
    try:
        yield
    except OSError as error:
        if error.errno not in FULL:
            raise
        raise NestvecError(f"{path} cannot be written ({error.strerror}); what was finished before stays") from error


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A temporary file or folder name beside `path` that takes its place when the block ends well.

    Whatever the block wrote is removed when it raises; what was at `path` stays until the new one is complete.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    remove(temporary)
    try:
        with full_disk(path):
            yield temporary
            if path.is_dir() and temporary.exists():  # a folder cannot be renamed over one that has files
                remove(path)
            temporary.replace(path)
    finally:
        remove(temporary)


def write_text(path: Path, text: str) -> None:
    """Write UTF-8 text atomically."""
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path: Path, value: Any) -> None:  # noqa: ANN401 - anything JSON can hold
    """Write JSON atomically, in a form that diffs well; NaN and infinities are refused."""
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def read_json(path: Path) -> Any:  # noqa: ANN401 - anything JSON can hold
    """Read a JSON file of a run.

    Args:
        path: the file.

    Returns:
        Its content.

    Raises:
        InputError: the file is missing or damaged.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"cannot be read ({error.strerror})", "a file of a finished run", file=path) from error
    except ValueError as error:
        raise InputError(f"is damaged: {error}", "JSON", file=path) from error


def sha256(path: Path) -> str:
    """The file's SHA-256 in hex; read in pieces, so any size is fine."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def remove(path: Path) -> None:
    """Delete a file or folder if it is there."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
