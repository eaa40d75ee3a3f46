"""Makes the response of GET /v1/run for the search page: the run's recommendation and measurements, unrounded."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from nestvec.evaluation.surface import COMPARED
from nestvec.point import FUSED, HYBRID, Point
from nestvec.report.changes import find_changes
from nestvec.report.content import read_content
from nestvec.report.run_page import run_headline

if TYPE_CHECKING:
    from collections.abc import Container, Iterable

    from nestvec.lexical.hybrid_file import Hybrid
    from nestvec.report.changes import Change
    from nestvec.runs.run import Run
    from nestvec.runs.schema import Row


def point_to_json(point: Point) -> dict[str, Any]:
    """Convert a measured point to the fields `system`, `dimension` and `precision` of a search request."""
    named = {"system": point.system, "dimension": point.dimension, "precision": point.precision}
    return named | ({"axes": True} if point.axes else {})


def summarise_run(run: Run, judged: Container[str], hybrid: Hybrid) -> dict[str, Any]:
    """Summarise a run as JSON values: decision, measurements on the test split, and the queries that changed most."""
    content = read_content(run)
    is_fused = hybrid.is_fitted and run.ships and run.chosen.kind == HYBRID
    after, changes = run.points[content.after.vectors.name], content.changes
    if after.name != content.after.name and not is_fused:  # then the page starts with searches by vectors alone
        changes = find_changes(run, content.before, after)
    recommendation, results, grades = run.recommendation, run.results, run.grades
    return {
        "name": run.root.resolve().name,
        "metric": recommendation.metric,
        "decision": recommendation.decision,
        "headline": run_headline(content),
        "reason": recommendation.reason,
        "documents": content.before.documents,
        "queries": content.before.queries,
        "threshold": grades.threshold,
        "grades": {"lowest": grades.lowest, "highest": grades.highest},
        "model": results.model,
        "keyword_search": {"fitted": hybrid.is_fitted, "recommended": is_fused},
        "systems": [
            {
                "name": system,
                "points": [_point_to_json(run, point, hybrid) for point in measured],
            }
            for system, measured in run.systems.items()
        ],
        "examples": {
            "before": point_to_json(content.before),
            "after": point_to_json(after) | ({"mode": "fused"} if is_fused else {}),
            "gained": _examples_to_json(changes.gained, judged),
            "lost": _examples_to_json(changes.lost, judged),
        },
    }


def _point_to_json(run: Run, point: Point, hybrid: Hybrid) -> dict[str, Any]:
    """Convert the metrics of one dimension and precision: of the vectors alone, and fused with keyword search."""
    names = ("dimension", "precision", "axes", "bytes_per_vector")
    vectors = {name: getattr(point, name) for name in names}
    alone = {**vectors, "metrics": _metrics_to_json(run, run.points[point.name])}
    if point.dimension is None:
        return {**alone, "fused": None}
    fused = Point.of(point.system + FUSED, point.format).name
    measured = run.folder.path("hybrid").is_file() and fused in run.points  # earlier versions fused differently
    metrics = _metrics_to_json(run, run.points[fused]) if measured else None
    return {**alone, "fused": {"weight": hybrid.fusion_of(point.format).weight, "metrics": metrics}}


def _metrics_to_json(run: Run, row: Row) -> dict[str, Any]:
    """Convert one measurement's metrics, with their 95 % confidence intervals, to JSON values."""
    names = dict.fromkeys((*COMPARED, run.recommendation.metric))
    return {name: vars(row.metrics[name]) for name in names if name in row.metrics}


def _examples_to_json(changes: Iterable[Change], judged: Container[str]) -> list[dict[str, Any]]:
    """Convert the queries whose recall@10 changed most, with recall@10 before and after, to JSON values."""
    return [
        {"query": change.query, "before": change.recall[0], "after": change.recall[1]}
        for change in changes
        if change.query in judged
    ]
