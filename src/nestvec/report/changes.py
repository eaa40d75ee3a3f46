"""The queries that gained and the ones that lost most between two points of the surface, with what was ranked first."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from nestvec.runs.tables import read_fields, read_table

if TYPE_CHECKING:
    from pathlib import Path

    from nestvec.runs.folder import RunFolder

Key = tuple[str, int | None, str | None]  # system, dimension, precision

SHOWN = 10  # queries in each list
RANKS = 5  # documents per query that are shown in any case
CUT = 10  # what recall@10 counts: relevant documents up to here are shown too
SAME = 1e-9  # differences below this are float noise, not a change


@dataclass(frozen=True)
class Ranked:
    """One document of a ranking."""

    rank: int
    text: str
    grade: float | None  # None where nobody judged it for the query
    relevant: bool
    elsewhere: int | None  # its rank in the other ranking, None where that does not have it


@dataclass(frozen=True)
class Change:
    """One query before and after."""

    query: str
    relevant: int  # relevant documents in the catalogue
    recall: tuple[float, float]
    ndcg: tuple[float, float]
    top: tuple[tuple[Ranked, ...], tuple[Ranked, ...]]
    depths: tuple[int, int]  # how many documents each ranking has


@dataclass(frozen=True)
class Changes:
    """The most changed test queries, and how many changed at all (by recall@10)."""

    gained: tuple[Change, ...]
    lost: tuple[Change, ...]
    better: int
    worse: int
    same: int


@dataclass(frozen=True)
class _Sources:
    """What is read once for all queries shown."""

    folder: RunFolder
    points: tuple[Key, Key]
    gains: dict[str, dict[str, int]]  # query id → document id → gain
    lowest: float
    relevant_from: int


def read_changes(folder: RunFolder, before: Key, after: Key, scale: tuple[float, int]) -> Changes:
    """Compare two points query by query on the test split.

    Args:
        folder: a finished run.
        before: the point that a gain is measured from.
        after: the point that gains or loses.
        scale: the lowest grade, and the gain from which a document is relevant.

    Returns:
        The queries that changed most, with what both points ranked first for them.

    Raises:
        InputError: a file of the run is missing.
    """
    recall, ndcg = _values(folder, "recall@10", (before, after)), _values(folder, "ndcg@10", (before, after))
    differences = {
        query: (_difference(recall[query]), _difference(ndcg[query])) for query in sorted(recall) if query in ndcg
    }
    # most changed by recall@10, then by nDCG@10; equal ones stay in the order of their ids
    rising = [query for query, value in differences.items() if value > (0.0, 0.0)]
    falling = [query for query, value in differences.items() if value < (0.0, 0.0)]
    gained = sorted(rising, key=lambda query: _down(differences[query]))[:SHOWN]
    lost = sorted(falling, key=differences.__getitem__)[:SHOWN]
    gains = _gains(folder)
    sources = _Sources(folder, (before, after), gains, *scale)
    shown = _shown(sources, {query: (recall[query], ndcg[query]) for query in (*gained, *lost)})
    better = sum(value[0] > 0 for value in differences.values())
    worse = sum(value[0] < 0 for value in differences.values())
    return Changes(
        gained=tuple(shown[query] for query in gained),
        lost=tuple(shown[query] for query in lost),
        better=better,
        worse=worse,
        same=len(differences) - better - worse,
    )


def _difference(values: tuple[float, float]) -> float:
    """After minus before, with float noise taken out."""
    gap = values[1] - values[0]
    return 0.0 if abs(gap) < SAME else gap


def _down(difference: tuple[float, float]) -> tuple[float, float]:
    """A sort key that puts the largest gain first and leaves ties in query order."""
    return -difference[0], -difference[1]


def _values(folder: RunFolder, metric: str, points: tuple[Key, Key]) -> dict[str, tuple[float, float]]:
    """Query id to the metric's value at both points, test split, for queries that have both."""
    first, second = (_at(folder.path("per_query"), metric, point) for point in points)
    return {query: (first[query], second[query]) for query in first if query in second}


