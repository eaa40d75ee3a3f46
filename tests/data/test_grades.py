"""Oracle: histograms whose dip and middle are known by hand; numpy for gains.

What a grade of 0 and a threshold mean is trec_eval's rule: `tests/pipeline/test_listed.py` asks trec_eval itself.
"""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

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


@pytest.mark.parametrize(("threshold", "share"), [(0.0, "all"), (-0.5, "all"), (3.01, "none")])
def test_a_threshold_that_parts_nothing_is_refused(threshold, share):
    with pytest.raises(InputError, match=f"makes {share} of the records relevant") as caught:
        read_grades(repeated(THIRDS, [5] * 7), threshold)
    assert "1: 5, 1.33: 5, 1.67: 5" in str(caught.value), "the histogram"


def test_one_grade_alone_is_refused_unless_something_says_what_is_not_listed():
    with pytest.raises(InputError, match="every grade is 2") as caught:
        read_grades(np.full(50, 2.0))
    assert "--positives-only" in caught.value.expected
    for threshold in (2.0, 0.5):
        with pytest.raises(InputError, match="every grade is 2"):
            read_grades(np.full(50, 2.0), threshold)
    for told in ({"unlisted": 0.0}, {"unlisted": 0.0, "threshold": 2.0}):
        grades = read_grades(np.full(50, 2.0), **told)
        assert (grades.zero, grades.unlisted, grades.relevant_from, grades.relevant_share) == (0, 0, 2000, 1)


# --- the grade that gains nothing


@pytest.mark.parametrize(
    ("levels", "threshold", "unlisted", "zero"),
    [
        ([1, 2, 3], None, None, 1),  # Home Depot: 1 is the worst that there is
        ([0, 1, 2, 3], None, None, 0),
        ([-2, 0, 1, 2], None, None, 0),  # Touché: spam
        ([-1, 1], None, None, 0),
        ([1, 2], None, 0.0, 0),  # NFCorpus
        ([1, 2, 3], 1.01, None, 1),
        ([0.5, 2], 2.0, None, 0.5),
        ([1], None, 0.0, 0),
    ],
)
def test_which_grade_gains_nothing(levels, threshold, unlisted, zero):
    grades = read_grades(repeated(levels, [20] * len(levels)), threshold, unlisted)
    assert grades.zero == grades.to_json()["zero"] == zero
    assert gains(np.array(levels, float), zero).tolist() == [max(0, round(1000 * (level - zero))) for level in levels]
    assert grades.relevant_from >= 1


def test_grades_below_zero_gain_no_less_than_nothing():
    assert gains(np.array([-2.0, -0.001, 0.0, 1.0]), 0.0).tolist() == [0, 0, 0, 1000]


@pytest.mark.parametrize("threshold", [0.0, -0.5])
def test_what_gains_nothing_is_not_relevant(threshold):
    with pytest.raises(InputError, match="makes a grade of 0 relevant, which has gain 0"):
        read_grades(repeated([-2, 0, 1, 2], [5] * 4), threshold)


@pytest.mark.parametrize(("levels", "unlisted"), [([-3, -2, -1], None), ([-1, 0], None), ([0], 0.0), ([-1, 0], 0.0)])
def test_grades_that_all_gain_nothing_are_refused(levels, unlisted):
    with pytest.raises(InputError, match="grades of 0 or less have gain 0"):
        read_grades(repeated(levels, [9] * len(levels)), unlisted=unlisted)


def test_grades_too_fine_for_thousandths_are_refused():
    with pytest.raises(InputError, match="differ by less than a thousandth"):
        read_grades(repeated([0, 0.0001, 0.0002], [9, 9, 9]), 0.0002)
    with pytest.raises(InputError, match="differ by less than a thousandth"):
        read_grades(repeated([1, 1.0004], [9, 9]), 1.0004)


# --- what counts as relevant


@pytest.mark.parametrize("levels", [[1], [1, 2], [0.5, 1], [2, 3, 4]])
def test_all_that_is_listed_is_relevant_where_nothing_else_is_listed(levels):
    grades = read_grades(repeated(levels, range(10, 10 + len(levels))), unlisted=0.0)
    assert (grades.threshold, grades.threshold_source, grades.relevant_share) == (levels[0], "listed", 1)
    assert not grades.too_many_relevant


