"""What a store finds for the test queries, beside what the surface measured.

Of folds, the lists that were measured are those of other models than the one that is served. There a store is compared
with an exact search by the model that is served.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from nestvec.data.self_retrieval import find_own_documents
from nestvec.errors import InputError
from nestvec.evaluation.metrics import mean_recall
from nestvec.exporting.parity import code_catalogue
from nestvec.point import FUSED, Point
from nestvec.runs.schema import TEST
from nestvec.settings import CUTOFF
from nestvec.vectors.codecs import prefix
from nestvec.vectors.topk import tie_order, top_k

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from nestvec.progress import Reporter
    from nestvec.runs.point_files import Selection
    from nestvec.stores.store import About, Hit, Store

    Ask = Callable[[list[int]], list[list[Hit]]]  # gives rows of queries what the store finds for them

TOLERANCE = 0.01  # of recall, that a store may lose of what was measured
_RECALL = "recall@10"
_QUERIES = 64  # asked at a time


@dataclass(frozen=True)
class Verified:
    """What a store finds, beside what was measured."""

    point: str  # what was measured, such as `mnr.48.int8`
    queries: int  # of the test split
    found: float  # recall@10 of the store
    measured: float  # the surface's, of these queries
    same: float  # share of the queries whose first ten documents are the very ones that were measured, in order
    by_folds: bool = False  # whether the surface was measured by other models, and `measured` is an exact search's
    fused: Verified | None = None  # the same of both legs, where the index has words and the run measured them

    @property
    def holds(self) -> bool:
        """Whether the store loses at most `TOLERANCE`."""
        return self.found >= self.measured - TOLERANCE


def verify_index(selection: Selection, store: Store, exact: bool, reporter: Reporter) -> Verified:
    """Ask a store the test queries and compare with the surface; InputError where it holds other documents."""
    run, about = selection.run, store.about
    documents = len(run.catalogue)
    if about is None or len(store) != documents:
        problem = f"the index holds {len(store) if about else 0:,} documents"
        raise InputError(problem, f"the {documents:,} that were measured", file=run.folder.path("index"))
    queries, vectors = run.queries, selection.query_vectors
    rows = [row for row, split in enumerate(queries.splits) if split == TEST]
    own = find_own_documents(queries.ids, queries.texts, run.catalogue.ids, run.catalogue.texts)

    def ask_vectors(part: list[int]) -> list[list[Hit]]:
        return store.search(np.asarray(vectors[part]), CUTOFF + 1, (), exact)

    def ask_both(part: list[int]) -> list[list[Hit]]:
        texts = [queries.texts[row] for row in part]
        return store.search_fused(texts, np.asarray(vectors[part]), CUTOFF + 1, (), exact)

    compare = partial(_compare, selection, own=own, reporter=reporter)
    verified = compare(_measured_name(selection, about), rows, ask_vectors)
    fused = Point.of(about.system + FUSED, about.served).name
    # a query's own document was left out before the scores of its words were brought to one scale: an index cannot
    others = [row for row in rows if own[row] < 0]
    if about.hybrid is None or fused not in run.points or not others or run.results.folds:
        return verified
    return replace(verified, fused=compare(fused, others, ask_both))


def _compare(
    selection: Selection, name: str, rows: list[int], ask: Ask, *, own: NDArray[np.int64], reporter: Reporter
) -> Verified:
    """What a store finds for rows of queries, beside the run's list of a point; without each query's own document."""
    run, rankings = selection.run, dict[str, list[str]]()
    ids = run.queries.ids
    with reporter.step("verify", len(rows)) as advance:
        for first in range(0, len(rows), _QUERIES):
            part = rows[first : first + _QUERIES]
            for row, hits in zip(part, ask(part), strict=True):
                rankings[ids[row]] = [hit.id for hit in hits if own[row] < 0 or hit.id != ids[row]][:CUTOFF]
            advance(len(part))
    ranked = _search_exactly(selection, rows, own) if run.results.folds else run.ranking(name)
    expected = {query: ranked.get(query, [])[:CUTOFF] for query in rankings}
    same = float(np.mean([rankings[query] == expected[query] for query in rankings]))
    found, measured = (
        mean_recall(lists, run.answerable, run.results.relevant_from, CUTOFF) for lists in (rankings, expected)
    )
    if not run.results.folds and len(rankings) == run.points[name].queries:
        measured = run.points[name].metrics[_RECALL].value
    return Verified(name, len(rankings), found, measured, same, run.results.folds > 0)


def _search_exactly(selection: Selection, rows: list[int], own: NDArray[np.int64]) -> dict[str, list[str]]:
    """The first documents of every query of the run in `rows`, by all documents' codes; its `own` one is left out."""
    ids, queries = selection.run.catalogue.ids, selection.run.queries.ids
    order = tie_order(ids)
    asked = prefix(np.asarray(selection.query_vectors[rows]), selection.dimension)
    found, _ = top_k(asked, code_catalogue(selection, order), CUTOFF + 1, selection.codec.decode)
    return {
        queries[row]: [ids[place] for place in order[places].tolist() if place != own[row]][:CUTOFF]
        for row, places in zip(rows, found, strict=True)
    }


def _measured_name(selection: Selection, about: About) -> str:
    """The name of what was measured that an index serves: two stages where they were, else its last."""
    if len(about.stages) == 1:
        return selection.point.name
    first = about.stages[0]
    two_stage = f"{about.system}-via-{first.dimension}-{first.precision}.{about.served.name}"
    return two_stage if two_stage in selection.run.points else selection.point.name
