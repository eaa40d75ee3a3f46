"""Oracles: the dataclasses' own defaults; a round trip through TOML's reader in the standard library; one value just
outside every range."""

from __future__ import annotations

import tomllib
from dataclasses import fields

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nestvec.errors import InputError
from nestvec.point import PRECISIONS, VectorFormat
from nestvec.runs.config import config_text, read_config
from nestvec.settings import DEPTH, TRAINABLE, Settings, cutoff_of, metric_names, parse_stages, sections

NAMES = {entry.name for kind in sections().values() for entry in fields(kind)} | {"seed"}
NAN, INF = float("nan"), float("inf")
OUTSIDE = {
    "max_records": (0, -1),
    "threshold": (NAN, INF, -INF),
    "validation": (0, 1, -0.1, NAN, 0.8),  # with test's 0.2 nothing is left to train on
    "test": (0.0, 1.0, 1.5, NAN, 0.9),
    "epochs": (-1,),
    "batch_size": (1, 0, -5),
    "learning_rate": (0, -1e-5, NAN, INF),
    "warmup": (1, -0.01, NAN),
    "dropout": (1, -0.1, NAN),
    "compute": ("float16", "", "AUTO"),
    "adapt": ("on", "", "test"),
    "systems": ("bm25", "mnr,mnr", "", [], "mnr,"),
    "precisions": ("float64", "int8,int8", "", []),
    "dimensions": ("0", [384, -1], []),
    "resamples": (99, 0),
    "metric": ("recall", "judged@10", "", "recall@10,mrr@10", "recall@3"),
    "cutoffs": ([0], "101", [10, -1]),
    "shortlist": (99, 0),
    "two_stage": ("48.int8", "48:384", "48.int3:384.int8", "0.int8:384.int8", "48.int8:96.int8:384.int8"),
    "max_bytes": (0, -48),
    "quoting": ("single", ""),
    "min_recall": (0, 1.5, NAN),
    "margin": (0, 1, -0.01, NAN),
    "seed": (-1, 2**32),
}
WRONG_TYPE = {
    "epochs": ("three", 1.5, True, [1], {}),
    "batch_size": ("16", 16.0),
    "seed": (True, "x"),
    "max_records": (1e3,),
    "threshold": ("2.5", True, [2.5]),
    "margin": ("a", False),
    "learning_rate": ("5e-5",),
    "source": (3, ["a"], True),
    "query": (1,),
    "positives_only": (1, "yes", [True]),
    "model": ({"a": 1},),
    "metric": (["recall@10"],),
    "dimensions": ("a,b", [1.5], 384, "384,", [None], [True]),
    "systems": (3, True),
}


def cases(table):
    return [pytest.param(name, value, id=f"{name}={value}") for name, values in table.items() for value in values]


@pytest.mark.parametrize(("name", "value"), cases(OUTSIDE))
def test_a_value_outside_its_range_is_refused_by_its_option(name, value):
    with pytest.raises(InputError) as caught:
        Settings.from_flat({name: value})
    assert caught.value.exit_code == 2
    flags = {"--" + name.replace("_", "-")} | ({"--test"} if name == "validation" else set())  # the two share a check
    assert any(str(caught.value).startswith(f"{flag} is ") for flag in flags)
    assert caught.value.expected


@pytest.mark.parametrize(("name", "value"), cases(WRONG_TYPE))
def test_a_value_of_another_type_is_refused_by_its_option(name, value):
    with pytest.raises(InputError) as caught:
        Settings.from_flat({name: value}, "shop.toml")
    assert caught.value.exit_code == 2
    assert "--" + name.replace("_", "-") in str(caught.value)


@pytest.mark.parametrize(
    ("name", "value"),
    [("validation", 0.7999), ("warmup", 0.0), ("epochs", 0), ("batch_size", 2), ("seed", 2**32 - 1), ("resamples", 100),
     ("max_records", 1), ("threshold", -3), ("dimensions", "1"), ("margin", 0.999), ("dimensions", "48, 96"),
     ("systems", "matryoshka"), ("precisions", ["int8"])],
)  # fmt: skip
def test_the_ends_of_the_ranges_are_inside(name, value):
    assert name in Settings.from_flat({name: value}).flat()


def test_text_and_lists_mean_the_same():
    text = Settings.from_flat({"dimensions": "96, 48", "systems": "matryoshka,mnr", "precisions": "int8"})
    lists = Settings.from_flat({"dimensions": [96, 48], "systems": ["matryoshka", "mnr"], "precisions": ["int8"]})
    assert text == lists
    assert text.evaluation.dimensions == (96, 48)
    assert text.training.systems == ("matryoshka", "mnr")


def test_a_dash_stands_for_an_underscore():
    assert Settings.from_flat({"batch-size": 8}) == Settings.from_flat({"batch_size": 8})


@pytest.mark.parametrize("name", ["epoch", "Epochs", "training", "data", ""])
def test_an_unknown_name_is_refused_and_the_known_ones_shown(name):
    with pytest.raises(InputError) as caught:
        Settings.from_flat({name: 3}, "shop.toml")
    assert str(caught.value).startswith(f"shop.toml: unknown setting {name!r}; expected one of accumulate, ")


@pytest.mark.parametrize(
    ("name", "meant"),
    [("epoch", "epochs"), ("batchsize", "batch_size"), ("Batch-Sise", "batch_size"), ("Seed", "seed"), ("zzz", None)],
)
def test_an_unknown_name_that_is_close_to_a_known_one_is_answered_with_it(name, meant):
    with pytest.raises(InputError) as caught:
        Settings.from_flat({name: 3})
    hint = "" if meant is None else f"; did you mean {meant!r}?"
    assert str(caught.value).endswith(f"validation, warmup{hint}")


