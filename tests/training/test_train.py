"""Oracles: the same training without the interruption, bit for bit; the operating system's own signals and errors; a
learning rate that must diverge; counts by hand from a table of 60 queries with two relevant documents of five."""

from __future__ import annotations

import os
import signal
from contextlib import ExitStack

import numpy as np
import pytest
import torch
from full_disk import full_from
from jobs import job_and_model, prepared, weights
from tables import rows
from tiny_mpnet import save_tiny_mpnet

from nestvec.errors import InputError, NestvecError, StoppedError
from nestvec.settings import TRAINABLE, Settings
from nestvec.training.job import Job
from nestvec.training.systems import SYSTEMS
from nestvec.training.train import choose_step, train
from nestvec.training.trainer import last_checkpoint, step_of


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    return str(save_tiny_mpnet(tmp_path_factory.mktemp("tiny") / "mpnet", dropout=0.1))


@pytest.fixture(scope="module")
def table(tmp_path_factory, tiny):
    """A run's input with the tiny model: trainings of seconds, with dropout, so that random states matter."""
    return prepared(tmp_path_factory.mktemp("table"), model=tiny)


@pytest.fixture(scope="module")
def catalogue(tmp_path_factory):
    """The input of a narrow model with dropout over documents of four frequent words and two rare ones."""
    folder, rng = tmp_path_factory.mktemp("catalogue"), np.random.default_rng(1)
    frequent, letters = ["indoor", "quality", "household", "compact", "heavy", "standard"], list("bcdfghjklmnprstvwxz")
    rare = (["".join(rng.choice(letters, 4)) for _ in range(2)] for _ in rows())
    made = [
        {**row, "document": " ".join([*rng.choice(frequent, 4, replace=False), *words])}
        for row, words in zip(rows(), rare, strict=True)
    ]
    model = save_tiny_mpnet(folder / "narrow", dropout=0.1, width=96)
    return prepared(folder, made, model=str(model), bigger="", dimensions="48", learning_rate=1e-3)


@pytest.fixture(scope="module")
def whole(table, tmp_path_factory):
    """A training of `graded` that nothing interrupts: its weights and what it reports."""
    job, model = job_and_model(table, "graded")
    trained = train(model, job, tmp_path_factory.mktemp("whole"))
    return weights(model), trained


def test_every_name_of_the_settings_is_a_system():
    assert tuple(SYSTEMS) == TRAINABLE