def test_low_grades_that_are_listed_all_the_same_are_parted():
    grades = read_grades(repeated([0, 1, 2], [50, 30, 20]), unlisted=0.0)
    assert (grades.threshold, grades.threshold_source) == (0.5, "middle") or grades.threshold == 1.5
    assert read_grades(repeated([0, 1], [10, 10]), unlisted=0.0).threshold == 0.5


@pytest.mark.parametrize(
    ("levels", "counts", "threshold", "source"),
    [
        ([0, 1, 2, 3], [170, 150, 380, 300], 1.5, "middle"),  # a dip that cuts off a sixth; it made 83 % relevant
        ([0, 1, 2, 3], [1700, 100, 4000, 4200], 1.5, "middle"),  # however deep
        ([0, 1, 2, 3], [250, 50, 400, 300], 1.5, "dip"),  # of its two sides, the one with fewer relevant records
        ([0, 1, 2, 3], [300, 100, 150, 450], 1.5, "dip"),
        ([0, 1, 2, 3], [450, 150, 100, 300], 1.5, "dip"),
        ([0, 1, 2, 3], [250] * 4, 1.5, "middle"),  # uniform
        ([0, 1, 2, 3], [400, 300, 200, 100], 1.5, "middle"),  # falling
        ([0, 1, 2, 3], [100, 200, 300, 400], 1.5, "middle"),  # rising
        ([0, 1, 2, 3], [100, 400, 350, 150], 1.5, "middle"),  # one hump
        ([1, 2, 3, 4, 5], [100] * 5, 2.5, "middle"),  # 60 % relevant, not more
        ([1, 2, 3, 4, 5], [50, 60, 100, 250, 540], 3.5, "middle"),  # stars: skewed, so the stricter side
        ([1, 2, 3, 4, 5], [400, 30, 20, 150, 400], 2.5, "dip"),  # the two lowest part
        ([1, 2, 3, 4, 5], [400, 150, 20, 30, 400], 3.5, "dip"),
        ([0, 1], [900, 100], 0.5, "middle"),
        ([0, 10, 20], [100, 100, 100], 10.5, "middle"),
        ([0, 10, 20], [150, 100, 100], 9.5, "middle"),
    ],
)
def test_whole_grades_are_cut_between_two_of_them(levels, counts, threshold, source):
    grades = read_grades(repeated(levels, counts))
    assert (grades.threshold, grades.threshold_source) == (threshold, source)
    assert grades.too_many_relevant == (grades.relevant_share > 0.6)


@given(st.lists(st.integers(0, 400), min_size=2, max_size=8), st.integers(-3, 3))
def test_whatever_the_histogram_the_threshold_parts_it(counts, lowest):
    """And lies between whole grades, above what gains nothing, and the same for ten times as many records."""
    levels = np.arange(lowest, lowest + len(counts))
    kept = np.array(counts) > 0
    assume(kept.sum() > 1 and levels[kept][-1] > 0)
    grades = read_grades(repeated(levels, counts))
    assert grades.threshold % 1 == 0.5
    assert max(grades.zero, grades.levels[0]) < grades.threshold < grades.levels[-1] or grades.zero > grades.levels[0]
    assert 0 < grades.relevant_share < 1
    assert grades.relevant_from >= 500
    if grades.dip is not None:
        below = sum(count for level, count in zip(levels, counts, strict=True) if level < grades.dip.valley)
        above = sum(count for level, count in zip(levels, counts, strict=True) if level > grades.dip.valley)
        assert min(below, above) >= 0.19 * sum(counts), "humps of some size; rare levels may join the valley"


def test_an_outlier_does_not_move_the_middle():
    usual = np.concatenate([np.arange(0, 40)] * 10)
    for outlier in (41, 90_000):
        assert read_grades(np.append(usual, outlier)).threshold == read_grades(usual).threshold


def test_a_histogram_in_words_stays_short():
    assert read_grades(repeated([0, 1], [9, 1000])).histogram == "0: 9, 1: 1,000"
    assert read_grades(np.arange(500.0)).histogram.count(": ") == 12