def _at(path: Path, metric: str, point: Key) -> dict[str, float]:
    """Query id to the metric's value at one point, test split."""
    wanted: list[tuple[str, str, object]] = [("split", "==", "test"), ("metric", "==", metric)]
    named = zip(("system", "dimension", "precision"), point, strict=True)
    wanted += [(column, "==", value) for column, value in named if value is not None]
    found = read_table(path, ("split", "system", "dimension", "precision", "query_id", "metric", "value"), wanted)
    return dict(zip(found["query_id"].to_pylist(), found["value"].to_pylist(), strict=True))


def _gains(folder: RunFolder) -> dict[str, dict[str, int]]:
    """The test split's judgements: query id → document id → gain in thousandths of a grade."""
    gains: dict[str, dict[str, int]] = {}
    for query, _, document, gain in read_fields(folder.path("qrels"), 4):
        gains.setdefault(query, {})[document] = int(gain)
    return gains


def _shown(sources: _Sources, values: dict[str, tuple[tuple[float, float], tuple[float, float]]]) -> dict[str, Change]:
    """Query id to all that is shown of it."""
    first, second = (_rankings(sources.folder, point, set(values)) for point in sources.points)
    pairs = {query: (first.get(query, []), second.get(query, [])) for query in values}
    wanted = {document for pair in pairs.values() for ranking in pair for document in ranking[:CUT]}
    queries = _texts(sources.folder, "query", set(values))
    documents = _texts(sources.folder, "document", wanted)
    shown = {}
    for query, (before, after) in pairs.items():
        gains = sources.gains.get(query, {})
        shown[query] = Change(
            query=queries.get(query, query),
            relevant=sum(gain >= sources.relevant_from for gain in gains.values()),
            recall=values[query][0],
            ndcg=values[query][1],
            top=(
                _ranked(sources, query, (before, after), documents),
                _ranked(sources, query, (after, before), documents),
            ),
            depths=(len(before), len(after)),
        )
    return shown


def _ranked(
    sources: _Sources, query: str, pair: tuple[list[str], list[str]], texts: dict[str, str]
) -> tuple[Ranked, ...]:
    """The documents shown of the first of a pair of rankings: the first few, and what recall@10 counts."""
    gains = sources.gains.get(query, {})
    elsewhere = {document: rank for rank, document in enumerate(pair[1], start=1)}
    entries = [
        Ranked(
            rank=rank,
            text=texts.get(document, document),
            grade=sources.lowest + gains[document] / 1000 if document in gains else None,
            relevant=gains.get(document, -1) >= sources.relevant_from,
            elsewhere=elsewhere.get(document),
        )
        for rank, document in enumerate(pair[0][:CUT], start=1)
    ]
    return tuple(entry for entry in entries if entry.rank <= RANKS or entry.relevant)


def _rankings(folder: RunFolder, point: Key, queries: set[str]) -> dict[str, list[str]]:
    """Query id to the document ids that a point ranked, best first, from the run file."""
    name = point[0] if point[1] is None else f"{point[0]}.{point[1]}.{point[2]}"
    ranks: dict[str, list[tuple[int, str]]] = {}
    for query, _, document, rank, *_ in read_fields(folder.run(name), 6):
        if query in queries:
            ranks.setdefault(query, []).append((int(rank), document))
    return {query: [document for _, document in sorted(found)] for query, found in ranks.items()}


def _texts(folder: RunFolder, kind: str, wanted: set[str]) -> dict[str, str]:
    """Id to text of the queries or documents wanted."""
    if not wanted:  # of which pyarrow does not know the type
        return {}
    found = read_table(folder.path("records"), (f"{kind}_id", kind), [(f"{kind}_id", "in", sorted(wanted))])
    return dict(zip(found[f"{kind}_id"].to_pylist(), found[kind].to_pylist(), strict=True))
