"""What limits a choice. Oracles: the rule of three; planted truths; simulation at the edge of what may pass, against
binomial bounds."""

from __future__ import annotations

import re

import numpy as np
import pytest
import scipy.stats
from evidence import BM25, SYSTEMS, at, choose, chosen, evidence, grid, loses_below, planted, weighed, wish

from nestvec.evaluation.significance import Bootstrap
from nestvec.point import Point
from nestvec.recommending.choose import recommend

# Few queries


@pytest.mark.parametrize("queries", [100, 340, 400])
def test_where_nothing_differs_the_rule_of_three_says_how_many_queries_it_takes(queries):
    """No loss in n queries bounds the share of losses by 1 - alpha ** (1 / n): -ln(0.05 / 2) / 0.01 = 369 queries."""
    values = {point: np.full(queries, 0.7) for system in ("mnr", "matryoshka") for point in grid(system)}
    values |= {at("pretrained", 384): np.full(queries, 0.4), BM25: np.full(queries, 0.3)}
    found = choose(weighed(values, Bootstrap(queries, 4000, np.random.default_rng(0))), 0.01)
    if queries > 369:
        assert found["point"]["bytes_per_vector"] == 48
        assert found["queries_needed"] is None
        return
    assert found["point"] == found["reference"]  # which needs no test against itself
    assert [(step["system"], step["passed"]) for step in found["steps"]] == [
        ("mnr", True), ("mnr", False), ("matryoshka", False)
    ]  # fmt: skip
    assert found["steps"][0]["lower_bound"] == 0
    assert found["steps"][1]["lower_bound"] == pytest.approx(0.025 ** (1 / queries) - 1, rel=0.1)
    assert found["queries_needed"] == pytest.approx(369, abs=2)
    said = f"The {queries} validation queries are too few to decide: about {found['queries_needed']} could prove "
    assert said + "that mnr.384.int8 holds up." in found["reason"]


def test_as_many_queries_as_are_asked_for_settle_the_next_smaller_vector():
    means = planted(lambda point: 0.003 if point.precision == "int8" else 0.0)
    needed = chosen(means, margin=0.02, queries=150)["queries_needed"]
    assert 200 < needed < 1000
    found = chosen(means, margin=0.02, queries=2 * needed)  # as many would pass every other time
    assert found["point"]["precision"] == "int8"


def test_a_gain_that_is_not_clear_yet_needs_more_queries():
    means = planted(lambda _: 0.0, base=0.42)
    unclear = {**means, BM25: 0.35} | {point: 0.4 for point in grid("pretrained")}
    found = chosen(unclear, margin=0.001, noise=0.2, queries=150)
    assert found["decision"] == "do not ship"
    unclear_ones = [rival for rival in found["gate"].values() if not rival["passed"]]
    shares = [(rival["difference"] - rival["low"]) / rival["difference"] for rival in unclear_ones]
    assert min(shares) > 1  # each has a gain, and its interval holds 0
    # an interval is half as wide at four times the queries
    assert found["queries_needed"] == pytest.approx(150 * max(shares) ** 2, rel=0.2)
    assert re.search(rf"about {found['queries_needed']:,} could prove that \S+ beats its rivals\.", found["reason"])
    more = 4 * found["queries_needed"]
    assert chosen(unclear, margin=0.001, noise=0.2, queries=more)["decision"] == "ship"


def test_more_queries_than_there_are_is_the_least_that_is_asked_for():
    """Rare large losses: the interval holds 0, though 1.96 standard errors say that these queries do."""
    gain = np.where(np.arange(100) < 98, 0.02, -0.4)
    assert 1.96 * gain.std() / 10 < gain.mean()
    values = {point: np.full(100, 0.7) for point in grid("mnr")}
    values |= {at("pretrained", 384): 0.7 - gain, BM25: np.full(100, 0.3)}
    found = choose(weighed(values, Bootstrap(100, 1000, np.random.default_rng(0))))
    assert found["decision"] == "do not ship"
    assert found["queries_needed"] == 101


