"""What GET /v1/run tells the search page of a run: nothing is rounded, nothing measured anew."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from nestvec.evaluation.surface import COMPARED
from nestvec.report.changes import find_changes
from nestvec.report.content import read_content

if TYPE_CHECKING:
    from collections.abc import Container, Iterable

    from nestvec.point import Point
    from nestvec.report.changes import Change
    from nestvec.runs.run import Run
    from nestvec.runs.schema import Row


def point_to_json(point: Point) -> dict[str, Any]:
    """A point in the words of a search request."""
    return {"system": point.system, "dimension": point.dimension, "precision": point.precision}


def summarise_run(run: Run, judged: Container[str]) -> dict[str, Any]:
    """JSON values of a run: the decision, the surface on test, and the judged queries that changed most."""
    content = read_content(run)
    after, changes = run.points[content.after.vectors.name], content.changes
    if after.name != content.after.name:  # the page shows what vectors alone find
        changes = find_changes(run, content.before, after)
    recommendation, results, grades = run.recommendation, run.results, run.grades
    return {
        "name": run.root.resolve().name,
        "metric": recommendation.metric,
        "decision": recommendation.decision,
        "reason": recommendation.reason,
        "documents": content.before.documents,
        "queries": content.before.queries,
        "threshold": grades.threshold,
        "grades": {"lowest": grades.lowest, "highest": grades.highest},
        "model": results.model,
        "systems": [
            {
                "name": system,
                "points": [_row_to_json(run.points[point.name], recommendation.metric) for point in measured],
            }
            for system, measured in run.systems.items()
        ],
        "examples": {
            "before": point_to_json(content.before),
            "after": point_to_json(after),
            "gained": _examples_to_json(changes.gained, judged),
            "lost": _examples_to_json(changes.lost, judged),
        },
    }


def _row_to_json(row: Row, metric: str) -> dict[str, Any]:
    """A point with its metrics and their 95 % intervals."""
    metrics = {name: vars(row.metrics[name]) for name in dict.fromkeys((*COMPARED, metric)) if name in row.metrics}
    vectors = {"dimension": row.dimension, "precision": row.precision, "bytes_per_vector": row.bytes_per_vector}
    return {**vectors, "metrics": metrics}


def _examples_to_json(changes: Iterable[Change], judged: Container[str]) -> list[dict[str, Any]]:
    """Queries with their recall@10 before and after."""
    return [
        {"query": change.query, "before": change.recall[0], "after": change.recall[1]}
        for change in changes
        if change.query in judged
    ]