def test_every_setting_has_one_owner_and_words_for_help():
    owners = [entry for kind in sections().values() for entry in fields(kind)]
    assert len({entry.name for entry in owners}) == len(owners)
    assert all(entry.metadata.get("help") for entry in owners)


def test_nothing_given_is_the_default_where_there_is_none():
    optional = {name: None for name in NAMES - set(Settings().flat())}
    assert {"threshold", "dimensions", "document_id"} <= set(optional)
    assert Settings.from_flat(optional) == Settings()


def test_a_metric_at_a_cutoff_that_is_measured_can_decide():
    assert Settings.from_flat({"metric": "ndcg-exp@3", "cutoffs": [3]}).recommendation.metric == "ndcg-exp@3"
    assert Settings.from_flat({"metric": "map"}).recommendation.metric == "map"


def test_two_stages_are_read():
    assert parse_stages("48.int8:384.float16") == (VectorFormat(48, "int8"), VectorFormat(384, "float16"))


def test_nothing_given_is_the_default_everywhere():
    assert Settings.from_flat(dict.fromkeys(NAMES)) == Settings()


TEXT = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=8)
VALUES = {
    "source": TEXT, "query": TEXT, "document": TEXT, "grade": TEXT, "document_id": TEXT, "model": TEXT,
    "max_records": st.integers(1, 10**12), "threshold": st.floats(allow_nan=False, allow_infinity=False),
    "validation": st.floats(0.001, 0.4), "test": st.floats(0.001, 0.5), "epochs": st.integers(0, 10**6),
    "batch_size": st.integers(2, 10**6), "learning_rate": st.floats(1e-300, 1e10), "warmup": st.floats(0, 0.999),
    "dropout": st.floats(0, 0.999),
    "compute": st.sampled_from(["auto", "float32", "bfloat16"]), "resamples": st.integers(100, 10**9),
    "systems": st.lists(st.sampled_from(TRAINABLE), min_size=1, unique=True),
    "precisions": st.lists(st.sampled_from(PRECISIONS), min_size=1, unique=True),
    "dimensions": st.lists(st.integers(1, 10**5), min_size=1), "metric": st.sampled_from(metric_names(())),
    "margin": st.floats(1e-9, 0.999), "max_bytes": st.integers(1, 10**6), "min_recall": st.floats(1e-6, 1),
    "cutoffs": st.lists(st.integers(1, 100)), "shortlist": st.integers(100, 10**6), "bigger": st.just(""),
    "two_stage": st.lists(st.sampled_from(["48.int8:384.int8", "384.binary:384.float16"])),
    "seed": st.integers(0, 2**32 - 1),
}  # fmt: skip
OPTIONS = st.fixed_dictionaries({}, optional=VALUES)


@settings(max_examples=200, deadline=None)
@given(OPTIONS)
def test_flat_is_read_back_to_an_equal_object(options):
    checked = Settings.from_flat(options)
    assert Settings.from_flat(checked.flat()) == checked
    assert {name: checked.flat()[name] for name in options} == options


@settings(max_examples=100, deadline=None)
@given(OPTIONS)
def test_the_written_file_is_read_back_to_an_equal_object(tmp_path_factory, options):
    checked = Settings.from_flat(options)
    path = tmp_path_factory.mktemp("config") / "config.toml"
    path.write_text(config_text(checked, {"source": "ab12"}), encoding="utf-8")
    assert Settings.from_flat(read_config(path)) == checked
    content = tomllib.loads(path.read_text(encoding="utf-8"))
    assert content["inputs"] == {"source": "ab12"}
    assert {"python", "numpy", "nestvec"} <= set(content["versions"])


# Config files


def config(tmp_path, text):
    path = tmp_path / "shop.toml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def test_tables_named_after_stages_are_flattened(tmp_path):
    text = 'source = "a.csv"\n[training]\nepochs = 1\n[evaluation]\ndimensions = [96]\n[tune.space]\nepochs = [1, 2]\n'
    values = read_config(config(tmp_path, text))
    assert values == {"source": "a.csv", "epochs": 1, "dimensions": [96]}
    assert Settings.from_flat(values).training.epochs == 1


@pytest.mark.parametrize("text", ["epochs 3", "epochs = three", "epochs = 3\nepochs = 4", b"source = '\xff'", "[a"])
def test_what_is_not_toml_is_refused(tmp_path, text):
    with pytest.raises(InputError, match=r"shop\.toml: is not TOML") as caught:
        read_config(config(tmp_path, text))
    assert caught.value.exit_code == 2


@pytest.mark.parametrize("name", ["missing.toml", "missing/shop.toml", "."])
def test_a_file_that_cannot_be_read_is_refused(tmp_path, name):
    with pytest.raises(InputError, match=r"cannot be read.*expected a TOML file"):
        read_config(tmp_path / name)


@pytest.mark.parametrize(
    "text", ["epoch = 3", "[trainning]\nepochs = 3", "[training]\nepoch = 3", "[[data]]\nquery = 'q'"]
)
def test_unknown_names_in_a_file_are_refused(tmp_path, text):
    with pytest.raises(InputError, match="unknown setting"):
        Settings.from_flat(read_config(config(tmp_path, text)))


def test_an_empty_file_is_the_defaults(tmp_path):
    assert Settings.from_flat(read_config(config(tmp_path, ""))) == Settings()


def test_every_metric_looks_at_some_of_what_is_ranked():
    assert {cutoff_of(name) for name in metric_names((5,))} == {5, 10, DEPTH}
    assert cutoff_of("map") == DEPTH