def test_no_number_of_queries_makes_a_loss_a_gain():
    found = chosen({**planted(lambda _: 0.0), BM25: 0.9})
    assert found["queries_needed"] is None
    assert "too few" not in found["reason"]


def test_a_test_split_that_is_too_small_is_told_from_one_that_disagrees():
    means = planted(lambda _: 0.0)
    found = recommend({"validation": evidence(means), "test": evidence(means, queries=30)}, wish())
    assert found["point"]["dimension"] == 48
    assert found["test"]["confirmed"] is False
    assert "The test queries are too few to confirm it: recall@10" in found["reason"]


def test_a_gain_that_the_test_split_does_not_show_is_said():
    means = planted(lambda _: 0.0)
    found = chosen(means, test_means={**means, BM25: 0.75})
    assert found["decision"] == "ship"
    assert re.search(r"gain on the test queries is not clear: it differs from bm25 by -0\.0\d\d \[", found["reason"])


# Wishes


def test_only_vectors_small_enough_are_recommended_and_the_tests_stay_the_same():
    means = planted(loses_below({"mnr": 96, "matryoshka": 192}))
    means[at("mnr", 96, "int8")] = 0.69
    usual, found = chosen(means), chosen(means, limits={"max_bytes": 191})
    assert usual["point"] == found["point"]
    assert found["steps"] == usual["steps"]
    assert found["max_bytes"] == 191
    assert "the smallest vector, of at most 191 bytes, that loses" in found["reason"]


def test_only_vectors_of_enough_recall_are_recommended():
    means = planted(loses_below({"mnr": 48, "matryoshka": 192}))
    means[at("mnr", 48, "int8")] = means[at("mnr", 96, "int8")] = 0.68
    assert chosen(means)["point"]["bytes_per_vector"] == 48
    split = evidence(means)
    enough = split.recalls[at("mnr", 48, "int8")] + 0.008
    found = choose(split, min_recall=enough)
    assert split.recalls[Point(**found["point"])] >= enough
    assert found["point"]["bytes_per_vector"] == 192
    assert f"with a recall@10 of at least {enough:g}" in found["reason"]


def test_what_holds_up_but_has_too_little_recall_needs_no_more_queries():
    means = planted(lambda point: 0.02 * (point != at(point.system, 384)))
    split = evidence(means)
    at_full = [recall for point, recall in split.recalls.items() if point.dimension == 384]
    found = choose(split, min_recall=max(at_full))
    assert choose(split)["point"]["bytes_per_vector"] == 48
    assert found["point"] == found["reference"]
    assert found["queries_needed"] is None
    assert "too few" not in found["reason"]


def test_a_limit_on_bytes_that_rules_everything_out_is_named_with_the_best_within():
    means = planted(loses_below({"mnr": 192, "matryoshka": 384}))
    means[at("mnr", 96, "int8")] = 0.6
    found = chosen(means, limits={"max_bytes": 100, "min_recall": 0.01})
    assert (found["decision"], found["point"]) == ("do not ship", None)
    assert found["gate"]["bm25"]["passed"]
    [step] = [step for step in found["steps"] if (step["system"], step["dimension"]) == ("mnr", 96)]
    shown = f"by {step['difference']:+.3f}, lower bound {step['lower_bound']:+.3f} (95 % confidence)."
    assert "no vector of at most 100 bytes was shown to lose at most 0.05 of recall@10" in found["reason"]
    assert re.search(r"within the limits, mnr\.96\.int8, differs from \w+\.384\.float32 ", found["reason"])
    assert shown in found["reason"]
    assert "Without this limit the recommendation would be mnr.192.int8, 192 bytes a vector." in found["reason"]
    assert found["queries_needed"] is None  # it loses 0.1


def test_few_queries_within_a_limit_say_how_many_it_takes():
    values = {point: np.full(100, 0.7) for point in grid("mnr")}
    values |= {at("pretrained", 384): np.full(100, 0.4), BM25: np.full(100, 0.3)}
    split = weighed(values, Bootstrap(100, 1000, np.random.default_rng(0)))
    found = choose(split, 0.01, max_bytes=48)
    assert found["decision"] == "do not ship"
    assert found["queries_needed"] == pytest.approx(300, abs=1)  # -ln(0.05) / 0.01
    assert "could prove that mnr.48.int8 holds up" in found["reason"]


