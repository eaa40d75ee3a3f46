"""A run killed with SIGKILL at random moments and started again until it is done, beside one that nobody disturbed.

    python benchmarks/crash.py [--kills 20] [--seed 1] [--records 600] [--model NAME]

A moment is uniform over the next third of the training that is left; one kill in four then waits for the next
checkpoint and falls as that is written, or just after. After each, every file that a reader may open is read. A run
that is trained before the kills are spent is compared, and another one begins. Models must be equal bit for bit, and
all else but what tells times; otherwise, or if a file is damaged, the exit code is 1. The last line is JSON.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow.parquet as pq
import torch
from safetensors import safe_open

from nestvec.runs.folder import RunFolder
from nestvec.settings import DEFAULT_MODEL
from nestvec.training.trainer import last_checkpoint

if TYPE_CHECKING:
    from collections.abc import Callable

SYSTEMS = ("mnr", "graded")
WRITING, TEMPORARY = "checkpoints/*/.writing/*", "**/.*.tmp"  # what is not in its place yet
STRIDE = 3  # a kill falls into the next third of the training left, so that a round takes several
AIMED = 4  # of so many kills one falls as a checkpoint is written
LONGEST_WRITE = 0.5  # seconds after such a write began within which the kill falls
# `nestvec run`, with a line for every unit of work: only so can be told where a kill fell.
CHILD = """
import sys
from contextlib import contextmanager
from nestvec.cli import main, options
from nestvec.progress import Silent

class Told(Silent):
    @contextmanager
    def step(self, label, total):
        done = 0
        def advance(units):
            nonlocal done
            done += units
            print(f"{label} {done}/{total}", flush=True)
        print(f"{label} 0/{total}", flush=True)
        yield advance

