"""Oracles: planted truths that the choice must find; the definition of a fixed sequence; the report's own types, which
must read what is written."""

from __future__ import annotations

import json
import re
from dataclasses import replace

import numpy as np
import pytest
from evidence import (
    BITS,
    BM25,
    SYSTEMS,
    WIDTHS,
    at,
    choose,
    chosen,
    evidence,
    grid,
    loses_below,
    names,
    planted,
    weighed,
    wish,
)

from nestvec.evaluation.significance import Bootstrap
from nestvec.evaluation.surface import Topics
from nestvec.files import read_json, write_json
from nestvec.point import Point, VectorFormat
from nestvec.recommending.choose import gather_evidence, order_points, recommend
from nestvec.runs.conform import load_json
from nestvec.runs.schema import Recommendation

# The sequence


def test_two_precisions_go_from_wide_to_narrow():
    expected = ["384xfloat32", "384xint8", "192xint8", "96xint8", "48xint8"]
    assert names(order_points(grid("mnr"))) == expected
    assert names(order_points(grid("mnr")[::-1])) == expected


def test_six_precisions_cut_bits_before_dimensions():
    expected = [f"384x{name}" for name in BITS] + ["192xbinary", "96xbinary", "48xbinary"]
    assert names(order_points(grid("mnr", tuple(BITS)))) == expected


def test_what_a_small_code_keeps_besides_does_not_cost_it_its_place():
    points = [
        replace(point, bytes_per_vector=point.bytes_per_vector + 2 * (point.precision == "int4"))
        for point in grid("mnr", ("float32", "int8", "int4"))
    ]
    assert points[2].bytes_per_vector > at("mnr", 192, "int8").bytes_per_vector
    expected = ["384xfloat32", "384xint8", "384xint4", "192xint4", "96xint4", "48xint4"]
    assert names(order_points(points)) == expected


def test_one_precision_keeps_every_width():
    assert names(order_points(grid("mnr", ("float32",)))) == [f"{width}xfloat32" for width in WIDTHS]


def test_a_sequence_falls_in_bytes_and_leaves_out_only_what_a_wider_one_undercuts():
    points = [at("mnr", width, name) for width in (768, 512, 384, 96, 40) for name in ("float16", "int4", "binary")]
    kept = order_points(points)
    sizes = [point.bytes_per_vector for point in kept]
    assert sizes == sorted(set(sizes), reverse=True)
    for point in set(points) - set(kept):
        assert any(
            other.dimension > point.dimension and other.bytes_per_vector <= 1.05 * point.bytes_per_vector
            for other in kept
        )


# The choice


def test_the_smallest_vector_that_holds_up_is_shipped():
    found = chosen(planted(loses_below({"mnr": 192, "matryoshka": 96})))
    assert found["decision"] == "ship"
    assert found["point"] == {"system": "matryoshka", "dimension": 96, "precision": "int8", "bytes_per_vector": 96}
    assert found["test"]["confirmed"]
    assert all(gate["passed"] for gate in (*found["gate"].values(), *found["test_gate"].values()))
    assert found["reason"].startswith("Ship matryoshka at 96 dimensions in int8, 96 bytes a vector instead of 1,536")
    assert found["queries_needed"] is None


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
    assert "is the best system at full width" in found["reason"]
    assert found["queries_needed"] is None  # smaller ones are clearly worse
    assert "too few" not in found["reason"]
    assert found["test"]["difference"] == found["test"]["lower_bound"] == 0


def test_the_first_failure_ends_a_systems_sequence():
    means = planted(loses_below({"mnr": 48, "matryoshka": 48}))
    means[at("mnr", 192, "int8")] = 0.3  # what is smaller is as good again and must not be looked at
    found = chosen(means)
    steps = {name: [step for step in found["steps"] if step["system"] == name] for name in SYSTEMS}
    assert [step["passed"] for step in steps["mnr"]] == [True, True, False]
    assert [(step["dimension"], step["precision"]) for step in steps["mnr"]][-1] == (192, "int8")
    assert [step["passed"] for step in steps["matryoshka"]] == [True] * 5
    assert steps["pretrained"] == []  # it cannot beat itself, so nothing is spent on it
    for step in found["steps"]:
        assert step["passed"] == (step["lower_bound"] > -0.05)


