"""Finds the queries that gained and lost most between two systems or vector formats, with their first results."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from nestvec.data.grades import GAIN

if TYPE_CHECKING:
    from collections.abc import Collection

    from nestvec.point import Point
    from nestvec.runs.run import Run

SHOWN = 10  # queries in each list
RANKS = 5  # documents per query that are always shown
CUT = 10  # relevant documents up to this rank are shown too, as recall@10 counts them
SAME = 1e-9  # smaller differences are rounding errors, not a change


@dataclass(frozen=True)
class Ranked:
    """One document in a query's ranking, with its grade and its rank in the ranking to compare with."""

    rank: int
    text: str
    grade: float | None  # None where nobody judged the document for the query
    relevant: bool
    elsewhere: int | None  # rank in the other ranking; None if the document is not in that ranking


@dataclass(frozen=True)
class Change:
    """One query with its recall@10, nDCG@10 and first results, for the systems `before` and `after`."""

    query: str
    relevant: int  # relevant documents in the catalogue
    recall: tuple[float, float]
    ndcg: tuple[float, float]
    top: tuple[tuple[Ranked, ...], tuple[Ranked, ...]]
    depths: tuple[int, int]  # how many documents each ranking has


@dataclass(frozen=True)
class Changes:
    """The test queries that gained and lost most, and how many queries got better, got worse or stayed the same."""

    gained: tuple[Change, ...]
    lost: tuple[Change, ...]
    better: int
    worse: int
    same: int


def find_changes(run: Run, before: Point, after: Point) -> Changes:
    """Compare two measured systems query by query on test; raises InputError if a file is missing or damaged."""
    recall, ndcg = (_pair_values(run, metric, before, after) for metric in ("recall@10", "ndcg@10"))
    differences = {
        query: (_difference(recall[query]), _difference(ndcg[query])) for query in sorted(recall) if query in ndcg
    }
    # most changed by recall@10, then by nDCG@10; equal ones stay in the order of their ids
    rising = [query for query, value in differences.items() if value > (0.0, 0.0)]
    falling = [query for query, value in differences.items() if value < (0.0, 0.0)]
    gained = sorted(rising, key=lambda query: [-gap for gap in differences[query]])[:SHOWN]
    lost = sorted(falling, key=differences.__getitem__)[:SHOWN]
    shown = _describe(run, (before, after), {query: (recall[query], ndcg[query]) for query in (*gained, *lost)})
    better = sum(value[0] > 0 for value in differences.values())
    worse = sum(value[0] < 0 for value in differences.values())
    most_gained, most_lost = (tuple(shown[query] for query in queries) for queries in (gained, lost))
    return Changes(most_gained, most_lost, better, worse, same=len(differences) - better - worse)


def _difference(values: tuple[float, float]) -> float:
    """Compute how much a query's metric changed, after minus before; changes smaller than `SAME` count as 0."""
    gap = values[1] - values[0]
    return 0.0 if abs(gap) < SAME else gap


def _pair_values(run: Run, metric: str, before: Point, after: Point) -> dict[str, tuple[float, float]]:
    """Read a metric of two measured systems on the test split: query id to the values before and after."""
    values = run.per_query(metric, [before.name, after.name])
    return {query: (value, values[after.name][query]) for query, value in values[before.name].items()}


def _describe(
    run: Run, points: tuple[Point, Point], values: dict[str, tuple[tuple[float, float], tuple[float, float]]]
) -> dict[str, Change]:
    """Gather what the page shows of each changed query: metrics and first results, by query id."""
    before, after = (run.ranking(point.name, set(values)) for point in points)
    pairs = {query: (before.get(query, []), after.get(query, [])) for query in values}
    documents = run.document_texts(
        {document for pair in pairs.values() for ranked in pair for document in ranked[:CUT]}
    )
    queries, least = run.query_texts(list(values)), run.results.relevant_from
    grades = _read_grades(run, values)
    changes = {}
    for query, (first, second) in pairs.items():
        gains = run.judgements.get(query, {})
        judged = {document: (grades[query, document], gain >= least) for document, gain in gains.items()}
        changes[query] = Change(
            query=queries[query],
            relevant=sum(relevant for _, relevant in judged.values()),
            recall=values[query][0],
            ndcg=values[query][1],
            top=(_top(judged, (first, second), documents), _top(judged, (second, first), documents)),
            depths=(len(first), len(second)),
        )
    return changes


def _read_grades(run: Run, queries: Collection[str]) -> dict[tuple[str, str], float]:
    """Read the grade of every judged query-document pair of these queries.

    A grade is computed from its gain, except for grades below `gain_zero`: all of these have the gain 0, so they are
    read from the records.
    """
    zero = run.grades.gain_zero
    judged = ((query, document, gain) for query in queries for document, gain in run.judgements.get(query, {}).items())
    grades = {(query, document): zero + gain / GAIN for query, document, gain in judged}
    if run.grades.lowest < zero:
        wanted = [("query_id", "in", list(queries)), ("grade", "<", zero)]
        for row in run.read_records(["query_id", "document_id", "grade"], wanted).to_pylist():
            grades[row["query_id"], row["document_id"]] = row["grade"]
    return grades


def _top(
    judged: dict[str, tuple[float, bool]], pair: tuple[list[str], list[str]], texts: dict[str, str]
) -> tuple[Ranked, ...]:
    """Pick the documents of a ranking to show: the first five, and those of the first ten that are relevant.

    Args:
        judged: each judged document's grade, and whether it is relevant, by document id.
        pair: the ranking to show, and the ranking to compare with, in which each document's rank is looked up.
        texts: document id to text.

    Returns:
        The documents, best first.
    """
    ranks_elsewhere = {document: rank for rank, document in enumerate(pair[1], start=1)}
    ranked = [
        Ranked(
            rank=rank,
            text=texts.get(document, document),
            grade=judged.get(document, (None, False))[0],
            relevant=judged.get(document, (None, False))[1],
            elsewhere=ranks_elsewhere.get(document),
        )
        for rank, document in enumerate(pair[0][:CUT], start=1)
    ]
    return tuple(document for document in ranked if document.rank <= RANKS or document.relevant)
