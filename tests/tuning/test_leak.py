"""Oracle: planted in the test split, where nothing may look, and then in validation, where everything must."""

from __future__ import annotations

import numpy as np
import pytest
from tables import rows, write_csv

import nestvec
from nestvec.models.find import find_model
from nestvec.models.load import load_model
from nestvec.pipeline.inputs import prepare
from nestvec.settings import Settings
from nestvec.training.examples import TrainingData
from nestvec.training.job import make_job
from nestvec.training.train import train
from nestvec.tuning.prepare_study import prepare_study
from nestvec.tuning.trial import measure_reference
from nestvec.tuning.trial_data import hide_test_split
from nestvec.tuning.tune_settings import TuneSettings

pytestmark = pytest.mark.slow  # whole studies

SPACE = {"learning_rate": [5e-5, 3e-4]}


def split_of(query):
    """A split of our own: every fourth query is asked on test, every fourth on validation."""
    return ("train", "test", "train", "validation")[query % 4]


def table(planted):
    """Judgements with their split; of the planted part a query is its relevant document's own words."""
    judgements = []
    for number, row in enumerate(rows()):
        part = split_of(number // 5)
        if part == planted:
            oracle = rows()[number // 5 * 5]["document"]
            row = {**row, "query": f"{oracle} {number // 5}", "grade": (3, 1, 3, 1, 1)[number % 5]}
        judgements.append({**row, "part": part})
    return judgements


@pytest.fixture(scope="module")
def tuned(tmp_path_factory, quick):
    """A function that searches a table with an oracle planted in a part of it."""
    folder = tmp_path_factory.mktemp("leak")

    def search(planted):
        path = write_csv(folder / f"{planted}.csv", table(planted))
        given = {**quick, "split_column": "part", "search": "grid", "space": SPACE}
        return nestvec.tune(str(path), folder / planted, **given)

    return search


def recall_on_test(folder, quick, planted):
    """What the model reaches on test, as it is."""
    path = write_csv(folder / f"{planted}.csv", table(planted))
    run = nestvec.run(str(path), folder / planted, **{**quick, "split_column": "part", "epochs": 0})
    [value] = [
        row["metrics"]["recall@10"]["value"]
        for row in run.results["surface"]
        if (row["system"], row["dimension"], row["precision"], row["split"]) == ("pretrained", 768, "float32", "test")
    ]
    return value


def test_an_oracle_in_test_changes_no_choice(tuned, without_runs, tmp_path, quick):
    usual, planted = tuned("none"), tuned("test")

    def choices(found):
        kept = ("params", "state", "value", "error", "curve")
        return found.facts["best"], [{name: trial[name] for name in kept} for trial in found.facts["trials"]]

    assert choices(planted) == choices(usual)
    assert (planted.folder / "best.toml").read_text().split("[inputs]")[0].replace("test.csv", "none.csv") == (
        usual.folder / "best.toml"
    ).read_text().split("[inputs]")[0]
    recalls = [recall_on_test(tmp_path, quick, part) for part in ("none", "test")]
    assert recalls[1] > recalls[0] + 0.1  # it was there to be found


def test_an_oracle_in_validation_would_be_seen(tmp_path, quick, tiny):
    worth = {}
    for planted in ("none", "test", "validation"):
        path = write_csv(tmp_path / f"{planted}.csv", table(planted))
        settings = Settings.from_flat({**quick, "source": str(path), "split_column": "part"})
        study = prepare_study(settings, TuneSettings(), tmp_path / "study")
        worth[planted] = measure_reference(study.context, load_model(find_model(tiny)))
    assert worth["test"] == worth["none"]
    assert worth["validation"].value > worth["none"].value + 0.1


@pytest.mark.parametrize("protocol", ["leak-free", "by-query"])
def test_a_trial_has_no_test_split_and_trains_the_same(tmp_path, tiny, protocol):
    path = write_csv(tmp_path / "judged.csv", rows())
    given = {"source": str(path), "model": tiny, "batch_size": 8, "compute": "float32", "protocol": protocol}
    whole = prepare(Settings.from_flat(given))
    hidden = hide_test_split(whole)
    asked = {text for text, split in zip(whole.task.texts, whole.task.splits, strict=True) if split == "test"}
    assert asked and not asked & set(hidden.records.queries) and not asked & set(hidden.task.texts)
    assert not hidden.task.in_part("test").any()
    assert len(hidden.records) == (~whole.task.in_part("test")).sum() == len(hidden.records.grade)
    assert set(hidden.task.splits) == {"validation"}
    assert np.array_equal(hidden.records.grade[hidden.task.pairs], whole.records.grade[whole.task.pairs])
    found = []
    for name, each in (("whole", whole), ("hidden", hidden)):
        model = load_model(each.model)
        data = TrainingData.of(each.records, each.grades, each.task)
        job = make_job(model, "matryoshka", data, each.settings, each.dimensions)
        trained = train(model, job, tmp_path / name)
        weights = b"".join(tensor.contiguous().numpy().tobytes() for tensor in model.state_dict().values())
        found.append((weights, trained.losses, trained.curve))
    assert found[0] == found[1]