@pytest.mark.parametrize("trained", [("mnr",), ("mnr", "matryoshka")])
def test_the_confidence_is_split_over_the_systems_that_can_be_shipped(trained):
    means = planted(loses_below({"mnr": 96, "matryoshka": 96}))
    validation = evidence({point: mean for point, mean in means.items() if point.system in ("pretrained", *trained)})
    found = choose(validation)
    reference = Point(**found["reference"])
    for step in found["steps"]:
        point = Point(*[step[name] for name in ("system", "dimension", "precision", "bytes_per_vector")])
        difference = validation.values[point] - validation.values[reference]
        bound = validation.bootstrap.lower_bound(difference, 1 - 0.05 / len(trained)) if difference.any() else 0
        assert step["lower_bound"] == bound
        assert step["difference"] == difference.mean()
        assert step["passed"] == (bound > -0.05)
    difference = validation.difference(Point(**found["point"]), reference)
    assert found["test"]["lower_bound"] == validation.bootstrap.lower_bound(difference, 0.95)


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
    found, usual = recommend({"test": test}, wish()), choose(test)
    assert (found["chosen_on"], usual["chosen_on"]) == ("test", "validation")
    assert (found["test"].pop("confirmed"), usual["test"].pop("confirmed")) == (False, True)
    assert all(found[name] == usual[name] for name in found if name not in ("chosen_on", "choices", "reason"))
    assert all(
        choice is None or not choice["test"]["confirmed"] for choice in found["choices"]["vectors_alone"].values()
    )
    assert "on the 200 test queries" in found["reason"]
    assert "The choice was made on the test queries themselves, so these values are optimistic" in found["reason"]
    assert "The test queries confirm" not in found["reason"]


def test_of_a_format_that_was_cut_both_ways_the_axes_are_tested():
    made = [Point.of("mnr", VectorFormat(width, "int8", axes)) for width in (192, 96) for axes in (False, True)]
    whole = Point.of("mnr", VectorFormat(384, "float32"))
    odd = Point.of("mnr", VectorFormat(48, "int8"))  # which was measured as it is alone
    assert order_points([whole, *made, odd]) == [whole, *(point for point in made if point.axes), odd]


def test_two_stages_are_neither_recommended_nor_a_rival_nor_the_reference():
    means = planted(loses_below({"mnr": 192, "matryoshka": 96}))
    usual = evidence(means)
    best = np.ones(200)
    more = [Point("mnr-via-48-int8", 384, "int8", 432, "two-stage", 48)]
    found = choose(weighed({**usual.values, **dict.fromkeys(more, best)}, usual.bootstrap))
    assert found == choose(usual)
    assert found["point"]["system"] == "matryoshka"


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
    assert found["steps"] == []
    assert found["queries_needed"] is None
    assert "only the pretrained model was measured" in found["reason"]


def test_a_lucky_small_point_does_not_pass_for_its_system():
    means = planted(lambda _: 0.0, base=0.4)  # trained systems are as good as the pretrained one
    means[at("mnr", 48, "int8")] = 0.5
    means[at("pretrained", 48, "int8")] = 0.5
    assert chosen(means)["decision"] == "do not ship"


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
        "validation", "test", "steps", "gate", "test_gate", "max_bytes", "min_recall", "price", "queries_needed",
        "choices", "power", "reason",
    ]  # fmt: skip
    assert list(found["point"]) == list(found["reference"]) == point
    assert list(found["validation"]) == ["difference", "low", "queries"]
    assert list(found["test"]) == ["value", "low", "high", "difference", "lower_bound", "confirmed", "queries"]
    assert list(found["steps"][0]) == [*point, "difference", "lower_bound", "passed", "outcome"]
    assert list(found["gate"]["bm25"]) == ["difference", "low", "high", "passed"]


def test_the_same_evidence_gives_the_same_words():
    means = planted(loses_below({"mnr": 192, "matryoshka": 96}))
    assert json.dumps(chosen(means, seed=3)) == json.dumps(chosen(means, seed=3))


def test_evidence_is_gathered_by_split_and_metric():
    values = {at("mnr", 48): {"mrr@10": np.arange(4.0) + 10, "recall@10": np.array([0.1, 0.5, 0.3, 0.7])}}
    topics = Topics(np.arange(4), list("abcd"), np.array(["test", "validation", "test", "validation"]))
    bootstraps = {split: Bootstrap(2, 100, np.random.default_rng(0)) for split in ("validation", "test")}
    found = gather_evidence(values, topics, "mrr@10", bootstraps)
    assert {split: part.values[at("mnr", 48)].tolist() for split, part in found.items()} == {
        "validation": [11, 13], "test": [10, 12]
    }  # fmt: skip
    assert found["test"].bootstrap is bootstraps["test"]
    assert found["test"].mean(at("mnr", 48)) == 11
    assert found["validation"].recalls == {at("mnr", 48): pytest.approx(0.6)}
    assert found["test"].recalls == {at("mnr", 48): pytest.approx(0.2)}