@pytest.mark.slow
@pytest.mark.parametrize("system", TRAINABLE)
def test_every_system_trains_and_reports_every_step(table, tmp_path, system):
    job, model = job_and_model(table, system)
    before, seen = weights(model), []
    trained = train(model, job, tmp_path, advance=seen.append)
    train_queries = len(np.unique(table.records.query[table.task.in_part("train")]))
    rows_of_judgements = len(table.task.pairs) if SYSTEMS[system].distinct else table.task.in_part("train").sum()
    learnt = table.records.normalised_documents[~table.task.held_out_documents]
    assert trained.rows == (rows_of_judgements if SYSTEMS[system].judged else len(np.unique(learnt)))
    passes = 2 if SYSTEMS[system].judged else 1
    assert trained.steps == job.steps == len(trained.losses) == sum(seen) == passes * -(-trained.rows // 8)
    assert [point["step"] for point in trained.curve][:3] == [0, 8, 16]
    assert trained.curve[-1]["step"] == trained.steps
    best = max(trained.curve[1:], key=lambda point: (point["recall"], -point["step"]))
    clear = best["recall"] - trained.curve[-1]["recall"] > best["recall_error"]
    assert trained.best_step == (best["step"] if clear else trained.steps)
    assert trained.unused == 0 and train_queries > 30
    assert trained.mixed == 0.0 or weights(model) != before


@pytest.mark.slow
def test_minilm_learns(tmp_path):
    job, model = job_and_model(prepared(tmp_path, epochs=3), "matryoshka")
    trained = train(model, job, tmp_path / "checkpoints")
    assert np.mean(trained.losses[-5:]) < 0.8 * np.mean(trained.losses[:5])


@pytest.mark.slow
def test_the_same_job_gives_the_same_weights(table, tmp_path, whole):
    job, model = job_and_model(table, "graded")
    assert train(model, job, tmp_path) == whole[1]
    assert weights(model) == whole[0]


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_leaves_a_checkpoint_from_which_the_same_weights_come(table, tmp_path, whole, number):
    job, model = job_and_model(table, "graded")
    taken: list[int] = []

    def interrupt(steps):
        taken.append(steps)
        if sum(taken) == 6:  # between two checkpoints of the interval
            os.kill(os.getpid(), number)

    handler = signal.getsignal(number)
    with pytest.raises(StoppedError, match="stopped training graded after step 6; run the same command again"):
        train(model, job, tmp_path, advance=interrupt)
    assert signal.getsignal(number) is handler
    assert step_of(last_checkpoint(tmp_path)) == 6
    job, model = job_and_model(table, "graded")
    assert train(model, job, tmp_path) == whole[1]
    assert weights(model) == whole[0]


def test_an_interrupted_training_without_judgements_comes_to_the_same_weights(catalogue, tmp_path):
    job, model = job_and_model(catalogue, "adapted")
    whole = train(model, job, tmp_path / "whole")
    expected = weights(model)

    def stop(steps):
        if steps == 1 and not last_checkpoint(tmp_path / "halves"):
            os.kill(os.getpid(), signal.SIGTERM)

    job, model = job_and_model(catalogue, "adapted")
    with pytest.raises(StoppedError, match="stopped training adapted after step 1"):
        train(model, job, tmp_path / "halves", advance=stop)
    job, model = job_and_model(catalogue, "adapted")
    assert train(model, job, tmp_path / "halves") == whole
    assert weights(model) == expected


def test_training_on_documents_alone_lowers_the_loss(catalogue, tmp_path):
    job, model = job_and_model(catalogue, "adapted")
    losses = train(model, job, tmp_path / "checkpoints").losses
    assert np.mean(losses[-8:-1]) < 0.7 * np.mean(losses[:4])


def test_a_checkpoint_of_the_optimizer_that_updates_one_tensor_at_a_time_is_continued(table, tmp_path):
    job, model = job_and_model(table, "mnr")
    whole = train(model, job, tmp_path / "whole")
    expected = model.state_dict()

    def stop(steps):
        if steps == 1 and not last_checkpoint(tmp_path / "halves"):
            os.kill(os.getpid(), signal.SIGTERM)

    job, model = job_and_model(table, "mnr")
    with pytest.raises(StoppedError):
        train(model, job, tmp_path / "halves", advance=stop)
    path = last_checkpoint(tmp_path / "halves") / "optimizer.pt"
    state = torch.load(path, weights_only=True)
    assert all(group["fused"] for group in state["param_groups"])
    state["param_groups"] = [{**group, "fused": None} for group in state["param_groups"]]  # as before
    torch.save(state, path)
    job, model = job_and_model(table, "mnr")
    continued = train(model, job, tmp_path / "halves")
    assert continued.losses == pytest.approx(whole.losses, rel=1e-4)
    for name, weights_of_one in model.state_dict().items():
        torch.testing.assert_close(weights_of_one, expected[name], rtol=1e-3, atol=1e-5)


@pytest.mark.slow
def test_a_full_disk_gives_one_message_and_keeps_the_last_checkpoint(table, tmp_path, whole):
    job, model = job_and_model(table, "graded")
    taken: list[int] = []

    def fill(steps):
        taken.append(steps)
        if sum(taken) == 12:
            full.enter_context(full_from(1_000_000))

    wanted = r"checkpoint-16 cannot be written \(.+\); the checkpoint of step 8 is intact"
    with ExitStack() as full, pytest.raises(NestvecError, match=wanted):
        train(model, job, tmp_path, advance=fill)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["checkpoint-8", "eval"]
    job, model = job_and_model(table, "graded")
    assert train(model, job, tmp_path) == whole[1]
    assert weights(model) == whole[0]


@pytest.mark.slow
def test_the_best_state_is_kept_and_patience_stops_early(table, tmp_path):
    options = {"learning_rate": 10.0, "validate_every": 2, "patience": 2, "epochs": 20}
    found = prepared(tmp_path, model=table.settings.training.model, **options)
    job, model = job_and_model(found, "mnr")
    trained = train(model, job, tmp_path / "checkpoints")
    kept = next(point for point in trained.curve if point["step"] == trained.best_step)["recall"]
    assert job.validation(model)["recall"] == pytest.approx(kept, abs=1e-6)
    best = max(trained.curve[1:], key=lambda point: (point["recall"], -point["step"]))
    assert trained.steps == best["step"] + 2 * 2 < job.steps
    assert trained.worse == (trained.curve[0]["recall"], kept)  # a rate of 10 leads astray, and it is said


def test_an_earlier_state_is_kept_only_if_it_is_clearly_better():
    def curve(last):
        return [
            {"step": step, "recall": recall, "recall_error": 0.02} for step, recall in ((0, 1), (4, 0.5), (8, last))
        ]

    assert [choose_step(curve(last), 8) for last in (0.5, 0.481, 0.479, 0.6)] == [8, 8, 4, 8]
    assert choose_step([], 8) == 8  # nothing was validated


def test_a_loss_that_is_no_number_names_step_and_records(table, tmp_path):
    found = prepared(tmp_path, model=table.settings.training.model, learning_rate=1e30, warmup=0.0)
    job, model = job_and_model(found, "mnr")
    with pytest.raises(NestvecError) as caught:
        train(model, job, tmp_path / "checkpoints")
    text = str(caught.value)
    assert text.startswith("training mnr stopped at step 2: loss is nan.")
    named = [query for query in found.records.queries if repr(query) in text]
    assert len(named) == 3 and "and 5 more" in text
    assert "learning-rate" in text


def test_accumulated_batches_make_one_step(table, tmp_path):
    found = prepared(tmp_path, model=table.settings.training.model, accumulate=3, epochs=1)
    job, model = job_and_model(found, "mnr")
    batches = -(-len(found.task.pairs) // 8)
    assert train(model, job, tmp_path / "checkpoints").steps == job.steps == -(-batches // 3)


@pytest.mark.parametrize(
    ("given", "count", "batch", "rate"),
    [
        ({}, 800, 16, 1.5e-4),  # 50 steps
        ({}, 4080, 16, 0.015 / 255),
        ({}, 4096, 64, 1.5e-4),
        ({}, 64_000, 64, 1e-4),  # 1,000 steps: the lowest rate of such batches
        ({"batch_size": 16}, 64_000, 16, 5e-5),
        ({"batch_size": 8}, 64_000, 8, 5e-5),
        ({"learning_rate": 1e-3}, 64_000, 64, 1e-3),
    ],
)
def test_batch_and_rate_follow_the_number_of_rows(given, count, batch, rate):
    job = Job("mnr", range(count), None, None, None, Settings.from_flat(given), (384,))
    assert (job.batch_size, job.learning_rate) == (batch, pytest.approx(rate))


@pytest.mark.parametrize(
    ("given", "count", "batch", "rate"),
    [
        ({}, 10, 16, 1e-4),
        ({}, 3199, 32, 1e-4),
        ({}, 3200, 64, 1e-4),
        ({}, 6400, 128, 1e-4),
        ({"epochs": 30}, 1_000_000, 128, 1e-4),
        ({"batch_size": 8, "learning_rate": 1e-3}, 6400, 8, 1e-3),
    ],
)
def test_what_needs_no_judgements_takes_one_pass_in_large_batches(given, count, batch, rate):
    job = Job("adapted", range(count), None, None, None, Settings.from_flat(given), (384,))
    assert (job.batch_size, job.learning_rate, job.steps) == (batch, rate, -(-count // batch))


def test_a_reporter_is_told(table, tmp_path):
    found = prepared(tmp_path, model=table.settings.training.model, report_to="tensorboard", epochs=1)
    job, model = job_and_model(found, "mnr")
    train(model, job, tmp_path / "checkpoints", tmp_path / "logs")
    assert list((tmp_path / "logs").rglob("events.out.tfevents.*"))


def test_a_reporter_that_is_not_installed_is_refused(table, tmp_path):
    with pytest.raises(InputError, match="--report-to names wandb, which is not installed; expected pip install wandb"):
        prepared(tmp_path, model=table.settings.training.model, report_to="wandb")


def test_one_pair_a_query_trains_graded_as_mnr(table, tmp_path):
    grades = (3, 1, 1, 1, 1)
    table_of_one = [{**row, "grade": grades[place % 5]} for place, row in enumerate(rows()) if place % 5 == 0]
    low = [{**row, "grade": 1} for row in rows()[3::5]]
    found = prepared(
        tmp_path,
        table_of_one + low[:1],
        model=table.settings.training.model,
        codes="",
        mixing="1",
        dimension_weights="1,1,1,1",
    )
    trained = [train(*reversed(job_and_model(found, system)), tmp_path / system) for system in ("matryoshka", "graded")]
    assert trained[0].rows == trained[1].rows == len(found.task.pairs)
    assert np.allclose(trained[0].losses[:3], trained[1].losses[:3], rtol=1e-3)


def test_queries_with_low_grades_only_are_counted_and_left_out(table, tmp_path):
    low = [{**row, "grade": 1} if place < 100 else row for place, row in enumerate(rows())]
    found = prepared(tmp_path, low, model=table.settings.training.model, threshold=3.0)
    job, _ = job_and_model(found, "graded")
    train_rows = found.task.in_part("train")
    asked = set(found.records.query[train_rows])
    answered = set(found.records.query[train_rows & (found.records.grade >= 3)])
    assert job.examples.unused == len(asked) - len(answered) > 5
    assert set(job.examples.query) == answered


@pytest.mark.slow
def test_duplicate_documents_are_never_negatives_of_each_other(table, tmp_path):
    same = [
        {**row, "document": row["document"] if place % 5 else "one and the same"} for place, row in enumerate(rows())
    ]
    found = prepared(tmp_path, same, model=table.settings.training.model)
    job, model = job_and_model(found, "graded")
    trained = train(model, job, tmp_path / "checkpoints")
    assert all(np.isfinite(trained.losses))
    number = list(job.texts.documents).index("one and the same")
    assert not any(number in row[1:] for row in job.examples.members)


def test_one_grade_for_all_is_refused_before_anything_is_trained(table, tmp_path):
    alike = [{**row, "grade": 2} for row in rows()]
    with pytest.raises(InputError, match="grade"):
        prepared(tmp_path, alike, model=table.settings.training.model)


def test_settings_of_the_objective_are_checked():
    for name, value in (("codes", "float32"), ("code_share", 1.5), ("mixing", "2"), ("dimension_weights", "0,0")):
        with pytest.raises(InputError, match=f"--{name.replace('_', '-')} is"):
            Settings.from_flat({name: value})
