"""Oracle: the statistics' own functions, which have their own tests."""

from __future__ import annotations

from dataclasses import replace
from itertools import combinations

import numpy as np
import pytest

from nestvec.evaluation import surface
from nestvec.evaluation.significance import Bootstrap, count_outcomes, effect_size, holm
from nestvec.evaluation.surface import COMPARED, Topics, compare_systems, summarise_surface
from nestvec.point import HYBRID, TWO_STAGE, Point, full_width

BM25 = Point("bm25", None, None, None)
NAMES = ("recall@10", "mrr@10", "ndcg@10", "judged@10")


def topics(queries, splits=None):
    labels = np.array(splits or ["test"] * queries)
    return Topics(np.arange(queries), [f"q{row}" for row in range(queries)], labels)


def dense(system, dimension, precision="float32"):
    return Point(system, dimension, precision, dimension * {"float32": 4, "int8": 1}[precision])


def made_values(points, queries, seed=0):
    rng = np.random.default_rng(seed)
    return {point: {name: rng.random(queries) for name in NAMES} for point in points}


# Summaries


def test_full_width_is_the_widest_and_most_precise_of_each_system():
    measured = [dense("pretrained", 48), dense("pretrained", 384, "int8"), dense("pretrained", 384),
                dense("mnr", 384), dense("mnr", 192), BM25]  # fmt: skip
    assert full_width(measured) == [BM25, dense("pretrained", 384), dense("mnr", 384)]
    assert full_width([]) == []


@pytest.mark.parametrize("together", [256, 3])
def test_summaries_are_means_with_their_intervals_per_split(monkeypatch, together):
    monkeypatch.setattr(surface, "_COLUMNS", together)  # of values that share the resamples
    labels = ["test", "validation", "test", "test", "validation"]
    points = [dense("mnr", 384), BM25]
    values = made_values(points, 5)
    bootstraps = {
        "validation": Bootstrap(2, 200, np.random.default_rng(0)),
        "test": Bootstrap(3, 200, np.random.default_rng(1)),
    }
    rows = summarise_surface(values, topics(5, labels), 77, bootstraps)
    assert [(row["system"], row["split"], row["queries"]) for row in rows] == [
        ("mnr", "validation", 2), ("mnr", "test", 3), ("bm25", "validation", 2), ("bm25", "test", 3)
    ]  # fmt: skip
    for row, point in zip(rows, [points[0]] * 2 + [points[1]] * 2, strict=True):
        chosen = np.array(labels) == row["split"]
        assert {name: row[name] for name in ("dimension", "precision", "bytes_per_vector", "documents")} == {
            "dimension": point.dimension, "precision": point.precision,
            "bytes_per_vector": point.bytes_per_vector, "documents": 77,
        }  # fmt: skip
        assert list(row["metrics"]) == list(NAMES)
        for name, entry in row["metrics"].items():
            expected = bootstraps[row["split"]].interval(values[point][name][chosen])
            assert list(entry) == ["value", "low", "high"]
            assert entry["value"] == pytest.approx(values[point][name][chosen].mean())
            assert (entry["low"], entry["high"]) == pytest.approx((expected.low, expected.high))


def test_comparisons_are_every_pair_at_full_width_on_the_test_split():
    points = [dense("pretrained", 8), dense("pretrained", 4), dense("mnr", 8), dense("matryoshka", 8), BM25]
    values = made_values(points, 60)
    labels = ["test"] * 40 + ["validation"] * 20
    for point in points[2:4]:  # a gain that is seen on validation only must not show
        values[point]["recall@10"][40:] += 5
    values[points[3]]["mrr@10"][:40] += 1
    bootstrap = Bootstrap(40, 500, np.random.default_rng(0))
    found = compare_systems(values, topics(60, labels), bootstrap, 500, np.random.default_rng(1))
    names = ["matryoshka.8.float32", "mnr.8.float32", "pretrained.8.float32", "bm25"]
    pairs = [(a, b) for place, a in enumerate(names) for b in names[place + 1 :]]
    assert [(row["a"], row["b"], row["metric"]) for row in found] == [
        (*pair, name) for pair in pairs for name in COMPARED
    ]
    assert [row["p_holm"] for row in found] == holm([row["p"] for row in found])
    by_name = {point.name: point for point in points}
    for row in found:
        difference = (values[by_name[row["a"]]][row["metric"]] - values[by_name[row["b"]]][row["metric"]])[:40]
        assert row["difference"] == pytest.approx(difference.mean())
        assert abs(row["difference"]) < 1.5
        assert row["low"] <= row["difference"] <= row["high"]
        assert list(row) == [
            "a", "b", "split", "metric", "difference", "low", "high", "effect", "wins", "ties", "losses", "p", "p_holm"
        ]  # fmt: skip
        assert row["effect"] == effect_size(difference)
        counted = count_outcomes(difference)
        assert (row["wins"], row["ties"], row["losses"]) == (counted.wins, counted.ties, counted.losses)
        planted = row["a"].startswith("matryoshka") and row["metric"] == "mrr@10"
        assert (row["p_holm"] < 0.05) == planted


def test_what_is_shown_at_full_width_is_compared_and_nothing_else():
    made = dense("mnr", 384)
    narrow = replace(made, dimension=192, bytes_per_vector=768, axes=True)
    points = [
        made,
        narrow,
        replace(made, system="mnr-via-48-int8", kind=TWO_STAGE),
        replace(made, system="mnr+bm25", kind=HYBRID),
        BM25,
    ]
    bootstrap = Bootstrap(30, 200, np.random.default_rng(0))
    found = compare_systems(made_values(points, 30), topics(30), bootstrap, 200, np.random.default_rng(1))
    pairs = {frozenset((row["a"], row["b"])) for row in found}
    names = ("mnr.384.float32", "mnr+bm25.384.float32", "bm25")
    assert pairs == {frozenset(pair) for pair in combinations(names, 2)}


def test_a_text_that_is_asked_twice_is_drawn_as_one():
    asked = Topics(np.arange(4), list("abcd"), np.array(["test"] * 4), np.array([0, 0, 1, 2]))
    bootstrap = asked.bootstraps(400, np.random.default_rng(0))["test"]
    first = bootstrap.means(np.array([1.0, 0, 0, 0]))[:, 0]
    second = bootstrap.means(np.array([0, 1.0, 0, 0]))[:, 0]
    third = bootstrap.means(np.array([0, 0, 1.0, 0]))[:, 0]
    assert np.array_equal(first, second)
    assert not np.array_equal(first, third)
