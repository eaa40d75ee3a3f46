"""Attempts to make nestvec lose or falsify something, each judged: tried, held, fell.

    python benchmarks/attack.py [--run DIR] [--parts readers,kills,...] [--effort 1.0] [--seed 1]

Without `--run`, a small run of the built-in sample is made first (nothing is trained). `--effort 0.1` does a tenth of
each part's attempts or seconds. The exit code is 1 where anything fell. The last line is JSON.
"""

from __future__ import annotations

import argparse
import importlib
import json
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict
from pathlib import Path

PARTS = {
    "readers": "searches of both stores beside writers, each compared with the answers that are allowed",
    "server": "64 clients, slow readers and idle connections at `nestvec serve` under `ulimit -n 256`",
    "kills": "SIGKILL at random moments of run, export, index, upsert, encode and tune, then continued",
    "folders": "mutated files of a run's, an index's and an export's folder, each opened by what reads it",
    "models": "models that were swapped, poisoned, or state nonsense",
    "inputs": "files that unpack to gigabytes, or whose numbers are beyond a double",
}


def make_run(folder: Path) -> Path:
    """A run of the built-in sample: pretrained model and BM25, nothing trained."""
    run = folder / "run"
    words = [sys.executable, "-m", "nestvec", "run", "sample", "--max-records", "1500", "--epochs", "0", "--quiet"]
    subprocess.run([*words, "--out", str(run)], check=True, stdout=subprocess.DEVNULL)
    return run


def main() -> None:
    """Attack and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--run", type=Path)
    parser.add_argument("--parts", default=",".join(PARTS))
    parser.add_argument("--effort", type=float, default=1.0)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    outcomes = []
    with tempfile.TemporaryDirectory(prefix="nestvec-attack-") as held:
        run = options.run or make_run(Path(held))
        for part in options.parts.split(","):
            folder = Path(held) / part
            folder.mkdir()
            start = time.perf_counter()
            outcome = importlib.import_module(f"attack_{part}").attack(run, folder, options.effort, options.seed)
            outcome.figures["seconds"] = round(time.perf_counter() - start, 1)
            outcomes.append(outcome)
            print(f"{part:<10}{outcome.tried:>7,} tried{outcome.held:>7,} held{len(outcome.fell):>5} fell", flush=True)
            for fall in outcome.fell[:20]:
                print(f"    {fall}", flush=True)
    fell = sum(len(outcome.fell) for outcome in outcomes)
    print(json.dumps({"fell": fell, "parts": {one.name: {**asdict(one), "held": one.held} for one in outcomes}}))
    sys.exit(1 if fell else 0)


if __name__ == "__main__":
    main()
