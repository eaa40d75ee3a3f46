"""Oracles: planted truths that each choice must find; hand-made differences without any noise; the run's own types,
which must read what is written; for old runs, a file of before."""

from __future__ import annotations

import re

import numpy as np
import pytest
from evidence import BITS, BM25, choose, evidence, grid, planted, weighed, wish

from nestvec.evaluation.significance import Bootstrap
from nestvec.files import write_json
from nestvec.point import HYBRID, Point
from nestvec.recommending.choose import recommend
from nestvec.runs.conform import load_json
from nestvec.runs.schema import Recommendation

PRECISIONS = ("float32", "binary")
BESIDE, ALONE = "beside_keyword_search", "vectors_alone"


def fused(system, dimension, precision="float32"):
    return Point(f"{system}+bm25", dimension, precision, dimension * BITS[precision] // 8, HYBRID)


def fused_grid(system):
    return [fused(system, point.dimension, point.precision) for point in grid(system, PRECISIONS)]


def world(loss=lambda point: 0.0, mnr=0.6, pretrained=0.5, words=0.45):
    """Means of two systems, alone and fused: fused is 0.1 better than the better leg, less what `loss` says."""
    means = {BM25: words}
    for system, alone in (("pretrained", pretrained - 0.1), ("mnr", mnr - 0.1)):
        means |= {point: alone for point in grid(system, PRECISIONS)}
    for system, both in (("pretrained", pretrained), ("mnr", mnr)):
        means |= {point: both - loss(point) for point in fused_grid(system)}
    return means


def answer(means, margin=0.05, test_means=None, **options):
    validation, test = evidence(means, **options), evidence(test_means or means, **{**options, "seed": 99})
    return recommend({"validation": validation, "test": test}, wish(margin))


def size(choice):
    return choice and (choice["system"], choice["dimension"], choice["precision"])


def narrow(smallest, lost):
    return lambda point: 0.0 if point.bytes >= smallest else lost


def test_the_smallest_fused_vector_is_proven_and_the_answer_speaks_of_it():
    found = answer(world(narrow(24, 0.09)))
    assert found["decision"] == "ship"
    assert found["point"] == {
        "system": "mnr+bm25", "dimension": 192, "precision": "binary", "bytes_per_vector": 24, "kind": "hybrid"
    }  # fmt: skip
    choices = found["choices"][BESIDE]
    assert size(choices["proven"]) == ("mnr+bm25", 192, "binary")
    assert size(choices["likely"]) == ("mnr+bm25", 192, "binary")
    assert size(choices["tiny"]) == ("mnr+bm25", 48, "binary")  # .51, and words alone .45
    assert choices["proven"]["test"]["confirmed"] is True
    assert choices["proven"]["validation"]["chance"] > 0.99
    assert choices["tiny"]["beats"]["system"] == "bm25"
    assert choices["tiny"]["beats"]["test"]["value"] == pytest.approx(0.06, abs=0.02)
    assert choices["proven"]["price"][1] == {"vectors": 10**7, "bytes": 24 * 10**7, "full_bytes": 1536 * 10**7}
    assert list(found["gate"]) == list(found["test_gate"]) == ["bm25", "mnr", "pretrained+bm25"]
    assert found["reason"].startswith("Beside keyword search, ship mnr at 192 dimensions in binary: 24 bytes a vector.")
    assert "smallest vector that still beats keyword search alone: mnr at 48 dimensions in binary" in found["reason"]
    figures = r"recall@10 0\.\d+ \[\S+ \S+\] on \d+ queries, \S+ against the reference, lower bound \S+"
    others = r"BM25 alone 0\.\d+, mnr\.\S+ 0\.\d+, pretrained\S+ 0\.\d+"
    assert re.search(rf"The test queries confirm it: {figures}; {others}\. ", found["reason"])


def test_both_teams_are_answered_and_read_back(tmp_path):
    found = answer(world())
    assert size(found["choices"][ALONE]["proven"]) == ("mnr", 48, "binary")
    assert size(found["choices"][ALONE]["tiny"]) == ("mnr", 48, "binary")
    write_json(tmp_path / "recommendation.json", found)
    read = load_json(tmp_path / "recommendation.json", Recommendation)
    assert read.choices.beside_keyword_search.proven.bytes == 6
    assert read.choices.beside_keyword_search.proven.kind == read.point.kind == HYBRID
    assert read.choices.vectors_alone.tiny.beats.system == "pretrained.384.float32"
    assert read.power.queries == 200


def test_a_run_of_before_the_choices_still_reads(tmp_path):
    found = answer(world())
    old = {name: value for name, value in found.items() if name not in ("choices", "power")}
    old["steps"] = [{name: step[name] for name in step if name != "outcome"} for step in old["steps"]]
    write_json(tmp_path / "recommendation.json", old)
    read = load_json(tmp_path / "recommendation.json", Recommendation)
    assert (read.choices, read.power, read.steps[0].outcome) == (None, None, "")


def test_where_training_adds_nothing_the_pretrained_model_is_fused():
    found = answer(world(narrow(24, 0.09), mnr=0.59, pretrained=0.6))
    assert found["decision"] == "ship"
    assert (found["point"]["system"], found["point"]["bytes_per_vector"]) == ("pretrained+bm25", 24)
    assert found["reference"]["system"] == "pretrained+bm25"
    assert list(found["gate"]) == ["bm25", "pretrained"]
    assert "Use the pretrained model: fine-tuning brought no proven gain." in found["reason"]
    assert {step["system"] for step in found["steps"]} == {"pretrained+bm25"}
    assert found["choices"][BESIDE]["likely"]["system"] == "pretrained+bm25"


def test_where_nothing_was_trained_fine_tuning_is_not_blamed():
    values = world(narrow(24, 0.09), mnr=0.59, pretrained=0.6)
    found = answer({point: rows for point, rows in values.items() if not point.system.startswith("mnr")})
    assert found["point"]["system"] == "pretrained+bm25"
    assert "ine-tuning" not in found["reason"]


@pytest.mark.parametrize("rival", ["bm25", "mnr"])
def test_a_fusion_that_does_not_beat_one_of_its_legs_is_not_shipped(rival):
    means = {point: 0.9 if point.system == rival else mean for point, mean in world().items()}
    found = answer(means)
    assert dict.fromkeys(("proven", "likely"), None).items() <= found["choices"][BESIDE].items()
    assert (found["decision"] == "ship") == (rival == "mnr")  # then its vectors alone are the answer
    if rival == "mnr":
        assert found["point"]["system"] == "mnr"
        assert "kind" not in found["point"]
    else:
        assert found["choices"][BESIDE]["tiny"] is None


def test_the_pretrained_model_is_compared_at_the_same_size():
    means = world()
    means[fused("pretrained", 48, "binary")] = 0.62
    assert size(answer(means)["choices"][BESIDE]["proven"]) == ("mnr+bm25", 96, "binary")


def test_the_confidence_is_split_over_the_pretrained_family_too():
    split = evidence(world())
    found = choose(split)
    for step in found["steps"][1:]:
        point = fused("mnr", step["dimension"], step["precision"])
        bound = split.bootstrap.lower_bound(split.difference(point, fused("mnr", 384)), 0.975)
        assert step["lower_bound"] == bound


def test_what_is_lossless_by_inspection_passes_without_a_test():
    values = {point: np.full(100, mean) for point, mean in world(narrow(1536, 0.001)).items()}
    split = weighed(values, Bootstrap(100, 400, np.random.default_rng(0)))
    small = fused("mnr", 384, "binary")
    before = recommend({"validation": split, "test": split}, wish(0.01))  # 100 queries cannot prove 0.01
    assert before["point"]["bytes_per_vector"] == 1536
    assert before["steps"][-1]["outcome"] == "undecided"
    assert before["test"]["confirmed"] is None
    assert before["choices"][BESIDE]["proven"]["test"]["confirmed"] is None
    assert "do not prove that a smaller vector loses less than" in before["reason"]
    assert "fail" not in before["reason"]
    inspected = weighed(values, split.bootstrap).__class__(values, split.bootstrap, split.recalls, frozenset({small}))
    found = recommend({"validation": inspected, "test": inspected}, wish(0.01))
    assert found["point"]["bytes_per_vector"] == 48
    [step] = [step for step in found["steps"] if step["bytes_per_vector"] == 48]
    assert (step["difference"], step["lower_bound"], step["passed"]) == (0, 0, True)
    assert found["choices"][BESIDE]["proven"]["lossless"]
    assert found["test"]["confirmed"] is True


def test_few_queries_leave_a_likely_choice_that_is_not_proven():
    rng = np.random.default_rng(0)
    values = {point: np.full(250, mean) for point, mean in world().items()}
    split = weighed(values, Bootstrap(250, 2000, rng))
    found = recommend({"validation": split, "test": split}, wish(0.01))
    # nothing lost in 250 queries: a chance of 1 - .99 ** 250 = .92, and .975 would take 369 queries
    assert size(found["choices"][BESIDE]["proven"]) == ("mnr+bm25", 384, "float32")
    assert size(found["choices"][BESIDE]["likely"]) == ("mnr+bm25", 48, "binary")
    assert found["choices"][BESIDE]["likely"]["validation"]["chance"] == pytest.approx(0.919, abs=0.02)
    assert found["power"] == {"queries": 250, "needed": found["queries_needed"]}
    assert found["power"]["needed"] == pytest.approx(369, abs=2)


def test_a_step_that_is_clearly_worse_is_told_from_one_that_is_undecided():
    found = answer(world(narrow(48, 0.2)), margin=0.03)
    assert [step["outcome"] for step in found["steps"]][-1] == "worse"


def test_without_fused_points_the_team_with_words_has_no_choice():
    found = choose(evidence(planted(lambda _: 0.0)))
    assert found["choices"][BESIDE] == {"proven": None, "likely": None, "tiny": None}
    assert found["choices"][ALONE]["proven"] is not None
