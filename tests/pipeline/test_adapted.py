"""Oracles: the first loss of a training by hand from either starting point; the texts of the held-out queries'
documents; files that a run writes, read as JSON."""

from __future__ import annotations

import json

import numpy as np
import pytest
from shared_runs import make_once
from tables import rows, write_csv
from tiny_mpnet import save_tiny_mpnet

import nestvec
from nestvec.data.audit import CATALOGUE_NOTE
from nestvec.errors import InputError
from nestvec.models.find import find_model
from nestvec.models.load import load_model
from nestvec.pipeline.inputs import prepare
from nestvec.runs.config import read_config
from nestvec.settings import Settings
from nestvec.training.crops import crop_rows
from nestvec.training.examples import TrainingData
from nestvec.training.job import make_job
from nestvec.training.train import train

OPTIONS = {"precisions": "int8", "dimensions": "48", "resamples": 100, "bigger": "", "compute": "float32", "seed": 5}
OPTIONS |= {"batch_size": 16, "validation": 0.2, "test": 0.3, "learning_rate": 1e-3}


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A folder with a table, a tiny model, and two runs of them: `train`, with mnr, and `catalogue`."""

    def make(folder):
        source, model = write_csv(folder / "judged.csv", rows(queries=90)), save_tiny_mpnet(folder / "tiny", width=96)
        told = []
        nestvec.run(str(source), folder / "train", model=str(model), adapt="train", systems="mnr", **OPTIONS)
        nestvec.run(
            str(source), folder / "catalogue", model=str(model), adapt="catalogue", systems="adapted",
            progress=lambda event: told.append(event.message), **OPTIONS,
        )  # fmt: skip
        (folder / "told.json").write_text(json.dumps(told))

    return make_once(tmp_path_factory, "adapted", make)


@pytest.fixture(scope="module")
def small(made):
    """A tiny model of 96 numbers."""
    return str(made / "tiny")


def read_json(path):
    return json.loads(path.read_text(encoding="utf-8"))


def prepared_as(run):
    return prepare(Settings.from_flat(read_config(run / "config.toml")))


def test_every_other_system_starts_from_the_adapted_model(made, tmp_path):
    found = prepared_as(made / "train")
    [adapted, mnr] = read_json(made / "train" / "training.json")["systems"]
    assert (adapted["system"], mnr["system"]) == ("adapted", "mnr")
    first = {}
    for name, folder in (("adapted", str(made / "train" / "models" / "adapted")), ("pretrained", str(made / "tiny"))):
        model = load_model(find_model(folder))
        data = TrainingData.of(found.records, found.grades, found.task)
        job = make_job(model, "mnr", data, found.settings, found.dimensions)
        first[name] = train(model, job, tmp_path / name).losses[0]
    assert mnr["losses"][0] == pytest.approx(first["adapted"], rel=1e-4)
    assert mnr["losses"][0] != pytest.approx(first["pretrained"], rel=1e-2)
    assert mnr["curve"][0]["recall"] == pytest.approx(  # the state that mnr starts from is the one that was kept
        next(point["recall"] for point in adapted["curve"] if point["step"] == adapted["best_step"]), abs=1e-6
    )


def test_the_run_says_what_started_from_what(made):
    results = read_json(made / "train" / "results.json")
    assert results["trained"] == ["adapted", "mnr"]
    assert results["starts"] == {"adapted": "pretrained", "mnr": "adapted"}
    assert results["adapted_on"] == "train"
    assert {row["system"] for row in results["surface"]} >= {"pretrained", "adapted", "mnr", "bm25"}
    for system, start in results["starts"].items():
        assert read_json(made / "train" / "models" / system / "nestvec.json")["start"] == start
    page = (made / "train" / "report.html").read_text(encoding="utf-8")
    assert "mnr started from adapted, not from the pretrained model." in " ".join(page.split())
    assert CATALOGUE_NOTE not in page and "note" not in read_json(made / "train" / "data" / "audit.json")


def test_texts_of_held_out_documents_are_spoken_of_wherever_leaks_are(made):
    assert read_json(made / "catalogue" / "results.json")["adapted_on"] == "catalogue"
    assert read_json(made / "catalogue" / "data" / "audit.json")["note"] == CATALOGUE_NOTE
    assert CATALOGUE_NOTE in (made / "catalogue" / "report.html").read_text(encoding="utf-8")
    assert read_json(made / "told.json").count(CATALOGUE_NOTE) == 1
    check = nestvec.check(str(made / "judged.csv"), adapt="catalogue", progress=False)
    assert check.facts["split"]["note"] == CATALOGUE_NOTE


def test_documents_of_held_out_queries_are_learnt_with_the_catalogue_alone(made):
    learnt, held_out = {}, set()
    for name in ("train", "catalogue"):
        rows_learnt = read_json(made / name / "training.json")["systems"][0]["rows"]
        found = prepared_as(made / name)
        judged = found.records.document[np.isin(found.task.labels, ("validation", "test"))]
        held_out = {found.records.documents[row] for row in judged}
        data = TrainingData.of(found.records, found.grades, found.task)
        examples = make_job(load_model(found.model), "adapted", data, found.settings, found.dimensions).examples
        learnt[name] = {data.texts.documents[row[0]] for row in examples.members}
        assert rows_learnt == len(learnt[name])
    assert learnt["train"].isdisjoint(held_out)
    assert learnt["catalogue"] == learnt["train"] | held_out


def test_each_fold_leaves_its_own_documents_out(tmp_path, small):
    source = write_csv(tmp_path / "judged.csv", rows(queries=60))
    options = {"systems": "adapted", "folds": 3, "model": small, "bigger": ""}
    found = prepare(Settings.from_flat({"source": str(source), **options}))
    for number in (1, 2, 3):
        part = found.in_fold(number)
        data = TrainingData.of(part.records, part.grades, part.task.learning)
        learnt = {data.texts.documents[row[0]] for row in crop_rows(data, part.settings.seed).members}
        asked = {part.records.documents[part.task.catalogue[row]] for row in part.task.document}
        assert learnt and learnt.isdisjoint(asked)


@pytest.mark.slow
def test_folds_train_each_its_own_adapted_model(tmp_path, small):
    source = write_csv(tmp_path / "judged.csv", rows(queries=60))
    options = {name: value for name, value in OPTIONS.items() if name not in ("validation", "test")}
    run = nestvec.run(str(source), tmp_path / "run", model=small, folds=2, adapt="train", systems="mnr", **options)
    cards = [read_json(path / "nestvec.json") for path in sorted(run.root.glob("**/models/*")) if path.is_dir()]
    assert [(card["system"], card["start"]) for card in cards] == [("adapted", "pretrained"), ("mnr", "adapted")] * 3
    assert len({card["sha256"] for card in cards}) == 6


# --- a team that has judged nothing to train on


def held_out_table(trained=()):
    """60 queries, all of them held out; rows of `trained` queries only are in the training split, judged low."""
    table = []
    for place, row in enumerate(rows(queries=60)):
        number = place // 5
        part = "train" if number in trained else ("validation", "test")[number % 2]
        table.append({**row, "grade": 1 if number in trained else row["grade"], "split": part})
    return table


def test_without_training_judgements_the_catalogue_is_learnt(tmp_path, small):
    source = write_csv(tmp_path / "judged.csv", held_out_table())
    options = {name: value for name, value in OPTIONS.items() if name not in ("validation", "test")}
    settings = {"split_column": "split", "model": small, "systems": "adapted", **options}
    with pytest.raises(InputError) as caught:
        nestvec.run(str(source), tmp_path / "run", **settings)
    assert "adapted has no documents to learn from: all documents belong to validation or test queries" in str(
        caught.value
    )
    assert "--adapt catalogue" in caught.value.expected
    assert not (tmp_path / "run").exists()
    run = nestvec.run(str(source), tmp_path / "run", **settings, adapt="catalogue")
    assert run.results.trained == ("adapted",)
    lexical = read_json(run.root / "results.json")["lexical"]
    assert (lexical["fitted_on"], lexical["tried"]) == (0, {})
    hybrid = read_json(run.root / "hybrid.json")
    assert (hybrid["k1"], hybrid["b"], hybrid["weight"]) == (1.5, 0.75, 0.5)


def test_documents_of_nobodys_queries_are_enough(tmp_path, small):
    source = write_csv(tmp_path / "judged.csv", held_out_table(trained=range(50, 60)))
    options = {name: value for name, value in OPTIONS.items() if name not in ("validation", "test")}
    settings = {"split_column": "split", "model": small, **options}
    run = nestvec.run(str(source), tmp_path / "run", systems="adapted", **settings)
    assert 40 <= run.trainings[0].rows <= 50
    with pytest.raises(InputError, match=r"train(ing)? split holds no relevant record") as caught:
        nestvec.run(str(source), tmp_path / "other", systems="adapted,mnr", **settings)
    assert "--systems adapted" in caught.value.expected


def test_all_queries_may_be_held_out_where_nothing_learns_from_judgements(tmp_path, small):
    shares = {"validation": 0.5, "test": 0.5}
    with pytest.raises(InputError, match=r"--test is 0\.5; expected a share that leaves queries to train on"):
        Settings.from_flat({**shares, "systems": "adapted,mnr"})
    source = write_csv(tmp_path / "judged.csv", rows(queries=60))
    given = {"source": str(source), **shares, "systems": "adapted", "model": small, "bigger": ""}
    found = prepare(Settings.from_flat({**given, "adapt": "catalogue"}))
    assert len(found.task.pairs) == 0
    assert len(found.task.ids) == 60
    with pytest.raises(InputError, match="adapted has no documents to learn from"):
        prepare(Settings.from_flat(given))


def test_the_command_line_names_the_remedy(tmp_path, small, typed):
    source = write_csv(tmp_path / "judged.csv", held_out_table())
    words = ("--split-column", "split", "--systems", "adapted", "--model", small, "--out", tmp_path / "run")
    code, _, told = typed("run", source, *words)
    assert code == 2
    assert "--adapt catalogue" in " ".join(told.split())
