"""A study in processes that are killed, each by what no process can catch.

    python tests/tuning/killed_study.py MODEL SOURCE OUT MOMENT ...

For every MOMENT a process begins or goes on, and is killed when it has reported progress so often; the last one is left
alone. All are forked from one that has imported everything.
"""

from __future__ import annotations

import os
import signal
import sys
from contextlib import contextmanager
from pathlib import Path

import optuna  # noqa: F401 - so that the forked processes need not
import sentence_transformers  # noqa: F401
from studies import QUICK

import nestvec.training.train  # noqa: F401
from nestvec.settings import Settings
from nestvec.tuning.study import run_study
from nestvec.tuning.tune_settings import TuneSettings

SCRIPT = Path(__file__)
PLAN = {"search": "data-size", "repeats": 2}


class Loud:
    """A reporter that writes a byte for every training step."""

    def __init__(self, pipe):
        self.pipe = pipe

    def say(self, text):
        del text

    @contextmanager
    def step(self, label, total):
        del label, total
        yield lambda _: os.write(self.pipe, b".")


def search(model, source, out, reporter):
    """Run the study in this process, to its end."""
    settings = Settings.from_flat({"source": source, "model": model, **QUICK, "epochs": 2})
    run_study(settings, TuneSettings.from_flat(PLAN), Path(out), reporter)


if __name__ == "__main__":
    given, moments = sys.argv[1:4], list(map(int, sys.argv[4:]))
    for moment in moments:
        reads, writes = os.pipe()
        child = os.fork()
        if not child:
            search(*given, Loud(writes))
            os._exit(0)
        os.close(writes)
        heard = 0
        while heard < moment and (steps := os.read(reads, 1)):
            heard += len(steps)
        os.kill(child, signal.SIGKILL)
        os.close(reads)
        sys.stdout.write(f"killed by {os.WTERMSIG(os.waitpid(child, 0)[1])}\n")
    search(*given, Loud(os.open(os.devnull, os.O_WRONLY)))
