"""Oracles: scipy.stats.bootstrap and scipy.stats.permutation_test on the same numbers; the closed forms of a mean's
standard error and of Holm's definition; simulation where the truth is known, against binomial bounds."""

from __future__ import annotations

from itertools import permutations, product

import numpy as np
import pytest
import scipy.stats
from hypothesis import given, settings
from hypothesis import strategies as st

from nestvec.evaluation.significance import (
    Bootstrap,
    Interval,
    Outcomes,
    count_outcomes,
    effect_size,
    holm,
    queries_needed,
    queries_to_show,
    randomisation_test,
)

DRAWS = {
    "normal": lambda rng, size: rng.normal(0.3, 0.2, size),
    "skewed": lambda rng, size: rng.exponential(0.2, size),
    "hits": lambda rng, size: (rng.random(size) < 0.3).astype(float),
    "fractions": lambda rng, size: rng.integers(0, 4, size) / 3,
}


@pytest.fixture(params=list(DRAWS))
def values(request):
    return DRAWS[request.param](np.random.default_rng(5), 60)


def percentiles(data, statistic, level=0.95, alternative="two-sided"):
    return scipy.stats.bootstrap(
        data, statistic, n_resamples=20_000, method="percentile", paired=True, vectorized=True,
        confidence_level=level, alternative=alternative, rng=np.random.default_rng(1),
    ).confidence_interval  # fmt: skip


def noise(values):
    """Four Monte-Carlo standard errors of a 2.5 % quantile of 20,000 resampled means, near enough normal."""
    density = scipy.stats.norm.pdf(scipy.stats.norm.ppf(0.025)) / scipy.stats.sem(values)
    return 4 * np.sqrt(2 * 0.025 * 0.975 / 20_000) / density + 1 / len(values) ** 2  # means of hits come in steps


def test_interval_is_scipys_percentile_bootstrap(values):
    theirs = percentiles((values,), lambda sample, axis: sample.mean(axis=axis))
    ours = Bootstrap(60, 20_000, np.random.default_rng(2)).interval(values)
    assert ours.value == values.mean()
    assert (ours.low, ours.high) == pytest.approx((theirs.low, theirs.high), abs=noise(values))


def test_interval_of_a_difference_is_scipys_paired_bootstrap(values):
    other = np.clip(values + np.random.default_rng(3).normal(0, 0.1, 60), 0, 1)
    theirs = percentiles((other, values), lambda a, b, axis: a.mean(axis=axis) - b.mean(axis=axis))
    ours = Bootstrap(60, 20_000, np.random.default_rng(2)).interval(other - values)
    assert (ours.low, ours.high) == pytest.approx((theirs.low, theirs.high), abs=noise(other - values))


@pytest.mark.parametrize("level", [0.95, 0.99])
@pytest.mark.parametrize("lost", [0, 1, 7])
def test_where_queries_lose_all_or_nothing_the_bound_is_clopper_and_pearsons(level, lost):
    values = np.append(-np.ones(lost), np.zeros(150 - lost))
    ours = Bootstrap(150, 20_000, np.random.default_rng(2)).lower_bound(values, level)
    exact = scipy.stats.binomtest(lost, 150, alternative="less").proportion_ci(level, "exact").high
    assert ours == pytest.approx(-exact, rel=0.05)


def test_the_bound_is_near_a_bootstraps_where_many_queries_move_a_little():
    values = np.random.default_rng(1).normal(-0.01, 0.05, 2000)
    theirs = percentiles((values,), lambda sample, axis: sample.mean(axis=axis), 0.95, "greater")
    ours = Bootstrap(2000, 10_000, np.random.default_rng(2)).lower_bound(values)
    assert ours < theirs.low
    assert ours == pytest.approx(theirs.low, abs=4 / 2000)


def losing(kind, rng, queries):
    """Differences with a true mean of -0.01."""
    if kind == "rare and whole":
        return -(rng.random(queries) < 0.01).astype(float)
    if kind == "thirds":
        return rng.choice([-1 / 3, 0, 1 / 3], queries, p=[0.05, 0.93, 0.02])
    return rng.normal(-0.01, 0.05, queries)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["rare and whole", "thirds", "a little"])
