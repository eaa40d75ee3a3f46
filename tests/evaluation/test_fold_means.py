"""Oracles: scipy's t-test on the means of equal folds; simulation of trainings whose luck is known."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.stats
from evidence import BM25, at, choose, weighed

from nestvec.evaluation.fold_means import FoldMeans
from nestvec.evaluation.significance import Bootstrap, randomisation_test

MARGIN = 0.01


def draw(rng, folds, each, luck):
    """(folds * each,) values around 0 in equal folds: a normal spread of 0.1, and a training's luck in its errors."""
    shifts = rng.normal(0, luck * 0.1 / each**0.5, folds)
    return np.repeat(np.arange(folds), each), rng.normal(0, 0.1, folds * each) + np.repeat(shifts, each)


def rarely(count, runs, chance=0.05):
    """Whether something whose chance is at most 5 % may come up so often."""
    return count <= scipy.stats.binom(runs, chance).ppf(0.999)


def test_of_equal_folds_it_is_students_test_of_their_means():
    fold, values = draw(np.random.default_rng(0), 5, 40, 1)
    values += 0.02
    means = values.reshape(5, 40).mean(axis=1)
    expected = scipy.stats.ttest_1samp(means, 0)
    folds = FoldMeans(fold * 7 + 3)  # any numbers do
    assert folds.errors(values[:, None]) == pytest.approx(scipy.stats.sem(means))
    assert folds.test(values) == pytest.approx(expected.pvalue)
    low, high = expected.confidence_interval(0.95)
    reach = folds.reach(values[:, None], 0.975)
    assert (values.mean() - reach, values.mean() + reach) == (pytest.approx(low), pytest.approx(high))
    assert folds.chance_above(values, float(low)) == pytest.approx(0.975)


def test_a_large_fold_weighs_as_it_does_in_the_mean():
    sizes = [10, 30, 60]
    fold, values = np.repeat([0, 1, 2], sizes), np.repeat([0.1, 0.2, 0.4], sizes)
    mean = values.mean()
    errors = np.array([n / 100 * (each - mean) for n, each in zip(sizes, (0.1, 0.2, 0.4), strict=True)])
    assert FoldMeans(fold).errors(values[:, None]) == pytest.approx(np.sqrt(1.5 * (errors**2).sum()))


def test_folds_that_agree_say_nothing_of_their_own_and_a_single_one_knows_no_luck():
    values, plain = np.tile([0.0, 0.5, 1.0], 20), Bootstrap(60, 500, np.random.default_rng(1))
    agreeing = Bootstrap(60, 500, np.random.default_rng(1), folds=FoldMeans(np.repeat([0, 1, 2, 3], 15)))
    assert agreeing.interval(values) == plain.interval(values)
    assert agreeing.lower_bound(values) == plain.lower_bound(values)
    assert agreeing.chance_above(values, 0.45) == plain.chance_above(values, 0.45)
    single = Bootstrap(60, 500, np.random.default_rng(1), folds=FoldMeans(np.zeros(60, dtype=int)))
    assert single.lower_bound(values - 0.5) == -1
    assert (single.interval(values).low, single.interval(values).high) == (0, 1)


def test_the_chance_and_the_bound_agree_where_folds_decide():
    fold, values = draw(np.random.default_rng(3), 5, 40, 4)
    bootstrap = Bootstrap(200, 2001, np.random.default_rng(4), folds=FoldMeans(fold))
    limit = bootstrap.lower_bound(values, 0.95)
    assert limit == pytest.approx(values.mean() - FoldMeans(fold).reach(values[:, None], 0.95)[0])
    assert bootstrap.chance_above(values, limit) == pytest.approx(0.95)


@pytest.mark.parametrize(
    ("folds", "luck"),
    [(5, 1.0)]
    + [
        pytest.param(folds, luck, marks=pytest.mark.slow)
        for folds in (3, 5, 10)
        for luck in (0.0, 0.3, 1.0, 3.0)
        if (folds, luck) != (5, 1.0)
    ],
)
def test_intervals_cover_and_bounds_and_p_values_err_rarely_however_much_trainings_differ(folds, luck):
    """The truth is what trainings reach on average; without folds, luck as large as a fold's error breaks all three."""
    runs, each = 300, 30
    missed = wrong = rejected = missed_without = 0
    for seed in range(runs):
        rng = np.random.default_rng(seed)
        fold, values = draw(rng, folds, each, luck)
        known = FoldMeans(fold)
        bootstrap = Bootstrap(folds * each, 400, np.random.default_rng(seed), folds=known)
        plain = Bootstrap(folds * each, 400, np.random.default_rng(seed))
        interval, without = bootstrap.interval(values), plain.interval(values)
        missed += not interval.low <= 0 <= interval.high
        missed_without += not without.low <= 0 <= without.high
        wrong += bootstrap.lower_bound(values - MARGIN) > -MARGIN
        rejected += randomisation_test(values, 200, rng, folds=known) <= 0.05
    assert rarely(missed, runs)
    assert rarely(wrong, runs)
    assert rarely(rejected, runs)
    if luck >= 1:
        assert not rarely(missed_without, runs)


@pytest.mark.slow
@pytest.mark.parametrize("luck", [0.0, 1.0, 3.0])
def test_a_vector_that_loses_the_margin_is_rarely_proven_by_folds(luck):
    wrong, runs, formats = 0, 200, [(384, "float32"), (384, "int8"), (192, "int8"), (96, "int8")]
    for seed in range(runs):
        rng = np.random.default_rng(seed)
        values = {BM25: np.full(300, 0.3), at("pretrained", 384, "float32"): np.full(300, 0.4)}
        whole = 0.7 + draw(rng, 5, 60, luck)[1]
        for place, stored in enumerate(formats):
            fold, moved = draw(rng, 5, 60, luck)
            values[at("mnr", *stored)] = whole + (moved - MARGIN if place else 0.0)
        bootstrap = Bootstrap(300, 400, rng, folds=FoldMeans(fold))
        found = choose(weighed(values, bootstrap), MARGIN)
        proven = found["choices"]["vectors_alone"]["proven"]
        wrong += proven is not None and proven["bytes_per_vector"] < 1536
    assert rarely(wrong, runs)