options.make_reporter = lambda *_: Told()
sys.argv = ["nestvec", *sys.argv[1:]]
main()
"""


@dataclass(frozen=True)
class Expected:
    """How long an undisturbed run took.

    Attributes:
        start: seconds before its first stage.
        stages: seconds of each stage, in order.
        steps: optimizer steps of each system.
        whole: seconds from start to end.
    """

    start: float
    stages: dict[str, float]
    steps: dict[str, int]
    whole: float

    def left(self, folder: RunFolder) -> float:
        """Seconds that a run over this folder should take until the last training ends."""
        seconds = self.start
        for stage, spent in self.stages.items():
            if not folder.is_done(stage) and stage.startswith("train "):
                system = stage.removeprefix("train ")
                checkpoint = last_checkpoint(folder.checkpoints(system))
                done = int(checkpoint.name.rpartition("-")[2]) / self.steps[system] if checkpoint else 0.0
                seconds += spent * (1 - done)
        return seconds


@dataclass
class Process:
    """A run in a process of its own.

    Args:
        options: of `nestvec run`.
        out: the run's folder.
    """

    options: list[str]
    out: Path

    def __post_init__(self) -> None:
        """Start it."""
        self.log = self.out.with_suffix(".log")
        self.started, self.since = time.perf_counter(), time.time()
        with self.log.open("w") as stream:
            command = [sys.executable, "-c", CHILD, "run", "sample", "--out", str(self.out), *self.options]
            self.child = subprocess.Popen(command, stdout=stream, stderr=subprocess.STDOUT, start_new_session=True)

    @property
    def elapsed(self) -> float:
        """Seconds since its start."""
        return time.perf_counter() - self.started

    def wait(self, until: Callable[[], bool] = lambda: False) -> bool:
        """Wait for its end or for something else; whether it still runs. A failed run ends the benchmark."""
        try:
            while self.child.poll() is None:
                if until():
                    return True
                time.sleep(0.002)
        except BaseException:  # Ctrl-C does not reach a session of its own
            self.kill()
            raise
        if self.child.returncode:
            raise SystemExit(f"the run ended with {self.child.returncode}: {self.log.read_text()[-3000:]}")
        return False

    def kill(self) -> str:
        """Kill it; says what it was doing, as far as it had told."""
        os.killpg(self.child.pid, signal.SIGKILL)
        self.child.wait()
        lines = self.log.read_text().splitlines()
        return next((line for line in reversed(lines) if line.rpartition(" ")[2].count("/") == 1), "start")


def undisturbed(options: list[str], out: Path) -> Expected:
    """Run once without a kill."""
    process = Process(options, out)
    process.wait()
    whole, folder = process.elapsed, RunFolder(out)
    stages = {stage: folder.facts(stage)["seconds"] for stage in folder.done()}
    steps = {system: folder.facts(f"train {system}")["steps"] for system in SYSTEMS}
    return Expected(whole - sum(stages.values()), stages, steps, whole)


def disturbed(number: int, options: list[str], out: Path, expected: Expected, rng: np.random.Generator) -> str | None:
    """Start a run, or take it up, and kill it; the row of the table, or None if it was trained before."""
    folder = RunFolder(out)
    if all(folder.is_done(f"train {system}") for system in SYSTEMS):
        return None
    aimed = number % AIMED == AIMED // 2
    at = expected.start + rng.uniform(0, expected.left(folder) / STRIDE)
    late = LONGEST_WRITE * rng.uniform() ** 2  # more often soon than late: writes are short
    origin = ", ".join(str(path.relative_to(out)) for system in SYSTEMS if (path := checkpoint_of(folder, system)))
    process = Process(options, out)
    running = process.wait(lambda: process.elapsed >= at)
    if running and aimed:
        running = process.wait(lambda: begun(out, WRITING, process.since))
        at = process.elapsed + late
        running = running and process.wait(lambda: process.elapsed >= at)
    if not running:
        return None
    moment, told = process.elapsed, process.kill()
    places = {"in a checkpoint": WRITING, "in a file": TEMPORARY}
    inside = next((place for place, pattern in places.items() if begun(out, pattern, process.since)), "")
    return f"{number:>4} {moment:7.2f} s  {told:<26} {inside:<16} {origin or '-'}"


def checkpoint_of(folder: RunFolder, system: str) -> Path | None:
    """What a training that is not done goes on from."""
    return None if folder.is_done(f"train {system}") else last_checkpoint(folder.checkpoints(system))


def begun(out: Path, pattern: str, since: float) -> bool:
    """Whether there is something of that name that this process began; an earlier one's may lie about."""
    for path in out.glob(pattern):
        with contextlib.suppress(FileNotFoundError):  # renamed meanwhile
            if path.stat().st_mtime >= since:
                return True
    return False


def damaged(out: Path) -> list[str]:
    """What cannot be read of all that a reader may open: every file but those under temporary names."""
    found = []
    for path in sorted(out.rglob("*")):
        parts = path.relative_to(out).parts
        if path.is_file() and path.suffix in READERS and not any(part.endswith((".writing", ".tmp")) for part in parts):
            try:
                READERS[path.suffix](path)
            except Exception as error:  # each reader has its own
                found.append(f"{path.relative_to(out)}: {type(error).__name__}: {error}")
    for system in SYSTEMS:
        found += incomplete(RunFolder(out), system)
    return found


def incomplete(folder: RunFolder, system: str) -> list[str]:
    """What is missing from the checkpoints that a training would go on from or take its best weights from."""
    newest = checkpoint_of(folder, system)
    if newest is None:
        return []
    state = json.loads((newest / "trainer_state.json").read_text())
    needed = {newest: ("model.safetensors", "optimizer.pt", "scheduler.pt", "rng_state.pth", "modules.json")}
    best = folder.checkpoints(system) / f"checkpoint-{state['best_global_step']}"
    if state["best_global_step"]:
        needed.setdefault(best, ("model.safetensors", "modules.json"))
    paths = [path / name for path, names in needed.items() for name in names]
    return [f"{path.relative_to(folder.root)} is missing" for path in paths if not path.is_file()]


def read_safetensors(path: Path) -> None:
    """Read every tensor."""
    with safe_open(path, framework="numpy") as tensors:
        for name in tensors.keys():  # noqa: SIM118 - it is no mapping
            tensors.get_tensor(name)