@pytest.mark.parametrize("queries", [200, 500])
def test_a_loss_of_the_margin_passes_the_bound_no_more_often_than_it_says(kind, queries):
    rng = np.random.default_rng(8)
    passed = sum(Bootstrap(queries, 300, rng).lower_bound(losing(kind, rng, queries)) > -0.01 for _ in range(600))
    # 300 resamples put the quantile itself between 3.3 % and 7.3 %, most often near 5 %
    assert passed <= scipy.stats.binom(600, 0.055).ppf(0.999)


@pytest.mark.parametrize("kind", ["thirds", "a little"])
def test_as_many_queries_as_it_would_take_mostly_pass_and_a_third_seldom(kind):
    rng = np.random.default_rng(9)
    needed = queries_needed(losing(kind, rng, 4000), 0.03)

    def passing(queries):
        return sum(Bootstrap(queries, 300, rng).lower_bound(losing(kind, rng, queries)) > -0.03 for _ in range(200))

    assert passing(needed) >= 80
    assert passing(needed // 3) <= 40


def test_queries_needed_by_hand():
    assert queries_needed(np.zeros(50), 0.01) == 300  # ln 20 / 0.01, the rule of three
    assert queries_needed(np.full(50, -0.01), 0.01) is None
    assert queries_needed(np.full(50, -0.5), 0.01) is None
    assert queries_to_show(np.zeros(50)) is None
    assert queries_to_show(np.tile([0.0, 0.2], 50)) == 4  # (1.96 x 0.1 / 0.1) squared
    assert queries_to_show(np.full(50, 0.1)) == 1


def test_groups_are_drawn_together():
    values, groups = np.random.default_rng(3).random(6), np.array([4, 4, 7, 9, 9, 9])
    bootstrap = Bootstrap(6, 300, np.random.default_rng(0), groups)
    drawn = np.random.default_rng(0).multinomial(3, [1 / 3] * 3, size=300)
    sums, sizes = np.array([values[:2].sum(), values[2], values[3:].sum()]), np.array([2, 1, 3])
    assert bootstrap.means(values)[:, 0] == pytest.approx((drawn @ sums) / (drawn @ sizes))
    twice, once = Bootstrap(6, 300, np.random.default_rng(0), np.arange(6)), Bootstrap(6, 300, np.random.default_rng(0))
    assert np.array_equal(twice.means(values), once.means(values))
    assert twice.lower_bound(values) == once.lower_bound(values)


@pytest.mark.parametrize("lost", [0, 1, 7])
def test_texts_that_are_all_asked_three_times_are_bound_as_if_asked_once(lost):
    groups = np.random.default_rng(1).permutation(np.repeat(np.arange(150), 3))
    ours = Bootstrap(450, 20_000, np.random.default_rng(2), groups).lower_bound(-(groups < lost).astype(float))
    exact = scipy.stats.binomtest(lost, 150, alternative="less").proportion_ci(0.95, "exact").high
    assert ours == pytest.approx(-exact, rel=0.05)


def test_the_bound_of_unequal_groups_is_its_formula():
    values, groups = np.array([0.5, -0.25, 0.1, 0.3, -0.4, 0.0, 0.2]), np.array([4, 4, 7, 9, 9, 9, 9])
    ours = Bootstrap(7, 40_000, np.random.default_rng(0), groups).lower_bound(values, 0.9, worst=-0.5)
    weights = np.random.default_rng(1).dirichlet(np.ones(4), 400_000)
    sums, sizes = np.array([0.25, 0.1, 0.1, -0.5 * 7 / 3]), np.array([2, 1, 4, 7 / 3])  # the further group comes last
    assert ours == pytest.approx(np.quantile((weights @ sums) / (weights @ sizes), 0.1), abs=0.005)


def test_the_bound_draws_nothing_from_the_generator_that_it_shares():
    values, drawn = np.random.default_rng(3).random(30), []
    for bound in (False, True):
        rng = np.random.default_rng(0)
        bootstrap = Bootstrap(30, 700, rng)
        if bound:
            bootstrap.lower_bound(values)
        drawn.append((randomisation_test(values - 0.4, 700, rng), rng.random()))
    assert drawn[0] == drawn[1]


def test_a_worst_case_is_in_the_differences_unit():
    values = np.random.default_rng(3).choice([-0.25, 0.0, 0.5], 80)
    bootstrap = Bootstrap(80, 2000, np.random.default_rng(0))
    assert bootstrap.lower_bound(4 * values, worst=-2) == pytest.approx(4 * bootstrap.lower_bound(values, worst=-0.5))
    assert bootstrap.lower_bound(values, worst=-0.25) > bootstrap.lower_bound(values)
    assert queries_needed(np.zeros(50), 0.02, worst=-2.0) == queries_needed(np.zeros(50), 0.01) == 300
    assert queries_needed(np.zeros(50), 0.01, worst=-0.5) == 150


def test_signs_of_a_group_go_together():
    difference, groups = np.array([0.3, 0.2, -0.1, 0.4]), np.array([0, 0, 1, 2])
    together = randomisation_test(difference, 5000, np.random.default_rng(0), groups)
    assert together == randomisation_test(np.array([0.5, -0.1, 0.4]), 5000, np.random.default_rng(0))
    assert together != randomisation_test(difference, 5000, np.random.default_rng(0))


def test_outcomes_and_effect_by_hand():
    difference = np.array([0.5, 0.0, -0.25, 1e-12, 0.25])
    assert count_outcomes(difference) == Outcomes(wins=2, ties=2, losses=1)
    assert effect_size(difference) == pytest.approx(difference.mean() / difference.std(ddof=1))
    t = scipy.stats.ttest_1samp(difference, 0).statistic
    assert effect_size(difference) == pytest.approx(t / np.sqrt(5))
    assert effect_size(np.full(4, 0.25)) == effect_size(np.zeros(1)) == 0.0


def test_resamples_draw_as_many_queries_as_there_are():
    bootstrap = Bootstrap(7, 50, np.random.default_rng(0))
    assert bootstrap.means(np.ones(7)).tolist() == [[1.0]] * 50
    counts = bootstrap.means(np.eye(7)) * 7  # how often each query was drawn
    assert counts == pytest.approx(np.round(counts), abs=1e-9)
    assert counts.sum(axis=1) == pytest.approx(np.full(50, 7.0))


def test_resampled_means_spread_like_the_standard_error(values):
    spread = Bootstrap(60, 20_000, np.random.default_rng(0)).means(values).std()
    assert spread == pytest.approx(values.std() / np.sqrt(60), rel=0.03)


def test_one_bootstrap_serves_every_column():
    columns = np.random.default_rng(0).random((40, 3))
    bootstrap = Bootstrap(40, 1200, np.random.default_rng(1))
    alone = [bootstrap.interval(columns[:, place]) for place in range(3)]
    for one, among in zip(alone, bootstrap.intervals(columns), strict=True):
        assert (one.value, one.low, one.high) == pytest.approx((among.value, among.low, among.high), abs=1e-12)


def test_one_query_has_an_interval_of_no_width():
    assert Bootstrap(1, 100, np.random.default_rng(0)).interval(np.array([0.25])) == Interval(0.25, 0.25, 0.25)


def test_intervals_cover_the_truth_about_as_often_as_they_say():
    rng = np.random.default_rng(4)
    found = [Bootstrap(40, 400, rng).interval(rng.normal(0, 1, 40)) for _ in range(1000)]
    missed = sum(not entry.low <= 0 <= entry.high for entry in found)
    # percentile intervals of a mean are too narrow by sqrt(39/40) z / t: 6.1 % are missed at 40 queries, not 5 %
    true = 2 * scipy.stats.t.sf(1.96 * np.sqrt(39 / 40), 39)
    low, high = scipy.stats.binom(1000, true).ppf([0.0005, 0.9995])
    assert low <= missed <= high


@pytest.mark.parametrize("size", [4, 7, 9])
@pytest.mark.parametrize("kind", list(DRAWS))
def test_p_is_scipys_exact_permutation_test(size, kind):
    rng = np.random.default_rng(size)
    a, b = DRAWS[kind](rng, size), DRAWS[kind](rng, size)
    exact = scipy.stats.permutation_test(
        (a, b), lambda x, y, axis: (x - y).mean(axis=axis), permutation_type="samples", n_resamples=np.inf
    ).pvalue
    found = randomisation_test(a - b, 20_000, np.random.default_rng(0))
    assert found == pytest.approx(exact, abs=4 * np.sqrt(0.25 / 20_000))


def test_p_counts_every_sign_as_the_definition_does():
    difference = np.array([0.4, -0.1, 0.3, 0.0, 0.2, 0.0])
    sums = [abs(np.dot(signs, difference)) for signs in product((-1, 1), repeat=6)]
    exact = np.mean([total >= abs(difference.sum()) - 1e-12 for total in sums])
    assert exact == 4 / 16  # by hand, over the four that moved
    assert randomisation_test(difference, 40_000, np.random.default_rng(0)) == pytest.approx(exact, abs=0.01)


@pytest.mark.parametrize("resamples", [1, 100, 499, 500, 501])
def test_p_is_never_0_and_counts_its_resamples(resamples):
    clear = np.full(60, 0.5)
    assert randomisation_test(clear, resamples, np.random.default_rng(0)) == 1 / (resamples + 1)
    assert randomisation_test(np.zeros(60), resamples, np.random.default_rng(0)) == 1.0
    assert randomisation_test(np.array([0.1]), resamples, np.random.default_rng(0)) == 1.0


def test_p_is_symmetric():
    difference = np.random.default_rng(1).normal(0.05, 0.2, 50)
    both = [randomisation_test(sign * difference, 2000, np.random.default_rng(0)) for sign in (1, -1)]
    assert both[0] == both[1]


@pytest.mark.parametrize("kind", ["normal", "fractions"])
def test_under_the_null_p_rejects_as_often_as_it_says(kind):
    rng = np.random.default_rng(6)
    pairs = 2000
    found = [randomisation_test(DRAWS[kind](rng, 40) - DRAWS[kind](rng, 40), 400, rng) <= 0.05 for _ in range(pairs)]
    low, high = scipy.stats.binom(pairs, 20 / 401 if kind == "normal" else 0.05).ppf([0.0005, 0.9995])
    assert (low if kind == "normal" else low - 20) <= sum(found) <= high  # ties only make it more careful


def test_the_same_seed_gives_the_same_figures():
    values = np.random.default_rng(0).random(30) - 0.4

    def figures(seed):
        rng = np.random.default_rng(seed)
        bootstrap = Bootstrap(30, 700, rng)
        return bootstrap.interval(values), bootstrap.lower_bound(values), randomisation_test(values, 700, rng)

    assert figures(1) == figures(1)
    assert figures(1) != figures(2)


def test_holm_by_hand():
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.5, 0.6]) == [1.0, 1.0]
    assert holm([0.02]) == [0.02]
    assert holm([]) == []


