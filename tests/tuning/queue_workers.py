"""Workers that take slots of a study and end them, while they are killed at random by what no process can catch.

    python tests/tuning/queue_workers.py ROOT URL SLOTS KILLS

URL is `-` for a journal in ROOT. A slot's value is its number. All workers are forked from one that has imported
everything; a killed one is replaced at once.
"""

from __future__ import annotations

import os
import random
import signal
import sys
import time
from pathlib import Path

import optuna.storages  # noqa: F401 - so that the forked processes need not
import sqlalchemy.dialects.postgresql.psycopg  # noqa: F401

from nestvec.tuning.space import Values
from nestvec.tuning.storage import open_study_storage
from nestvec.tuning.trial_queue import TrialQueue, TrialRules

SPACE = (Values("a", tuple(range(10))), Values("b", tuple(range(10))))


def open_queue(root, url, slots):
    """The study's queue, and its storage."""
    rules = TrialRules("random", slots, (), SPACE, "none", ("maximize",), 7, "the same")
    storage = open_study_storage(Path(root), None if url == "-" else url, "dealt")
    return TrialQueue(storage, "dealt", rules), storage


def work(root, url, slots):
    """Take and end slots until all are finished."""
    queue, storage = open_queue(root, url, slots)
    while not queue.is_done:
        taken = queue.take_trial()
        if taken is None:
            time.sleep(0.1)
            continue
        trial, slot = taken
        time.sleep(0.05 + random.random() * 0.2)
        queue.end_trial(trial, [float(slot)])
        queue.release_slot(slot)
    storage.close()


def start_worker(given):
    """A worker in a process of its own."""
    child = os.fork()
    if not child:
        random.seed(os.getpid())
        work(*given)
        os._exit(0)
    return child


if __name__ == "__main__":
    root, url, slots, kills = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
    given, killed = (root, url, slots), 0
    random.seed(3)
    workers = [start_worker(given) for _ in range(3)]
    for _ in range(kills):  # all of them long before the slots can be finished
        time.sleep(0.03 + random.random() * 0.12)
        victim = random.randrange(len(workers))
        os.kill(workers[victim], signal.SIGKILL)
        killed += os.WTERMSIG(os.waitpid(workers[victim], 0)[1]) == signal.SIGKILL
        workers[victim] = start_worker(given)
    for worker in workers:
        assert os.waitpid(worker, 0)[1] == 0
    sys.stdout.write(f"killed {killed}\n")