READERS: dict[str, Callable[[Path], Any]] = {
    ".json": lambda path: json.loads(path.read_text(encoding="utf-8")),
    ".npy": lambda path: np.load(path, allow_pickle=False),
    ".parquet": lambda path: pq.read_table(path),
    ".pt": lambda path: torch.load(path, weights_only=False),
    ".pth": lambda path: torch.load(path, weights_only=False),
    ".safetensors": read_safetensors,
    ".trec": lambda path: [int(line.split()[3]) for line in path.read_text(encoding="utf-8").splitlines()],
}


def contents(out: Path) -> dict[str, str]:
    """Hash of each file of a finished run, without what tells times: seconds, and the page and figures made of them."""
    found = {}
    for path in sorted(out.rglob("*")):
        name = str(path.relative_to(out))
        if not path.is_file() or name.startswith(("figures/", "logs/", "report.html")):
            continue
        data = path.read_bytes()
        if path.suffix == ".json":
            data = json.dumps(timeless(json.loads(data)), sort_keys=True).encode()
        found[name] = hashlib.sha256(data).hexdigest()
    return found


def timeless(value: Any) -> Any:  # noqa: ANN401 - anything JSON can hold
    """The same without what tells times, at any depth."""
    if isinstance(value, dict):
        return {name: timeless(held) for name, held in value.items() if name not in ("seconds", "timings")}
    return [timeless(held) for held in value] if isinstance(value, list) else value


def main() -> None:
    """Run, kill, compare and print."""
    options = parsed()
    rng = np.random.default_rng(options.seed)
    typed = ["--max-records", str(options.records), "--split-column", "none"]  # else few of them train
    typed += ["--epochs", "1", "--compute", "float32"]
    typed += ["--systems", ",".join(SYSTEMS), "--batch-size", "8", "--validate-every", str(options.validate_every)]
    typed += ["--precisions", "float32", "--resamples", "1000", "--model", options.model]
    kills, rounds, inside, differences, broken = 0, 0, 0, list[str](), list[str]()
    with tempfile.TemporaryDirectory(prefix="nestvec-crash-") as place:
        whole = Path(place) / "whole"
        expected = undisturbed(typed, whole)
        spent = ", ".join(f"{stage} {seconds:.1f}" for stage, seconds in expected.stages.items())
        print(f"undisturbed: {expected.whole:.1f} s: start {expected.start:.1f}, {spent}; steps {expected.steps}")
        print(f"{'kill':>4} {'moment':>9}  {'reached':<26} {'inside':<16} went on from")
        wanted = contents(whole)
        while kills < options.kills:
            rounds += 1
            out = Path(place) / f"run{rounds}"
            while row := kills < options.kills and disturbed(kills + 1, typed, out, expected, rng):
                kills, inside = kills + 1, inside + ("in a checkpoint" in row)
                print(row, flush=True)
                broken += [f"kill {kills}: {found}" for found in damaged(out)]
            Process(typed, out).wait()
            there = contents(out)
            names = sorted(name for name in {*wanted, *there} if wanted.get(name) != there.get(name))
            differences += [f"run {rounds}: {name} differs" for name in names]
            models = sum(name.endswith(".safetensors") for name in there)
            print(f"run {rounds} is done: {len(there)} files, {models} models, {len(names)} differ", flush=True)
    for line in (*broken, *differences):
        print(line)
    facts = {"kills": kills, "runs": rounds, "inside_checkpoints": inside, "seed": options.seed}
    facts |= {"records": options.records, "undisturbed_s": round(expected.whole, 1), "steps": expected.steps}
    print(json.dumps({**facts, "damaged": len(broken), "different": len(differences)}))
    sys.exit(bool(broken or differences))


def parsed() -> argparse.Namespace:
    """What was typed."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--seed", type=int, default=1, help="decides the moments")
    parser.add_argument("--records", type=int, default=600, help="of the sample; more take longer")
    parser.add_argument("--validate-every", type=int, default=3, help="steps from one checkpoint to the next")
    parser.add_argument("--model", default=DEFAULT_MODEL, help="what to train")
    return parser.parse_args()


if __name__ == "__main__":
    main()
