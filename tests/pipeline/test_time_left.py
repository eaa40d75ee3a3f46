"""Oracles: estimates worked out by hand, and the seconds that each stage of a run on Home Depot took."""

from __future__ import annotations

from contextlib import contextmanager

import pytest
from tables import rows, write_csv
from tiny_mpnet import save_tiny_mpnet

from nestvec import progress
from nestvec.pipeline.inputs import prepare
from nestvec.pipeline.rank_points import count_points
from nestvec.pipeline.run_stages import run_settings
from nestvec.pipeline.time_left import Sized, TimeLeft
from nestvec.settings import Settings

# `nestvec run home-depot.csv`, two systems, one epoch: what a stage was estimated as, and what it took on two cores.
HOME_DEPOT = (
    (Sized("train", 106_570), 349), (Sized("train", 106_570), 641), (Sized("encode", 49_641), 115),
    (Sized("encode", 49_641), 140), (Sized("encode", 49_641), 155), (Sized("fit", 91_568), 210),
    (Sized("evaluate", 256_643), 661), (Sized("report", 0), 5),
)  # fmt: skip


def test_nothing_is_said_while_nothing_is_known():
    left = TimeLeft([Sized("prepare", 0), Sized("train", 100), Sized("encode", 50)])
    assert left.estimate(0.0, 3.0) is None
    assert left.estimate(0.5, 3.0) is None  # a stage without a size says nothing about the others
    left.end_stage(6.0)
    assert left.estimate(0.0, 3.0) is None


def test_later_stages_take_as_long_as_their_size_says():
    left = TimeLeft([Sized("train", 100), Sized("train", 300), Sized("encode", 50)])
    # half of 100 in 10 s: 0.2 s for each; 10 s + 300 * 0.2 s + 50 * 0.2 s
    assert left.estimate(0.5, 10.0) == pytest.approx(80)


def test_a_kind_is_estimated_by_its_own_speed_once_it_has_begun():
    left = TimeLeft([Sized("train", 100), Sized("encode", 50), Sized("encode", 50), Sized("evaluate", 30)])
    left.end_stage(20.0)  # 0.2 s for each
    # encoding takes 0.1 s for each: 2.5 s, 5 s; ranking is not known, all in all it was 22.5 s for 125
    assert left.estimate(0.5, 2.5) == pytest.approx(2.5 + 5 + 30 * 22.5 / 125)


def test_a_stage_without_progress_is_estimated_by_those_before():
    left = TimeLeft([Sized("encode", 50), Sized("encode", 50)])
    left.end_stage(10.0)
    assert left.estimate(0.0, 4.0) == pytest.approx(6)
    assert left.estimate(0.0, 40.0) == 0.0  # longer than was thought: never less than nothing


def test_a_stage_whose_time_nobody_took_is_left_out():
    left = TimeLeft([Sized("train", 100), Sized("train", 100)])
    left.end_stage(None)
    assert left.estimate(0.0, 5.0) is None
    assert left.estimate(0.5, 5.0) == pytest.approx(5)


def test_a_run_on_real_data_is_estimated_within_a_factor_of_two():
    left = TimeLeft([stage for stage, _ in HOME_DEPOT])
    for number, (_, seconds) in enumerate(HOME_DEPOT[:-1]):
        for tenth in range(1, 10):
            true = sum(taken for _, taken in HOME_DEPOT[number:]) - seconds * tenth / 10
            assert 0.5 < left.estimate(tenth / 10, seconds * tenth / 10) / true < 2, (number, tenth)
        left.end_stage(seconds)
    assert left.estimate(0.0, 0.0) == 0.0


class Asking(progress.Silent):
    """Asks at every advance how long the run still takes, and stops the run at the third point of the surface."""

    def __init__(self):
        self.answers = []

    @contextmanager
    def step(self, label, total):
        done = 0

        def advance(units):
            nonlocal done
            done += units
            self.answers.append((label, self.outlook and self.outlook(done / total, 2.0 * done)))
            if (label, done) == ("evaluate", 3):
                raise KeyboardInterrupt

        yield advance


def test_a_run_tells_its_reporter_how_long_all_of_it_takes(tmp_path):
    options = {
        "source": str(write_csv(tmp_path / "judged.csv", rows(queries=100))),
        "model": str(save_tiny_mpnet(tmp_path / "tiny")), "dimensions": "96", "precisions": "int8", "epochs": 0,
    }  # fmt: skip
    reporter = Asking()
    with pytest.raises(KeyboardInterrupt):
        run_settings(Settings.from_flat(options), tmp_path / "run", reporter)
    (read, unknown), *known = reporter.answers
    assert (read, unknown) == ("read the input", None)
    labels = list(dict.fromkeys(label for label, _ in known))
    assert labels == ["encode with pretrained", "fit the keyword search", "evaluate"]
    assert all(left > 0 for _, left in known)
    rankings = count_points(prepare(Settings.from_flat(options)))
    assert known[-1][1] == pytest.approx(2.0 * (rankings - 3)), "two seconds for each point, and nothing comes after"
    assert reporter.outlook is None, "what comes after the run is not the run"
