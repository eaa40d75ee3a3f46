"""Lists the runs in a folder: each run's data and recommendation, and the next stage of unfinished runs."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nestvec.errors import InputError
from nestvec.point import BM25, PRETRAINED
from nestvec.runs.config import read_run_config
from nestvec.runs.folder import RunFolder
from nestvec.runs.run import Run
from nestvec.settings import Settings, TrainingSettings

if TYPE_CHECKING:
    from collections.abc import Iterator

    from nestvec.runs.config import Config

LEVELS = 3  # depth of the search below the given folder: runs/shoes/monday, and tuning/shoes/best/run
FINISHED, UNFINISHED, DAMAGED = "finished", "unfinished", "damaged"
_MODEL = "model "  # begins the keys of measured models among a run's inputs


@dataclass(frozen=True)
class ListedRun:
    """A run in the list of runs, finished or not.

    Attributes:
        name: path of the run relative to the folder that was searched.
        path: path of the run's folder.
        state: `finished`, `unfinished` or `damaged`.
        date: day of the measurement in UTC, or the day when an unmeasured run began; empty if unknown.
        source: name of the data; empty if unknown.
        next_stage: the stage at which an unfinished run continues.
        problem: what is wrong with which file of a damaged run.
        decision: `ship` or `do not ship`, for a finished run.
        point: name of the recommended vectors, such as `mnr+bm25.384.binary`; None if nothing is recommended.
        bytes_per_vector: size of the recommended vectors.
        metric: metric that decided the recommendation.
        value: that metric of the recommended vectors, on test.
        words: that metric of keyword search (BM25) alone, on test.
    """

    name: str
    path: str
    state: str
    date: str = ""
    source: str = ""
    next_stage: str | None = None
    problem: str | None = None
    decision: str | None = None
    point: str | None = None
    bytes_per_vector: int | None = None
    metric: str | None = None
    value: float | None = None
    words: float | None = None


def list_runs(root: Path) -> list[ListedRun]:
    """Find the runs, finished or not, in a folder and up to three levels below the folder.

    Args:
        root: a run's folder, or a folder with runs in it. Runs inside the folder of a run are not listed.

    Returns:
        The runs, sorted by name.

    Raises:
        InputError: `root` is not a folder, or cannot be read.
    """
    if not root.is_dir():
        problem = "is not a folder" if root.exists() else "there is no such folder"
        raise InputError(problem, "a folder of runs", file=root)
    try:
        next(root.iterdir(), None)
    except OSError as error:
        raise InputError(f"cannot be read ({error.strerror})", "a folder of runs", file=root) from error
    return [_describe(folder, root) for folder in _find_folders(root, LEVELS, set())]


def _find_folders(folder: Path, levels: int, seen: set[Path]) -> Iterator[Path]:
    """Find the folders of runs, in a folder and below; a folder that several symbolic links lead to is listed once."""
    real = folder.resolve()
    if real in seen:
        return
    seen.add(real)
    if _is_run(RunFolder(folder)):
        yield folder
        return
    try:
        below = sorted(entry for entry in folder.iterdir() if entry.is_dir()) if levels else []
    except OSError:  # folders that this user may not read are skipped
        return
    for entry in below:
        if not entry.name.startswith("."):
            yield from _find_folders(entry, levels - 1, seen)


def _is_run(folder: RunFolder) -> bool:
    """Whether a folder holds a run: markers of finished stages, or a `config.toml` with the settings of a run."""
    if folder.path("stages").is_dir():
        return True
    try:
        config = read_run_config(folder.path("config"))
    except InputError:  # missing, or the config.toml of another program
        return False
    return "nestvec" in config.versions and not config.tune  # a study also has settings, but is not a run


def _describe(path: Path, root: Path) -> ListedRun:
    """Describe a run for the list of runs; if a file of the run is damaged, the description says what is wrong."""
    folder, name = RunFolder(path), path.relative_to(root).as_posix()
    known: dict[str, Any] = {"name": path.resolve().name if path == root else name, "path": str(path)}
    try:
        config = read_run_config(folder.path("config"))
        known["source"] = str(config.settings.get("qrels") or config.settings.get("source", ""))
        known["date"] = _read_date(folder)
        if not folder.is_done("report"):  # the same condition as in `load_run`
            return ListedRun(**known, state=UNFINISHED, next_stage=find_next_stage(folder, config))
        return ListedRun(**known | _read_answer(Run(folder)), state=FINISHED)
    except InputError as error:
        return ListedRun(**known, state=DAMAGED, problem=str(error))


def _read_date(folder: RunFolder) -> str:
    """Give the day of the measurement in UTC, as in the report; before the measurement, the day of the run's start."""
    measured, begun = folder.path("results"), folder.path("config")
    changed = (measured if measured.is_file() else begun).stat().st_mtime
    return datetime.fromtimestamp(changed, tz=UTC).strftime("%Y-%m-%d")


def _read_answer(run: Run) -> dict[str, Any]:
    """Read what a finished run recommends; raises InputError if a file is damaged."""
    recommendation, point, words = run.recommendation, run.recommendation.point, run.points.get(BM25)
    metric = recommendation.metric
    answer: dict[str, Any] = {"source": run.results.source, "decision": recommendation.decision, "metric": metric}
    if words is not None and metric in words.metrics:
        answer["words"] = words.metrics[metric].value
    if point is not None:
        row = run.points[run.chosen.name]
        value = row.metrics[metric].value if metric in row.metrics else None
        answer |= {"point": row.name, "bytes_per_vector": row.bytes_per_vector, "value": value}
    return answer


def find_next_stage(folder: RunFolder, config: Config) -> str | None:
    """Find the stage at which a run continues, such as `train mnr of fold 2`; None if all stages are finished.

    The stages and their order are those of `pipeline.run_stages`, derived from the run's settings. Raises InputError if
    the settings are damaged.
    """
    for part, number, stage in _list_stages(folder, config):
        if not part.is_done(stage):
            return f"{stage} of fold {number}" if number else stage
    return None


def _list_stages(folder: RunFolder, config: Config) -> list[tuple[RunFolder, int, str]]:
    """List all stages of a run in order, each with the folder of its marker file and its fold's number, else 0."""
    settings = Settings().flat() | config.settings
    systems, folds = settings["systems"], settings.get("folds", 0)
    if not isinstance(systems, Iterable) or not isinstance(folds, int):
        what = "systems" if isinstance(folds, int) else "folds"
        problem = f"is damaged: {what} is {settings.get(what)!r}"
        raise InputError(
            problem, "a list of system names under systems, and a whole number under folds", file=folder.path("config")
        )
    training = TrainingSettings(systems=tuple(map(str, systems)), adapt=settings["adapt"])
    trained = training.trained if settings["epochs"] else ()
    others = [name.removeprefix(_MODEL) for name in config.inputs if name.startswith(_MODEL)]
    whole = (folder, 0)
    parts = [] if folder.is_done("evaluate") else [(folder.fold(number), number) for number in range(1, folds + 1)]
    return [
        (*whole, "prepare"),
        *((*part, f"train {system}") for part in (*parts, whole) for system in trained),
        *((*whole, f"encode {system}") for system in (PRETRAINED, *others, *trained)),
        *((*part, f"encode {system}") for part in parts for system in trained),
        *((*part, "fit") for part in (whole, *parts)),
        (*whole, "evaluate"),
        (*whole, "report"),
    ]
