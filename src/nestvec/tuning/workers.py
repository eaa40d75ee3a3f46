"""Run a study's trials in this process, in several processes, or on each device of a Ray cluster."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO, TYPE_CHECKING, Any

from nestvec.errors import MissingExtraError, NestvecError
from nestvec.processors import count_processors
from nestvec.progress import Silent, format_rough
from nestvec.report.formatting import pluralise
from nestvec.settings import Settings
from nestvec.tuning.prepare_study import prepare_study
from nestvec.tuning.trial import run_trial
from nestvec.tuning.trial_queue import MESSAGE
from nestvec.tuning.tune_settings import TuneSettings

if TYPE_CHECKING:
    from nestvec.progress import Reporter
    from nestvec.tuning.prepare_study import Study
    from nestvec.tuning.trial_queue import TrialQueue

_POLL = 0.5  # seconds between two looks at the queue


@dataclass
class TrialAnnouncer:
    """Shows the user each finished trial of a study once."""

    queue: TrialQueue
    reporter: Reporter
    reported: set[int]  # slots
    began: float = field(default_factory=time.monotonic)  # when the first trial to show began
    count: int = 0  # trials that finished since then

    def announce_new(self) -> bool:
        """Show the trials that finished since the last call; return whether all trials are finished."""
        finished = self.queue.finished
        for slot, trial in finished.items():
            if slot not in self.reported:
                self.reported.add(slot)
                self.count += 1
                told = f"trial {slot + 1} of {self.queue.rules.slots}: {_describe_outcome(trial)}"
                self.reporter.say(told + self._describe_time_left())
        return len(finished) == self.queue.rules.slots

    def _describe_time_left(self) -> str:
        """Say how long the other trials of the study take at the mean speed so far; empty after the last trial."""
        left = self.queue.rules.slots - len(self.reported)
        if not left:
            return ""
        seconds = left * (time.monotonic() - self.began) / self.count
        return f"; at this rate, {format_rough(seconds)} for the other {pluralise(left, 'trial')}"


def run_trials_here(study: Study, queue: TrialQueue, reporter: Reporter) -> None:
    """Run trials in this process until all trials of the study are finished, by this process or by others."""
    announcer = TrialAnnouncer(queue, reporter, set(queue.finished))
    while not announcer.announce_new():
        taken = queue.take_trial()
        if taken is None:  # other workers train the rest; a trial becomes free again if its worker dies
            time.sleep(_POLL)
            continue
        trial, slot = taken
        try:
            run_trial(study.context, queue, trial, slot, reporter)
        finally:
            queue.release_slot(slot)


def run_trials_in_processes(study: Study, queue: TrialQueue, count: int, reporter: Reporter) -> None:
    """Run trials in `count` processes on this machine, which share its processors.

    Raises NestvecError if all processes end before the trials are finished.
    """
    threads = os.environ.get("OMP_NUM_THREADS") or str(max(1, count_processors() // count))
    environment = {**os.environ, "OMP_NUM_THREADS": threads}
    command = [sys.executable, "-m", "nestvec.tuning.workers"]
    with ExitStack() as stack:
        errors = stack.enter_context(TemporaryFile("w+"))
        workers = [_start_worker(command, environment, errors, stack) for _ in range(count)]
        for worker in workers:
            if worker.stdin is not None:
                worker.stdin.write(_describe_work(study) + "\n")
                worker.stdin.flush()
        announcer = TrialAnnouncer(queue, reporter, set(queue.finished))
        while not announcer.announce_new():
            if all(worker.poll() is not None for worker in workers):
                errors.seek(0)
                lines = [line for line in errors if line.strip()] or ["killed"]
                reason = lines[-1].strip()[:300]
                raise NestvecError(f"all workers ended early ({reason}); run the same command again to continue")
            time.sleep(_POLL)


def _start_worker(
    command: list[str], environment: dict[str, str], errors: IO[str], stack: ExitStack
) -> subprocess.Popen[str]:
    """Start a worker process, which is terminated when `stack` is closed."""
    worker = subprocess.Popen(command, stdin=subprocess.PIPE, stderr=errors, env=environment, text=True)
    stack.callback(worker.communicate)
    stack.callback(worker.terminate)
    return worker


def run_trials_on_ray(study: Study, queue: TrialQueue, count: int | None, reporter: Reporter) -> None:
    """Run a worker on each device of a Ray cluster, at most `count` workers if `count` is not None.

    Every machine must see the study's folder, source and storage under the same paths. Raises MissingExtraError if Ray
    is not installed, and NestvecError if all workers ended early.
    """
    try:
        import ray
    except ImportError as error:
        raise MissingExtraError("ray", "ray") from error
    from nestvec.encoding.ray_cluster import connected_to_ray, plan_actors, ray_failure

    with connected_to_ray(ray):
        devices, needs = plan_actors(ray)
        task = ray.remote(max_retries=0, **needs)(_run_worker)
        running = [task.remote(_describe_work(study)) for _ in range(min(devices, count or devices))]
        announcer, reason = TrialAnnouncer(queue, reporter, set(queue.finished)), None
        while not announcer.announce_new():
            ended, running = ray.wait(running, num_returns=len(running), timeout=_POLL) if running else ([], [])
            for worker in ended:
                try:
                    ray.get(worker)
                except ray.exceptions.RayError as error:
                    reason = ray_failure(error)
            if not running and not queue.is_done:
                raise reason or NestvecError(
                    "all cluster workers ended early; finished trials are kept: run the same command to continue"
                )
        for worker in running:  # all trials are finished, so these workers have nothing left to do
            ray.cancel(worker)


def _describe_work(study: Study) -> str:
    """Describe a study as one line of JSON, from which a worker process can run the study's trials."""
    work = {"settings": study.settings.flat(), "tuning": asdict(study.tuning), "name": study.name}
    return json.dumps({**work, "root": str(study.root.resolve())})


def _run_worker(line: str) -> None:
    """Run trials of a study that is described by one line of JSON."""
    work: dict[str, Any] = json.loads(line)
    tuning = replace(TuneSettings(**work["tuning"]), study=work["name"])
    study = prepare_study(Settings.from_flat(work["settings"]), tuning, Path(work["root"]))
    with study.open_queue() as queue:
        run_trials_here(study, queue, Silent())


def _describe_outcome(trial: Any) -> str:  # noqa: ANN401 - Optuna's trial
    if trial.state.name == "FAIL":
        return f"failed: {trial.user_attrs[MESSAGE]}"
    shown = {name: f"{value:.4g}" if isinstance(value, float) else value for name, value in trial.params.items()}
    values = " ".join(f"{name}={value}" for name, value in shown.items())
    if trial.state.name == "PRUNED":
        return f"stopped early with {values}"
    return f"{trial.values[0]:.4f} with {values}"


def _worker_main() -> None:
    """Run a worker process: it reads a study as JSON from standard input, and stops when standard input is closed."""
    import signal
    import threading

    line = sys.stdin.readline()

    def stop_at_the_end() -> None:
        sys.stdin.read()
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=stop_at_the_end, daemon=True).start()
    try:
        _run_worker(line)
    except NestvecError as error:
        sys.stderr.write(f"{error}\n")
        sys.exit(error.exit_code)


if __name__ == "__main__":
    _worker_main()
