"""Oracles: planted truths that the choice must find; the definition of a fixed sequence; simulation at the edge of what
may pass, against binomial bounds; the report's own types, which must be able to read what is written."""

from __future__ import annotations

import json
import re

import numpy as np
import pytest
import scipy.stats

from nestvec.evaluation.significance import Bootstrap
from nestvec.evaluation.surface import Point, Topics
from nestvec.files import read_json, write_json
from nestvec.recommend import Evidence, gather, recommend, sequence
from nestvec.report.conform import load_json
from nestvec.report.facts import Recommendation

BITS = {"float32": 32, "float16": 16, "int8": 8, "int4": 4, "int2": 2, "binary": 1}
WIDTHS = (384, 192, 96, 48)
SYSTEMS = ("pretrained", "mnr", "matryoshka")
BM25 = Point("bm25", None, None, None)


def at(system, dimension, precision="float32"):
    return Point(system, dimension, precision, dimension * BITS[precision] // 8)


def grid(system, precisions=("float32", "int8")):
    return [at(system, dimension, precision) for dimension in WIDTHS for precision in precisions]


def evidence(means, queries=200, noise=0.05, seed=0, resamples=400):
    """One split's values: queries of unlike difficulty, the same for every point, plus each point's mean and noise."""
    rng = np.random.default_rng(seed)
    difficulty = rng.normal(0, 0.2, queries)
    values = {point: mean + difficulty + rng.normal(0, noise, queries) for point, mean in means.items()}
    return Evidence(values, Bootstrap(queries, resamples, rng))


def planted(loss, base=0.7):
    """Means of points: pretrained and BM25 far below; mnr and matryoshka lose what `loss` says per system and width."""
    means = {point: 0.4 - (384 - point.dimension) / 2000 for point in grid("pretrained")}
    means |= {point: base - loss(point) for system in ("mnr", "matryoshka") for point in grid(system)}
    return {**means, BM25: 0.35}


def loses_below(smallest):
    """Nothing is lost down to each system's smallest good width, 0.2 beyond."""
    return lambda point: 0.0 if point.dimension >= smallest[point.system] else 0.2


def chosen(means, *, margin=0.05, test_means=None, **options):
    validation, test = evidence(means, **options), evidence(test_means or means, **{**options, "seed": 99})
    return recommend({"validation": validation, "test": test}, "recall@10", margin)


def names(points):
    return [f"{point.dimension}x{point.precision}" for point in points]


# The sequence


def test_two_precisions_go_from_wide_to_narrow():
    expected = ["384xfloat32", "384xint8", "192xint8", "96xint8", "48xint8"]
    assert names(sequence(grid("mnr"))) == expected
    assert names(sequence(grid("mnr")[::-1])) == expected


def test_six_precisions_cut_bits_before_dimensions():
    expected = [f"384x{name}" for name in BITS] + ["192xbinary", "96xbinary", "48xbinary"]
    assert names(sequence(grid("mnr", tuple(BITS)))) == expected


def test_one_precision_keeps_every_width():
    assert names(sequence(grid("mnr", ("float32",)))) == [f"{width}xfloat32" for width in WIDTHS]


def test_a_sequence_falls_in_bytes_and_leaves_out_only_what_a_wider_one_undercuts():
    points = [at("mnr", width, name) for width in (768, 512, 384, 96, 40) for name in ("float16", "int4", "binary")]
    kept = sequence(points)
    sizes = [point.bytes_per_vector for point in kept]
    assert sizes == sorted(set(sizes), reverse=True)
    for point in set(points) - set(kept):
        assert any(
            other.dimension > point.dimension and other.bytes_per_vector <= point.bytes_per_vector for other in kept
        )


# The choice


def test_the_smallest_vector_that_holds_up_is_shipped():
    found = chosen(planted(loses_below({"mnr": 192, "matryoshka": 96})))
    assert found["decision"] == "ship"
    assert found["point"] == {"system": "matryoshka", "dimension": 96, "precision": "int8", "bytes_per_vector": 96}
    assert found["test"]["confirmed"]
    assert all(gate["passed"] for gate in (*found["gate"].values(), *found["test_gate"].values()))
    assert found["reason"].startswith("Ship matryoshka at 96 dimensions in int8, 96 bytes a vector instead of 1536")


def test_of_equal_size_the_better_system_is_shipped():
    means = planted(loses_below({"mnr": 48, "matryoshka": 48}))
    means[at("mnr", 48, "int8")] += 0.02
    assert chosen(means)["point"]["system"] == "mnr"
    means[at("mnr", 48, "int8")] -= 0.04
    assert chosen(means)["point"]["system"] == "matryoshka"


def test_the_full_width_is_shipped_where_nothing_smaller_holds_up():
    means = {
        point: mean - 0.2 * (point != at(point.system, 384))
        for point, mean in planted(lambda _: 0.0).items()
        if point != BM25
    }
    found = chosen({**means, BM25: 0.35})
    assert found["point"] == found["reference"]
    assert found["reference"]["dimension"] == 384
    assert "itself the best at full width" in found["reason"]
    assert found["test"]["difference"] == found["test"]["lower_bound"] == 0


def test_the_first_failure_ends_a_systems_sequence():
    means = planted(loses_below({"mnr": 48, "matryoshka": 48}))
    means[at("mnr", 192, "int8")] = 0.3  # what is smaller is as good again and must not be looked at
    found = chosen(means)
    steps = {name: [step for step in found["steps"] if step["system"] == name] for name in SYSTEMS}
    assert [step["passed"] for step in steps["mnr"]] == [True, True, False]
    assert [(step["dimension"], step["precision"]) for step in steps["mnr"]][-1] == (192, "int8")
    assert [step["passed"] for step in steps["matryoshka"]] == [True] * 5
    assert [step["passed"] for step in steps["pretrained"]] == [False]
    for step in found["steps"]:
        assert step["passed"] == (step["lower_bound"] > -0.05)


def test_bounds_are_one_sided_with_the_confidence_split_over_the_systems():
    means = planted(loses_below({"mnr": 96, "matryoshka": 96}))
    validation = evidence(means)
    found = recommend({"validation": validation, "test": validation}, "recall@10", 0.05)
    reference = Point(**found["reference"])
    for step in found["steps"]:
        point = Point(*[step[name] for name in ("system", "dimension", "precision", "bytes_per_vector")])
        resampled = validation.bootstrap.means(validation.difference(point, reference))[:, 0]
        assert step["lower_bound"] == pytest.approx(np.percentile(resampled, 100 * 0.05 / 3))
        assert step["difference"] == pytest.approx((validation.values[point] - validation.values[reference]).mean())
    resampled = validation.bootstrap.means(validation.difference(Point(**found["point"]), reference))[:, 0]
    assert found["test"]["lower_bound"] == pytest.approx(np.percentile(resampled, 5))


def test_a_loss_that_only_the_test_split_shows_is_said():
    means = planted(loses_below({"mnr": 192, "matryoshka": 48}))
    worse = {**means, at("matryoshka", 48, "int8"): 0.5}
    found = chosen(means, test_means=worse)
    assert found["point"]["dimension"] == 48  # the choice is validation's
    assert found["test"]["confirmed"] is False
    assert found["test"]["lower_bound"] < -0.05
    assert "do not confirm" in found["reason"]


def test_without_validation_the_choice_is_made_on_test_and_says_so():
    test = evidence(planted(loses_below({"mnr": 192, "matryoshka": 96})))
    found, usual = (
        recommend(splits, "recall@10", 0.05) for splits in ({"test": test}, {"validation": test, "test": test})
    )
    assert (found["chosen_on"], usual["chosen_on"]) == ("test", "validation")
    assert all(found[name] == usual[name] for name in found if name not in ("chosen_on", "reason"))
    assert "on the 200 test queries" in found["reason"]
    assert "optimistic" in found["reason"]
    assert "confirm it:" not in found["reason"]


# The gate


@pytest.mark.parametrize("rival", ["pretrained", "bm25"])
def test_nothing_is_shipped_that_loses_to_a_rival(rival):
    means = planted(lambda _: 0.0)
    raised = {point: 0.9 if point.system == rival else mean for point, mean in means.items()}
    found = chosen(raised)
    assert found["decision"] == "do not ship"
    assert found["point"] is None
    assert not found["gate"][rival]["passed"]
    assert {"pretrained": "is the pretrained model itself", "bm25": "differs from bm25 by -0.2"}[rival] in found[
        "reason"
    ]


def test_both_rivals_that_are_not_beaten_are_named():
    means = planted(lambda _: 0.0, base=0.42)
    found = chosen({**means, BM25: 0.42} | {point: 0.419 for point in grid("pretrained")}, noise=0.2)
    shown = r"[+-]\d\.\d{3} \[-\d\.\d{3}, \+\d\.\d{3}\]"
    assert re.search(rf"differs from pretrained by {shown} and from bm25 by {shown} \(95 %", found["reason"])


def test_without_training_there_is_nothing_to_ship():
    means = {point: 0.6 for point in grid("pretrained")}
    found = chosen({**means, BM25: 0.2})
    assert found["decision"] == "do not ship"
    assert found["gate"]["pretrained"] == {"difference": 0.0, "low": 0.0, "high": 0.0, "passed": False}
    assert found["gate"]["bm25"]["passed"]


def test_a_lucky_small_point_does_not_pass_for_its_system():
    means = planted(lambda _: 0.0, base=0.4)  # trained systems are as good as the pretrained one
    means[at("mnr", 48, "int8")] = 0.5
    means[at("pretrained", 48, "int8")] = 0.5
    assert chosen(means)["decision"] == "do not ship"


# Error rates. Resamples are few, so that the simulation is quick; the bounds are those of a binomial at 1 in 1,000.


def rate_allowed(simulations, rate=0.05):
    return scipy.stats.binom(simulations, rate).ppf(0.999)


def by_thirds(means, best, seed):
    """Against the best point, a quarter of 100 queries lose a third and a tenth gain one: 0.05 on average."""
    rng = np.random.default_rng(seed)
    moved = {point: rng.choice([-1 / 3, 0, 1 / 3], 100, p=[0.25, 0.65, 0.1]) for point in means if point != best}
    values = {point: mean + 0.05 + moved[point] for point, mean in means.items() if point != best}
    return Evidence({best: np.full(100, means[best]), **values}, Bootstrap(100, 400, rng))


@pytest.mark.parametrize("moves", ["a little", "by thirds"])
def test_a_loss_of_the_whole_margin_rarely_passes(moves):
    best = at("matryoshka", 384)
    means = planted(lambda point: 0.0 if point == best else 0.05)
    wrong = 0
    for seed in range(300):
        split = by_thirds(means, best, seed) if moves == "by thirds" else evidence(means, 100, noise=0.1, seed=seed)
        found = recommend({"validation": split, "test": split}, "recall@10", 0.05)
        truth = {(point.system, point.dimension, point.precision): mean for point, mean in means.items()}
        top = truth[tuple(found["reference"].values())[:3]]
        wrong += any(
            step["passed"] and truth[step["system"], step["dimension"], step["precision"]] <= top - 0.05 + 1e-9
            for step in found["steps"]
        )
    assert wrong <= rate_allowed(300)


def test_gains_that_are_noise_are_rarely_shipped():
    means = {point: 0.5 for system in SYSTEMS for point in grid(system)} | {BM25: 0.2}
    shipped = 0
    for seed in range(300):
        split = evidence(means, queries=100, noise=0.1, seed=seed)
        shipped += recommend({"validation": split, "test": split}, "recall@10", 0.05)["decision"] == "ship"
    assert shipped <= rate_allowed(300)


# What is written


@pytest.mark.parametrize("base", [0.7, 0.3])
def test_the_report_can_read_it(tmp_path, base):
    found = chosen(planted(loses_below({"mnr": 192, "matryoshka": 96}), base=base))
    write_json(tmp_path / "recommendation.json", found)
    assert read_json(tmp_path / "recommendation.json") == found  # plain values only, no NaN
    read = load_json(tmp_path / "recommendation.json", Recommendation)
    assert (read.point is not None) == (base == 0.7)
    assert (read.decision, read.reason) == (found["decision"], found["reason"])
    assert len(read.steps) == len(found["steps"])
    assert read.gate.keys() == read.test_gate.keys() == {"pretrained", "bm25"}
    assert read.validation is not None
    assert read.validation.queries == 200


def test_its_keys_are_stable():
    found = chosen(planted(lambda _: 0.0))
    point = ["system", "dimension", "precision", "bytes_per_vector"]
    assert list(found) == [
        "decision", "point", "reference", "metric", "margin", "chosen_on",
        "validation", "test", "steps", "gate", "test_gate", "reason",
    ]  # fmt: skip
    assert list(found["point"]) == list(found["reference"]) == point
    assert list(found["validation"]) == ["difference", "low", "queries"]
    assert list(found["test"]) == ["value", "low", "high", "difference", "lower_bound", "confirmed", "queries"]
    assert list(found["steps"][0]) == [*point, "difference", "lower_bound", "passed"]
    assert list(found["gate"]["bm25"]) == ["difference", "low", "high", "passed"]


def test_the_same_evidence_gives_the_same_words():
    means = planted(loses_below({"mnr": 192, "matryoshka": 96}))
    assert json.dumps(chosen(means, seed=3)) == json.dumps(chosen(means, seed=3))


def test_evidence_is_gathered_by_split_and_metric():
    values = {at("mnr", 48): {"mrr@10": np.arange(4.0), "recall@10": np.arange(4.0) + 10}}
    topics = Topics(np.arange(4), list("abcd"), np.array(["test", "validation", "test", "validation"]))
    bootstraps = {split: Bootstrap(2, 100, np.random.default_rng(0)) for split in ("validation", "test")}
    found = gather(values, topics, "recall@10", bootstraps)
    assert {split: part.values[at("mnr", 48)].tolist() for split, part in found.items()} == {
        "validation": [11, 13], "test": [10, 12]
    }  # fmt: skip
    assert found["test"].bootstrap is bootstraps["test"]
    assert found["test"].mean(at("mnr", 48)) == 11
