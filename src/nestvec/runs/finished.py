"""A finished run's figures, read back: its points, what it recommends, and every test query's values.

Whatever is missing or damaged is named with its file.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from nestvec.runs.config import read_config
from nestvec.errors import InputError
from nestvec.point import PLAIN, Point, full_width
from nestvec.runs.run import load_run
from nestvec.runs.tables import EXPECTED, read_fields, read_table
from nestvec.runs.conform import load_json
from nestvec.settings import EvaluationSettings, Settings

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from nestvec.runs.folder import RunFolder

TEST = "test"


@dataclass(frozen=True, kw_only=True)
class Measured(Point):
    """A row of the surface; of the metrics only the names count here."""

    split: str
    documents: int
    metrics: dict[str, object]


@dataclass(frozen=True)
class Results:
    """`results.json`."""

    relevant_from: int
    surface: tuple[Measured, ...]
    protocol: str = ""  # runs of before it was written down have none


@dataclass(frozen=True)
class Recommendation:
    """`recommendation.json`."""

    reference: Point
    point: Point | None = None


@dataclass(frozen=True)
class Finished:
    """A finished run as its folder tells of it.

    Attributes:
        folder: where it is.
        results: its surface.
        recommendation: what it recommends.
    """

    folder: RunFolder
    results: Results
    recommendation: Recommendation

    @property
    def chosen(self) -> Point:
        """What it recommends, or else its best at full width."""
        return self.recommendation.point or self.recommendation.reference

    @property
    def ships(self) -> bool:
        """Whether it recommends anything."""
        return self.recommendation.point is not None

    @cached_property
    def points(self) -> dict[str, Measured]:
        """The test split's points by name, as they were measured."""
        return {row.name: row for row in self.results.surface if row.split == TEST}

    @cached_property
    def full(self) -> dict[str, Point]:
        """Every system at its widest and most precise, BM25 first; of vectors as they are, not made of others."""
        return {point.system: point for point in full_width(p for p in self.points.values() if p.kind == PLAIN)}

    @property
    def metrics(self) -> tuple[str, ...]:
        """Names of the metrics that every point has."""
        first, *others = self.points.values()
        return tuple(name for name in first.metrics if all(name in row.metrics for row in others))

    @property
    def documents(self) -> int:
        """How many documents are searched."""
        return next(iter(self.points.values())).documents

    @cached_property
    def draws(self) -> tuple[int, int]:
        """The seed and the number of resamples that it was made with."""
        given = read_config(self.folder.path("config"))
        values = [given.get("seed", Settings.seed), given.get("resamples", EvaluationSettings.resamples)]
        if not all(type(value) is int and value >= 0 for value in values):
            raise InputError("is damaged: seed or resamples", "whole numbers", file=self.folder.path("config"))
        return values[0], values[1]

    @cached_property
    def catalogue(self) -> tuple[list[str], list[str]]:
        """Ids and texts of the documents, in the order of their vectors."""
        table = read_table(self.folder.path("catalogue"), ["document_id", "document"])
        return table["document_id"].to_pylist(), table["document"].to_pylist()

    @cached_property
    def queries(self) -> tuple[list[str], list[str], list[str]]:
        """Ids, texts and splits, `validation` or `test`, of the queries that were measured, as their vectors lie."""
        table = read_table(self.folder.path("queries"), ["query_id", "query", "split"])
        return table["query_id"].to_pylist(), table["query"].to_pylist(), table["split"].to_pylist()

    def judgements(self) -> dict[tuple[str, str], str]:
        """Query and document of the test split to the gain, as written."""
        lines = read_fields(self.folder.path("qrels"), 4)
        return {(query, document): gain for query, _, document, gain in lines}

    def values(self, metric: str, names: set[str]) -> dict[str, dict[str, float]]:
        """Point's name to test query's id to the metric's value.

        Args:
            metric: one of `metrics`.
            names: of points that it measured.

        Returns:
            An entry for every name, with the same queries in each.
        """
        columns = ["system", "dimension", "precision", "query_id", "value"]
        path = self.folder.path("per_query")
        found: dict[str, dict[str, float]] = {name: {} for name in names}
        rows = read_table(path, columns, [("split", "==", TEST), ("metric", "==", metric)])
        for system, dimension, precision, query, value in zip(
            *(rows[column].to_pylist() for column in columns), strict=True
        ):
            name = Point(system, dimension, precision, None).name
            if name in found:
                found[name][query] = value
        asked = set().union(*found.values())
        for name, known in found.items():
            if not known or set(known) != asked:
                raise InputError(f"is damaged: {name} has not {metric} of every test query", EXPECTED, file=path)
        return found

    def texts(self, ids: list[str]) -> NDArray[np.str_]:
        """(q,) texts of the queries with these ids."""
        path = self.folder.path("records")
        table = read_table(path, ["query_id", "query"])
        queries = table["query"].to_pylist()
        if self.results.protocol == "published":  # asks every record on its own: r17 is the one in row 17
            known = {f"r{row}": query for row, query in enumerate(queries)}
        else:
            known = dict(zip(table["query_id"].to_pylist(), queries, strict=True))
        missing = [name for name in ids if name not in known]
        if missing:
            raise InputError(f"is damaged: there is no query {missing[0]}", EXPECTED, file=path)
        return np.array([known[name] for name in ids])


def read_finished(path: Path) -> Finished:
    """Open the folder of a finished run.

    Args:
        path: the folder.

    Returns:
        What it tells.

    Raises:
        InputError: it is not one, or a file in it is damaged.
    """
    folder = load_run(path).folder
    results = load_json(folder.path("results"), Results)
    found = Finished(folder, results, load_json(folder.path("recommendation"), Recommendation))
    if not found.points or not found.metrics:
        raise InputError("is damaged: nothing was measured on test", EXPECTED, file=folder.path("results"))
    if found.chosen.name not in found.points:
        problem = f"is damaged: {found.chosen.name} was not measured"
        raise InputError(problem, "a point of results.json", file=folder.path("recommendation"))
    return found
