"""What a store finds for the test queries, beside what the surface measured."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from nestvec.errors import InputError
from nestvec.evaluation.metrics import mean_recall
from nestvec.settings import CUTOFF

if TYPE_CHECKING:
    from pathlib import Path

    from nestvec.progress import Reporter
    from nestvec.runs.delivered import Delivered
    from nestvec.stores.store import About, Store

TOLERANCE = 0.01  # of recall, that a store may lose of what was measured
_RECALL = "recall@10"
_QUERIES = 64  # asked at a time


@dataclass(frozen=True)
class Verified:
    """What a store finds, beside what was measured.

    Attributes:
        point: what was measured, such as `mnr.48.int8`.
        queries: of the test split.
        found: recall@10 of the store.
        measured: the surface's.
        same: share of the queries whose first ten documents are the very ones that were measured, in order.
    """

    point: str
    queries: int
    found: float
    measured: float
    same: float

    @property
    def holds(self) -> bool:
        """Whether the store loses at most `TOLERANCE`."""
        return self.found >= self.measured - TOLERANCE


def verify(delivered: Delivered, store: Store, exact: bool, reporter: Reporter) -> Verified:
    """Ask a store the test queries, and compare with the surface.

    Args:
        delivered: the point that the store serves.
        store: with the documents that were measured.
        exact: don't use an approximate index where the store has one.
        reporter: is told of progress.

    Returns:
        The recall of both.

    Raises:
        InputError: the store holds nothing, or other documents than were measured.
    """
    folder, about = delivered.folder, store.about
    documents = len(delivered.catalogue()[0])
    if about is None or len(store) != documents:
        problem = f"the index holds {len(store) if about else 0:,} documents"
        raise InputError(problem, f"the {documents:,} that were measured", file=folder.path("index"))
    name = _measured_name(delivered, about)
    ids, _, splits = delivered.queries()
    rows, vectors = [row for row, split in enumerate(splits) if split == "test"], delivered.query_vectors()
    found: dict[str, list[str]] = {}
    with reporter.step("verify", len(rows)) as advance:
        for first in range(0, len(rows), _QUERIES):
            part = rows[first : first + _QUERIES]
            hits = store.search(np.asarray(vectors[part]), CUTOFF, (), exact)
            found |= {ids[row]: [hit.id for hit in each] for row, each in zip(part, hits, strict=True)}
            advance(len(part))
    runs = _ranked(folder.run(name))
    same = float(np.mean([ranked == runs.get(query, [])[:CUTOFF] for query, ranked in found.items()]))
    surface = cast("dict[str, Any]", delivered.finished.points[name].metrics[_RECALL])
    relevant_from = delivered.finished.results.relevant_from
    return Verified(
        name, len(found), mean_recall(found, delivered.judged, relevant_from, CUTOFF), float(surface["value"]), same
    )


def _measured_name(delivered: Delivered, about: About) -> str:
    """The name of what was measured that an index serves: two stages where they were, else its last."""
    if len(about.stages) == 1:
        return delivered.point.name
    first = about.stages[0]
    named = f"{about.system}-via-{first.dimension}-{first.precision}.{about.served.name}"
    return named if named in delivered.finished.points else delivered.point.name


def _ranked(path: Path) -> dict[str, list[str]]:
    """Query id to document ids, as a TREC run file ranks them."""
    found: dict[str, list[str]] = defaultdict(list)
    try:
        for line in path.read_text(encoding="utf-8").splitlines():
            query, _, document, *_ = line.split()
            found[query].append(document)
    except (OSError, ValueError) as error:
        raise InputError(f"cannot be read ({error})", "a run file of a finished run", file=path) from error
    return dict(found)