def test_a_recall_or_a_size_that_nothing_has_is_named_with_what_comes_nearest():
    split = evidence(planted(lambda _: 0.0))
    best = max(recall for point, recall in split.recalls.items() if point.system in ("mnr", "matryoshka"))
    found = choose(split, min_recall=0.99)
    assert found["decision"] == "do not ship"
    assert "no vector with a recall@10 of at least 0.99 was shown" in found["reason"]
    assert f"No vector within the limits was measured: the highest recall@10 is {best:.3f}." in found["reason"]
    assert "the limits was measured: the smallest takes 48 bytes." in choose(split, max_bytes=47)["reason"]


def test_what_was_not_reached_is_not_recommended_for_a_limit():
    means = planted(loses_below({"mnr": 48, "matryoshka": 384}))
    means[at("mnr", 96, "int8")] = 0.3
    found = chosen(means, limits={"max_bytes": 48})
    assert found["decision"] == "do not ship"
    assert "mnr.48.int8, differs" in found["reason"]
    assert "but a larger vector of the same system was not proven to hold up" in found["reason"]


def test_the_price_is_that_of_the_chosen_vector_against_the_whole_one():
    found = chosen(planted(loses_below({"mnr": 192, "matryoshka": 96})))
    assert found["price"] == [
        {"vectors": 10**6, "bytes": 96_000_000, "full_bytes": 1_536_000_000},
        {"vectors": 10**7, "bytes": 960_000_000, "full_bytes": 15_360_000_000},
        {"vectors": 10**8, "bytes": 9_600_000_000, "full_bytes": 153_600_000_000},
    ]
    assert "Ten million vectors take 0.96 GB instead of 15.4 GB." in found["reason"]


# Error rates. Resamples are few, so that the simulation is quick; the bounds are those of a binomial at 1 in 1,000.


def rate_allowed(simulations, rate=0.05):
    return scipy.stats.binom(simulations, rate).ppf(0.999)


MOVES = {  # what a query of a worse point loses, with what chance; each loses the margin on average
    "rarely all": ((-1.0, 0.0), (0.01, 0.99), 0.01),
    "all or nothing, both ways": ((-1.0, 0.0, 1.0), (0.03, 0.95, 0.02), 0.01),
    "a little": ((-0.06, -0.01, 0.04), (1 / 3, 1 / 3, 1 / 3), 0.01),
    "by thirds": ((-1 / 3, 0.0, 1 / 3), (0.25, 0.65, 0.1), 0.05),
}


@pytest.mark.parametrize(
    ("queries", "systems"), [(100, ("matryoshka", "mnr")), (300, ("matryoshka",)), (500, ("matryoshka", "mnr"))]
)
@pytest.mark.parametrize("moves", MOVES)
def test_a_loss_of_the_whole_margin_rarely_passes(moves, queries, systems):
    sizes, chances, margin = MOVES[moves]
    best = at("matryoshka", 384)
    points = [best, *(point for system in systems for point in grid(system) if point != best)]
    wrong = 0
    for seed in range(200):
        rng = np.random.default_rng(seed)
        values = {point: 0.7 + rng.choice(sizes, queries, p=chances) for point in points}
        values[best] = np.full(queries, 0.7)
        found = choose(weighed(values, Bootstrap(queries, 400, rng)), margin)
        if found["reference"]["system"] == best.system:  # another one that is luckier is as bad as all the rest
            wrong += sum(step["passed"] for step in found["steps"]) > 1  # its own step aside
    assert wrong <= rate_allowed(200)


def test_gains_that_are_noise_are_rarely_shipped():
    means = {point: 0.5 for system in SYSTEMS for point in grid(system)} | {BM25: 0.2}
    shipped = 0
    for seed in range(300):
        split = evidence(means, queries=100, noise=0.1, seed=seed)
        shipped += choose(split)["decision"] == "ship"
    assert shipped <= rate_allowed(300)