@settings(max_examples=200, deadline=None)
@given(st.lists(st.floats(0, 1), max_size=8))
def test_holm_is_its_definition(p):
    # Holm 1979: the corrected p of the j-th smallest is the largest of (m - i) p_i over i <= j, at most 1
    order = sorted(range(len(p)), key=lambda place: p[place])
    expected = {
        place: min(1.0, max((len(p) - i) * p[order[i]] for i in range(rank + 1))) for rank, place in enumerate(order)
    }
    assert holm(p) == pytest.approx([expected[place] for place in range(len(p))])


@settings(max_examples=100, deadline=None)
@given(st.lists(st.floats(0, 1), min_size=1, max_size=7))
def test_holm_is_the_shortcut_of_testing_every_subset(p):
    # closed testing: a hypothesis falls when Bonferroni rejects every subset that holds it
    corrected = holm(p)
    for place in range(len(p)):
        others = [value for other, value in enumerate(p) if other != place]
        worst = max(
            min([p[place], *chosen]) * (len(chosen) + 1)
            for size in range(len(others) + 1)
            for chosen in ([sorted(others, reverse=True)[:size]])
        )
        assert corrected[place] == pytest.approx(min(1.0, worst))


@pytest.mark.parametrize("order", list(permutations(range(3))))
def test_holm_does_not_mind_the_order(order):
    p = [0.001, 0.02, 0.04]
    assert holm([p[place] for place in order]) == [holm(p)[place] for place in order]
