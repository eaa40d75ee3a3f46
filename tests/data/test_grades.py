"""Oracle: histograms whose dip is known by hand; numpy for gains."""

from __future__ import annotations

import numpy as np
import pytest

from nestvec.data.grades import find_dip, gains, read_grades
from nestvec.errors import InputError

THIRDS = np.array([1, 1.33, 1.67, 2, 2.33, 2.67, 3])


def repeated(levels, counts):
    return np.repeat(np.asarray(levels, float), counts)


@pytest.mark.parametrize(
    ("levels", "counts", "threshold"),
    [
        (THIRDS, [50, 60, 300, 900, 200, 150, 800], 2.5),  # two clear humps
        (THIRDS, [170, 240, 540, 930, 1280, 1210, 1530], 2.5),  # a shallow one
        ([0, 1, 2, 3, 4], [500, 90, 100, 300, 800], 1.5),  # the valley's two lowest levels part
        ([0, 1, 2], [500, 20, 400], 1.5),
    ],
)
def test_the_dip_parts_the_two_lowest_levels_of_the_valley(levels, counts, threshold):
    grades = read_grades(repeated(levels, counts))
    assert grades.threshold == threshold
    assert grades.threshold_source == "dip"
    assert grades.dip is not None
    assert grades.dip.low <= threshold <= grades.dip.high
    assert 0 < grades.dip.depth <= 1


@pytest.mark.parametrize("counts", [[10, 20, 40, 80, 160, 200, 190], [700, 600, 500, 400, 300, 200, 100], [1] * 7])
def test_one_hump_has_no_dip(counts):
    assert find_dip(THIRDS, np.array(counts) * 10) is None
    assert read_grades(repeated(THIRDS, counts)).threshold_source == "middle"


def test_a_dip_that_only_cuts_off_a_tail_is_none():
    assert find_dip(THIRDS, np.array([30, 5, 60, 300, 600, 900, 1500])) is None


def test_rare_levels_do_not_make_dips():
    levels = np.sort(np.append(THIRDS, [1.25, 1.75, 2.25, 2.75]))
    counts = np.array([170, 2, 240, 540, 2, 930, 2, 1280, 1210, 2, 1530])
    dip = find_dip(levels, counts)
    assert dip is not None
    assert dip.threshold == 2.5


def test_continuous_grades_are_binned():
    rng = np.random.default_rng(0)
    grade = np.concatenate([rng.normal(2, 0.5, 6000), rng.normal(6, 0.7, 4000)])
    dip = read_grades(grade).dip
    assert dip is not None
    assert 3 < dip.threshold < 5


def test_gains_are_thousandths_above_the_lowest_grade():
    assert gains(THIRDS, 1.0).tolist() == [0, 330, 670, 1000, 1330, 1670, 2000]


def test_relevant_from_is_the_gain_of_the_lowest_relevant_grade():
    grades = read_grades(repeated(THIRDS, [5] * 7), 2.0)
    assert (grades.threshold_source, grades.relevant_from) == ("given", 1000)
    assert grades.relevant_share == pytest.approx(4 / 7)


@pytest.mark.parametrize(("threshold", "share"), [(1.0, "all"), (0.5, "all"), (3.01, "none")])
def test_a_threshold_that_parts_nothing_is_refused(threshold, share):
    with pytest.raises(InputError, match=f"makes {share} of the records relevant"):
        read_grades(repeated(THIRDS, [5] * 7), threshold)


def test_one_grade_alone_is_refused():
    with pytest.raises(InputError, match="every grade is 2"):
        read_grades(np.full(50, 2.0))
