"""Writes the alternative texts of a run's figures: in numbers what a figure shows, for people who cannot see it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nestvec.report.formatting import count, describe_point, number
from nestvec.report.grade_histogram import describe_grades
from nestvec.report.heatmap import describe_heat_map, figure_names
from nestvec.report.training_figures import relative_losses
from nestvec.report.words import metric_label

if TYPE_CHECKING:
    from nestvec.report.content import Content

MOST = 12  # validations of a training that are all listed; of more, only the first, the best and the last


def describe_figures(content: Content) -> dict[str, str]:
    """Describe every figure of a run's page in words; returns the alternative texts by the figures' names."""
    full = content.before.precision
    recall, mrr = _describe_lines(content, "recall@10"), _describe_lines(content, "mrr@10")
    maps = {figure: describe_heat_map(system, content) for system, figure in figure_names(content).items()}
    losses = _describe_losses(content)
    return {
        "recall_by_dimension": f"Line chart of recall@10 by dimension in {full}. {recall}",
        "mrr_by_dimension": f"Line chart of MRR@10 by dimension in {full}. {mrr}",
        "recall_by_bytes": f"Chart of recall@10 by bytes per vector. {_describe_sizes(content)}",
        "grades": describe_grades(content.run.grades),
        **maps,
        "learning_loss": f"Line chart of the training loss by step, 1 where a system begins. {losses}",
        "learning_recall": _describe_validations(content, "recall@10"),
        "learning_ndcg": _describe_validations(content, "ndcg@10"),
    }


def _describe_lines(content: Content, metric: str) -> str:
    """Describe a chart of a metric by dimension: one sentence for each system's line."""
    sentences = []
    for system in content.systems:
        values = [f"{number(row.metrics[metric].value)} at {row.dimension}" for row in content.line(system)]
        sentences += [f"{system}: {', '.join(values)}."] if values else []
    if content.lexical is not None:
        sentences.append(f"{content.lexical.system}: {number(content.lexical.metrics[metric].value)} at any dimension.")
    return " ".join(sentences)


def _describe_sizes(content: Content) -> str:
    """Describe the chart of recall@10 by bytes per vector: one sentence per system and precision."""
    sentences = []
    for system in content.systems:
        for precision in content.precisions:
            for axes, how in ((False, ""), (True, " on principal axes")):
                rows = content.line(system, precision, axes)
                values = [f"{number(row.metrics['recall@10'].value)} at {count(row.bytes_per_vector)}" for row in rows]
                sentences += [f"{system} in {precision}{how}: {', '.join(values)} bytes."] if values else []
    if content.lexical is not None:
        sentences.append(f"{content.lexical.system}: {number(content.lexical.metrics['recall@10'].value)}, no vectors.")
    best = [f"{describe_point(row)} at {count(row.bytes_per_vector)}" for row in content.run.frontier("recall@10")]
    sentences.append(f"The frontier, by bytes: {', '.join(best)}.")
    if content.run.ships:
        sentences.append(f"Recommended: {describe_point(content.after)}.")
    return " ".join(sentences)


def _describe_losses(content: Content) -> str:
    """Describe the chart of training losses: one sentence per system with the smoothed loss at the last step."""
    sentences = []
    for training in content.run.trainings:
        if training.losses:
            _, mean = relative_losses(training.losses)
            sentences.append(f"{training.system}: {number(mean[-1], 2)} at step {count(len(training.losses))}.")
    return " ".join(sentences)


def _describe_validations(content: Content, metric: str) -> str:
    """Describe a chart of validation by step: one sentence per line, with the first, the kept and the last step."""
    sentences = [f"Line chart of {metric_label(metric)} on validation by step, in a small catalogue."]
    for training in content.validated:
        steps = [validation.step for validation in training.curve]
        named = {steps[0], training.best_step, steps[-1]} if len(steps) > MOST else set(steps)
        for end in training.ends:
            line = [(step, value) for step, value in training.line(end, metric) if step in named]
            values = ", ".join(f"{number(value)} at step {count(step)}" for step, value in line)
            sentences.append(f"{training.system} at {end.dimension} dimensions: {values}.")
        sentences.append(f"{training.system} kept step {count(training.best_step)}.")
    return " ".join(sentences)
