"""Oracle: arithmetic. However workers die, as many slots are finished as were planned, each once, no point twice."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
from queue_workers import SPACE, open_queue
from studies import counted

from nestvec.errors import InputError
from nestvec.progress import Silent
from nestvec.tuning.space import Range, Values
from nestvec.tuning.storage import JOURNAL, open_study_storage
from nestvec.tuning.trial_queue import TrialQueue, TrialRules, plan_trials
from nestvec.tuning.workers import TrialAnnouncer

SCRIPT = Path(__file__).with_name("queue_workers.py")
SLOTS, KILLS = 24, 6


@pytest.fixture(params=["journal", "postgresql"])
def where(request):
    return "-" if request.param == "journal" else request.getfixturevalue("server")


def test_killed_workers_lose_nothing_and_repeat_nothing(tmp_path, where):
    command = [sys.executable, str(SCRIPT), str(tmp_path), where, str(SLOTS), str(KILLS)]
    told = subprocess.run(command, capture_output=True, text=True, check=True)
    assert told.stdout == f"killed {KILLS}\n"
    queue, store = open_queue(tmp_path, where, SLOTS)
    assert queue.is_done
    assert counted(queue) == dict.fromkeys(range(SLOTS), 1)
    finished = queue.finished
    assert [trial.values for trial in finished.values()] == [[float(slot)] for slot in range(SLOTS)]
    points = [(trial.params["a"], trial.params["b"]) for trial in finished.values()]
    assert len(set(points)) == SLOTS
    assert all(trial.state.is_finished() for trial in queue.trials)
    store.close()


def rules(**changed):
    usual = {
        "search": "random", "slots": 3, "fixed": (), "space": SPACE, "pruner": "none", "directions": ("maximize",),
        "seed": 7, "identity": "the same",
    }  # fmt: skip
    return TrialRules(**(usual | changed))


def test_a_study_can_be_made_longer_and_draws_go_on(tmp_path):
    def params(root, *lengths):
        for slots in lengths:
            store = open_study_storage(root, None, "s")
            queue = TrialQueue(store, "s", rules(slots=slots))
            while (taken := queue.take_trial()) is not None:
                queue.end_trial(taken[0], [1.0])
                queue.release_slot(taken[1])
            store.close()
        return [trial.params for trial in queue.finished.values()]

    assert params(tmp_path / "at once", 7) == params(tmp_path / "in parts", 3, 7)


def test_another_study_of_that_name_is_refused(tmp_path):
    store = open_study_storage(tmp_path, None, "s")
    TrialQueue(store, "s", rules())
    with pytest.raises(InputError, match="with other settings or data"):
        TrialQueue(store, "s", rules(identity="another"))
    store.close()


def test_a_torn_last_line_of_the_journal_is_cut_off(tmp_path):
    store = open_study_storage(tmp_path, None, "s")
    queue = TrialQueue(store, "s", rules())
    queue.end_trial(queue.take_trial()[0], [1.0])
    store.close()
    whole = (tmp_path / JOURNAL).read_bytes()
    (tmp_path / JOURNAL).write_bytes(whole + b'{"op_code": 4, "worker')
    store = open_study_storage(tmp_path, None, "s")
    assert (tmp_path / JOURNAL).read_bytes() == whole
    assert list(TrialQueue(store, "s", rules()).finished) == [0]
    store.close()


def test_a_damaged_journal_is_named(tmp_path):
    store = open_study_storage(tmp_path, None, "s")
    TrialQueue(store, "s", rules())
    store.close()
    lines = (tmp_path / JOURNAL).read_bytes().splitlines(keepends=True)
    (tmp_path / JOURNAL).write_bytes(b"".join([lines[0], b"not a line\n", *lines[1:]]))
    with pytest.raises(InputError, match=r"study\.journal: is damaged"):
        open_study_storage(tmp_path, None, "s")


def test_how_many_trials_there_are():
    grid = (Values("a", (1, 2, 3)), Range("b", 0.0, 1.0, step=0.5))
    assert plan_trials(grid, "grid", None, 1)[0] == 9
    count, points = plan_trials(grid, "grid", 4, 1)
    assert (count, len(points)) == (4, 4)
    assert points == plan_trials(grid, "grid", 8, 1)[1][:4]
    assert plan_trials(grid, "tpe", None, 1) == (9, ())  # no more than there are
    assert plan_trials((*grid, Range("c", 0.0, 1.0)), "tpe", None, 1) == (12, ())


class Told(Silent):
    def __init__(self):
        self.lines = []

    def say(self, text):
        self.lines.append(text)


def test_every_trial_but_the_last_tells_the_time_that_the_others_take(tmp_path, monkeypatch):
    store = open_study_storage(tmp_path, None, "s")
    queue, told = TrialQueue(store, "s", rules()), Told()
    clock = iter([1000.0, 1000.0 + 90, 1000.0 + 240])
    monkeypatch.setattr("nestvec.tuning.workers.time", SimpleNamespace(monotonic=lambda: next(clock)))
    announcer = TrialAnnouncer(queue, told, set(), began=next(clock))
    while (taken := queue.take_trial()) is not None:
        queue.end_trial(taken[0], [1.0])
        queue.release_slot(taken[1])
        ended = announcer.announce_new()
    assert ended
    assert [line.partition("; ")[2] for line in told.lines] == [
        "at this rate, about 3 min for the other 2 trials",  # 90 s each
        "at this rate, about 2 min for the other 1 trial",  # 240 s for two
        "",
    ]
    store.close()
