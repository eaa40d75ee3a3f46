"""Who trains: this process, several on this machine, or one a device of a Ray cluster. All take from one queue."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from contextlib import ExitStack
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO, TYPE_CHECKING, Any

from nestvec.errors import MissingExtraError, NestvecError
from nestvec.models.compute import processors
from nestvec.progress import Silent
from nestvec.settings import Settings
from nestvec.tuning.trial_queue import MESSAGE
from nestvec.tuning.tune_settings import Plan
from nestvec.tuning.prepare_study import set_up
from nestvec.tuning.trial import run_trial

if TYPE_CHECKING:
    from nestvec.progress import Reporter
    from nestvec.tuning.trial_queue import Board
    from nestvec.tuning.prepare_study import Study

_POLL = 0.5  # seconds between looks at what others do


@dataclass
class Told:
    """Says each finished trial once.

    Attributes:
        board: the study.
        reporter: is told.
        said: slots that were said.
    """

    board: Board
    reporter: Reporter
    said: set[int]

    def news(self) -> bool:
        """Say what was finished since; says whether all is."""
        finished = self.board.finished
        for slot, trial in finished.items():
            if slot not in self.said:
                self.said.add(slot)
                self.reporter.say(f"trial {slot + 1} of {self.board.rules.slots}: {_outcome(trial)}")
        return len(finished) == self.board.rules.slots


def work(study: Study, board: Board, reporter: Reporter) -> None:
    """Take trials until all are finished, whoever finishes them.

    Args:
        study: what is to be done.
        board: its queue.
        reporter: is told of progress.
    """
    told = Told(board, reporter, set(board.finished))
    while not told.news():
        taken = board.take()
        if taken is None:  # others are at work; one of them may die at it
            time.sleep(_POLL)
            continue
        trial, slot = taken
        try:
            run_trial(study.bench, board, trial, slot, reporter)
        finally:
            board.let_go(slot)


def work_in_processes(study: Study, board: Board, count: int, reporter: Reporter) -> None:
    """Let several processes of this machine work, and share the processors among them.

    Args:
        study: what is to be done.
        board: its queue.
        count: how many processes.
        reporter: is told of progress.

    Raises:
        NestvecError: processes ended before the trials did.
    """
    threads = os.environ.get("OMP_NUM_THREADS") or str(max(1, processors() // count))
    environment = {**os.environ, "OMP_NUM_THREADS": threads}
    command = [sys.executable, "-m", "nestvec.tuning.workers"]
    with ExitStack() as stack:
        said = stack.enter_context(TemporaryFile("w+"))
        workers = [_started(command, environment, said, stack) for _ in range(count)]
        for worker in workers:
            if worker.stdin is not None:
                worker.stdin.write(_recipe(study) + "\n")
                worker.stdin.flush()
        told = Told(board, reporter, set(board.finished))
        while not told.news():
            if all(worker.poll() is not None for worker in workers):
                said.seek(0)
                words = [line for line in said if line.strip()] or ["killed"]
                raise NestvecError(f"all workers ended early ({words[-1].strip()[:300]}); the same command continues")
            time.sleep(_POLL)


def _started(command: list[str], environment: dict[str, str], said: IO[str], stack: ExitStack) -> subprocess.Popen[str]:
    """A worker that is stopped at the latest when the stack is left."""
    worker = subprocess.Popen(command, stdin=subprocess.PIPE, stderr=said, env=environment, text=True)
    stack.callback(worker.communicate)
    stack.callback(worker.terminate)
    return worker


def work_on_ray(study: Study, board: Board, count: int | None, reporter: Reporter) -> None:
    """Let a worker on each device of a cluster work.

    Args:
        study: what is to be done; every machine sees its folder, its source and its storage as this one does.
        board: its queue.
        count: how many workers at most; None takes one a device.
        reporter: is told of progress.

    Raises:
        MissingExtraError: Ray is not installed.
        NestvecError: a machine failed, and no other went on.
    """
    try:
        import ray
    except ImportError as error:
        raise MissingExtraError("ray", "ray") from error
    from nestvec.encoding.ray_cluster import connected, devices, failed

    with connected(ray):
        found, needs = devices(ray)
        task = ray.remote(max_retries=0, **needs)(_from_recipe)
        left = [task.remote(_recipe(study)) for _ in range(min(found, count or found))]
        told, reason = Told(board, reporter, set(board.finished)), None
        while not told.news():
            ended, left = ray.wait(left, num_returns=len(left), timeout=_POLL) if left else ([], [])
            for one in ended:
                try:
                    ray.get(one)
                except ray.exceptions.RayError as error:
                    reason = failed(error)
            if not left and not board.done:
                raise reason or NestvecError("the cluster's workers ended early; finished trials stay")
        for one in left:  # they are about to see it too
            ray.cancel(one)


def _recipe(study: Study) -> str:
    """What a worker needs to know, as a line."""
    return json.dumps(
        {
            "settings": study.settings.flat(),
            "plan": asdict(study.plan),
            "root": str(study.root.resolve()),
            "name": study.name,
        }
    )


def _from_recipe(line: str) -> None:
    """Work as a line says."""
    told: dict[str, Any] = json.loads(line)
    plan = replace(Plan(**told["plan"]), study=told["name"])
    study = set_up(Settings.from_flat(told["settings"]), plan, Path(told["root"]))
    board, store = study.open()
    try:
        work(study, board, Silent())
    finally:
        store.close()


def _outcome(trial: Any) -> str:  # noqa: ANN401 - Optuna's trial
    """What came of a trial, in words."""
    if trial.state.name == "FAIL":
        return f"failed: {trial.user_attrs[MESSAGE]}"
    values = " ".join(
        f"{name}={value:.4g}" if isinstance(value, float) else f"{name}={value}" for name, value in trial.params.items()
    )
    if trial.state.name == "PRUNED":
        return f"stopped early with {values}"
    return f"{trial.values[0]:.4f} with {values}"


def _main() -> None:
    """A worker of `work_in_processes`: a line says what to do; when whoever wrote it is gone, it stops."""
    import signal
    import threading

    line = sys.stdin.readline()

    def stop_at_the_end() -> None:
        sys.stdin.read()
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=stop_at_the_end, daemon=True).start()
    try:
        _from_recipe(line)
    except NestvecError as error:
        sys.stderr.write(f"{error}\n")
        sys.exit(error.exit_code)


if __name__ == "__main__":
    _main()
