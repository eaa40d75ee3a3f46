"""Oracles: spaces written out by hand; the settings themselves, which every value of a space must pass."""

from __future__ import annotations

from dataclasses import replace

import pytest

from nestvec.errors import InputError
from nestvec.point import VectorFormat
from nestvec.settings import TRAINABLE, Settings
from nestvec.tuning.aim import Aim, parse_aim
from nestvec.tuning.space import Range, Values, apply_params, count_points, default_space, list_grid, read_space
from nestvec.tuning.tune_settings import TuneSettings

SETTINGS = Settings.from_flat({"dimensions": [384, 96, 48], "systems": "graded"})
FULL_WIDTH = VectorFormat(384, "float32")
AIM = Aim("recall@10", FULL_WIDTH)


def read(table, aim=AIM):
    return read_space(table, SETTINGS, aim, "mine.toml")


def test_values_and_ranges_are_read():
    space = read(
        {
            "learning-rate": {"low": 1e-5, "high": 1e-3, "log": True},
            "batch_size": [16, 32],
            "epochs": {"low": 1, "high": 4},
            "warmup": {"low": 0, "high": 0.3, "step": 0.1},
            "mixing": [1.0, [1.0, 0.5]],
        }
    )
    assert space == (
        Range("learning_rate", 1e-5, 1e-3, log=True),
        Values("batch_size", (16, 32)),
        Range("epochs", 1, 4, whole=True),
        Range("warmup", 0, 0.3, step=0.1),
        Values("mixing", (1.0, "1.0,0.5")),
    )
    assert count_points(space) is None
    assert count_points(space[1:]) == 2 * 4 * 4 * 2
    points = list_grid(space[1:4])
    assert len(points) == 32
    assert points[1] == {"batch_size": 16, "epochs": 1, "warmup": 0.1}
    assert {tuple(map(type, point.values())) for point in points} == {(int, int, float)}


WRONG = {
    "source": ([1], "cannot be searched; expected one of .*batch_size"),
    "systems": (["mnr"], "cannot be searched"),
    "dimension": ([48], "cannot be searched"),  # the aim says where
    "epochs": ([1, 1], "holds a value twice"),
    "batch_size": ([16, 1], "--batch-size is 1; expected 2 or more"),
    "warmup": ({"low": 0.5, "high": 1.5}, "--warmup is 1.5"),
    "learning_rate": ({"low": 0, "high": 1e-3, "log": True}, "with log, low above 0"),
    "scale": ({"low": 1}, "a list of values, or a range"),
    "accumulate": ({"low": 1.5, "high": 2}, "whole numbers"),
    "dimension_fade": ([2.0], "a factor above 0, at most 1"),
    "dimension_weights": ([[1, -1, 1]], "numbers from 0 on"),
    "hard_negatives": ([], "a list of values"),
    "patience": ([True], "numbers, words, or lists"),
    "mixing": ({"low": 0.5, "high": 1.0}, "is a range; expected a list of values"),
    "distil": ({"low": 1.0, "high": 0.5}, "low below high"),
    "negative_margin": ({"low": 0.5, "high": 0.9, "log": True, "step": 0.1}, "and no step"),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_is_wrong_is_named_with_file_and_key(name):
    wish, message = WRONG[name]
    with pytest.raises(InputError, match=rf"mine\.toml, \[tune\.space\] {name}: .*{message}"):
        read({name: wish})


def test_one_setting_is_not_searched_twice():
    with pytest.raises(InputError, match="sets dimension_weights twice"):
        read({"dimension_fade": [1.0, 0.5], "dimension_weights": [[1, 1, 1]]})
    with pytest.raises(InputError, match=r"tune\.space is \{\}"):
        read({})


def test_a_grid_takes_steps_and_has_an_end():
    with pytest.raises(InputError, match="a range with a step"):
        list_grid(read({"warmup": {"low": 0.0, "high": 0.3}}))
    with pytest.raises(InputError, match="10,000"):
        list_grid(read({"batch_size": {"low": 2, "high": 300}, "epochs": {"low": 1, "high": 100}}))


@pytest.mark.parametrize("system", TRAINABLE)
@pytest.mark.parametrize("aim", [AIM, Aim("recall@10", FULL_WIDTH, with_bytes=True)])
def test_the_default_space_holds_what_the_system_knows_and_nothing_wrong(system, aim):
    training = replace(SETTINGS.training, systems=(system,))
    names = {}
    for grid in (False, True):
        space = default_space(system, grid, aim, SETTINGS)
        table = {knob.name: knob.to_toml() for knob in space}
        assert read_space(table, replace(SETTINGS, training=training), aim, "it").__len__() == len(space)
        names[grid] = set(table)
    assert ("dimension_fade" in names[False]) == (system.endswith("matryoshka") or system == "graded")
    assert ("scale" in names[False]) == (not system.startswith("cosine"))
    assert ({"hard_negatives", "mixing"} <= names[False]) == (system == "graded")
    assert ({"dimension", "precision"} <= names[False]) == aim.with_bytes
    assert ("epochs" in names[False]) == ("epochs" in names[True]) == (system != "adapted")
    assert 8 <= len(list_grid(default_space(system, True, AIM, SETTINGS))) <= 16


def test_parameters_become_settings():
    found = apply_params(
        SETTINGS, {"learning_rate": 1e-4, "dimension_fade": 0.5, "mixing": "1.0,0.5", "precision": "int8"}
    )
    assert found.training.learning_rate == 1e-4
    assert found.training.dimension_weights == (1.0, 0.5, 0.25)
    assert found.graded.mixing == (1.0, 0.5)
    assert found.evaluation == SETTINGS.evaluation


def test_aims_are_read():
    def read_aim(text):
        return parse_aim(text, SETTINGS, (384, 96, 48))

    assert read_aim("ndcg@5.48.int8") == Aim("ndcg@5", VectorFormat(48, "int8"))
    assert read_aim("map") == Aim("map", FULL_WIDTH)
    with_bytes = read_aim("recall@10,bytes")
    assert with_bytes.directions == ["maximize", "minimize"]
    assert with_bytes.choose_format({"dimension": 48, "precision": "binary"}) == VectorFormat(48, "binary")
    for wrong in ("recall", "recall@7", "recall@10.48", "recall@10.0.int8", "recall@10.385.int8", "recall@10,size"):
        with pytest.raises(InputError, match="--aim is"):
            read_aim(wrong)


def test_plans_are_checked():
    for wrong in (
        {"search": "bayes"}, {"trials": 0}, {"pruner": "median "}, {"engine": "spark"}, {"storage": "sqlite:///x"},
        {"repeats": 1}, {"workers": 0}, {"search": "data-size", "trials": 3}, {"colour": 1}, {"aim": 3},
    ):  # fmt: skip
        with pytest.raises(InputError):
            TuneSettings.from_flat(wrong)
