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

from nestvec.tuning.trial_queue import Board, Rules
from nestvec.tuning.space import Values
from nestvec.tuning.storage import open_store

SPACE = (Values("a", tuple(range(10))), Values("b", tuple(range(10))))


def opened(root, url, slots):
    """The study's queue."""
    rules = Rules("random", slots, (), SPACE, "none", ("maximize",), 7, "the same")
    store = open_store(Path(root), None if url == "-" else url, "dealt")
    return Board(store, "dealt", rules), store


def work(root, url, slots):
    """Take and end slots until all are finished."""
    board, store = opened(root, url, slots)
    while not board.done:
        taken = board.take()
        if taken is None:
            time.sleep(0.1)
            continue
        trial, slot = taken
        time.sleep(0.05 + random.random() * 0.2)
        board.tell(trial, [float(slot)])
        board.let_go(slot)
    store.close()


def started(given):
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
    workers = [started(given) for _ in range(3)]
    for _ in range(kills):  # all of them long before the slots can be finished
        time.sleep(0.03 + random.random() * 0.12)
        place = random.randrange(len(workers))
        os.kill(workers[place], signal.SIGKILL)
        killed += os.WTERMSIG(os.waitpid(workers[place], 0)[1]) == signal.SIGKILL
        workers[place] = started(given)
    for worker in workers:
        assert os.waitpid(worker, 0)[1] == 0
    sys.stdout.write(f"killed {killed}\n")
