"""Describe in words what a run would do (`--dry-run`): a heading and a sentence or two for each stage."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from nestvec.pipeline.shares import count_held_out
from nestvec.report.formatting import count, percent, plain, pluralise

if TYPE_CHECKING:
    from nestvec.pipeline.dry_run import Plan


def describe_plan(plan: Plan) -> list[tuple[str, str]]:
    """Describe a plan as pairs of heading and text; the heading is empty if a text continues the text before."""
    lines = [("read", _say_read(plan)), ("grades", _say_grades(plan)), ("split", _say_split(plan))]
    lines += [("", text) for text in _say_held_out(plan)]
    if plan.lacking:
        return [*lines, ("write", _say_folder(plan)), ("not known", f"training, points and time: {plan.lacking}")]
    trained = [("train", text) for text in _say_trainings(plan)] or [("train", "nothing")]
    rest = [("encode", _say_encodings(plan)), ("measure", _say_points(plan)), ("write", _say_folder(plan))]
    return [*lines, *trained, *rest, ("time", _say_time(plan))]


def _say_read(plan: Plan) -> str:
    records = plan.records
    sizes = f"{len(records):,} records, {len(records.queries):,} queries, {len(records.documents):,} documents"
    rejected = f"; {pluralise(len(records.rejected), 'bad row')} set aside" if records.rejected else ""
    return f"{plan.settings.data.name}: {sizes}{rejected}"


def _say_grades(plan: Plan) -> str:
    grades = plan.grades
    span = f"{plain(grades.levels[0])} to {plain(grades.levels[-1])}"
    relevant = f"relevant from {plain(grades.threshold)} on ({grades.origin})"
    return f"{span}; {relevant}, {percent(grades.relevant_share, 0)} of the records".replace("\N{NO-BREAK SPACE}", " ")


def _say_split(plan: Plan) -> str:
    task, records = plan.task, plan.records
    if task.folds:
        return f"{plan.protocol}, in {len(task.folds)} folds: each of {count(len(task.ids))} queries is held out once"
    training = count(len(np.unique(records.query[task.in_part("train")])))
    parts = [f"{training} queries with {count(len(task.pairs))} relevant pairs to train on"]
    parts += [
        f"{count(number)} for {name}" for name in ("validation", "test") if (number := int((task.splits == name).sum()))
    ]
    return f"{plan.protocol}: {', '.join(parts)}"


def _say_held_out(plan: Plan) -> list[str]:
    """Say how small a difference the held-out queries can prove, and what would help."""
    systems = max(1, len(plan.encodings) or 1 + len(plan.settings.training.trained))
    return count_held_out(plan.records, plan.grades, plan.task, plan.settings, systems).lines


def _say_trainings(plan: Plan) -> list[str]:
    texts = []
    for part in plan.trainings:
        times = "" if part.trainings == 1 else f", {part.trainings} times"
        epochs = pluralise(part.epochs, "epoch")
        texts.append(
            f"{part.system}: {count(part.rows)} rows in batches of {part.batch}, {epochs}: "
            f"{pluralise(part.steps, 'step')}{times}"
        )
    return texts


def _say_encodings(plan: Plan) -> str:
    texts = sorted({part.texts for part in plan.encodings})
    systems = ", ".join(part.system for part in plan.encodings)
    return f"{' or '.join(map(count, texts))} texts with each of {systems}"


def _say_points(plan: Plan) -> str:
    widths = ", ".join(map(str, plan.dimensions))
    return (
        f"{count(plan.points)} points ({widths} dimensions; {', '.join(plan.settings.evaluation.precisions)}): "
        f"{count(len(plan.task.ids))} queries against {count(len(plan.task.catalogue))} documents at each"
    )


def _say_folder(plan: Plan) -> str:
    if plan.root is None:
        return "no folder is given (--out)"
    if not plan.done:
        return f"{plan.root}: no stage is finished yet"
    return f"{plan.root}: continues after the finished stages {', '.join(plan.done)}"


def _say_time(plan: Plan) -> str:
    training, encoding, ranking = plan.seconds
    parts = [("training", training), ("encoding", encoding), ("ranking", ranking)]
    spent = ", ".join(f"{name} {_say_about(seconds)}" for name, seconds in parts if seconds)
    return (
        f"about {_say_about(training + encoding + ranking)} ({spent or 'all of this is done'}), plus some time for "
        "fitting keyword search, statistics and figures. Estimated from two-second trials on this machine, under its "
        "present load."
    )


def _say_about(seconds: float) -> str:
    """Format a duration roughly: `10 s`, `7 min`, `2.5 h`."""
    if seconds < 95:
        return f"{max(10, round(seconds, -1)):.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
