"""What a store finds for the test queries, beside what the surface measured; and whether the model is still the same.

Of folds, the lists that were measured are those of other models than the one that is served. There a store is compared
with an exact search by the model that is served.

What is allowed: an exact search finds the measured documents in their order, but for scores within `NEAR` of each
other. An approximate one, or one by a shortlist that was not measured, may miss documents, at the cost of a hundredth
of recall; what it finds has the measured score, unless that was fused, which depends on what else is found.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from nestvec.data.self_retrieval import find_own_documents
from nestvec.errors import ChangedError, InputError
from nestvec.evaluation.metrics import mean_recall
from nestvec.exporting.parity import LEAST, code_catalogue, encode_sample
from nestvec.point import FUSED, Point, name_first_stage
from nestvec.runs.schema import TEST
from nestvec.settings import CUTOFF
from nestvec.vectors.codecs import Float32
from nestvec.vectors.topk import tie_order, top_k

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from nestvec.models.base_encoder import Encoder
    from nestvec.progress import Reporter
    from nestvec.runs.point_files import Selection
    from nestvec.stores.store import About, Hit, Store

    Ask = Callable[[list[int]], list[list[Hit]]]  # gives rows of queries what the store finds for them

TOLERANCE = 0.01  # of recall, that a store may lose of what was measured
NEAR = 0.0001  # of a score: less is rounding, as where a document was encoded again beside others
_TEXTS = 200  # encoded again, half of them queries
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
    wrong: int = 0  # queries whose answers are not what was measured, beyond what is allowed
    example: str = ""  # the first of them, in words
    by_folds: bool = False  # whether the surface was measured by other models, and `measured` is an exact search's
    fused: Verified | None = None  # the same of both legs, where the index has words and the run measured them

    @property
    def holds(self) -> bool:
        """Whether the store loses at most `TOLERANCE`, and answers no query wrongly."""
        return self.found >= self.measured - TOLERANCE and not self.wrong


def refuse_other_vectors(selection: Selection, encoder: Encoder, reporter: Reporter) -> None:
    """Raise ChangedError where a system's model gives other vectors than the run's file holds, on some texts."""
    tried = encode_sample(selection, encoder.encode, _TEXTS // 2, _TEXTS, reporter)
    cosines, least = tried.cosines(Float32(encoder.dimension)), LEAST["float32"]
    if not (wrong := ~(cosines >= least)).any():  # NaN is wrong, too
        return
    worst, run = int(np.argmin(np.where(np.isnan(cosines), -2, cosines))), selection.run
    texts = [run.queries.texts[row] for row in tried.queries] + [run.catalogue.texts[row] for row in tried.documents]
    problem = (
        f"gives other vectors than {run.folder.embeddings(selection.files.system)} holds: {wrong.sum()} of "
        f"{len(texts)} texts have a cosine below {least:g}, the least is {cosines[worst]:.4f} for {texts[worst][:60]!r}"
    )
    raise ChangedError(problem, "the model and the vectors that were measured", file=selection.model.path)


def verify_index(selection: Selection, store: Store, is_exact: bool, reporter: Reporter) -> Verified:
    """Ask a store the test queries and compare with the surface; `is_exact` says that the store searches exactly.

    ChangedError is raised where it holds other documents.
    """
    run, about = selection.run, store.about
    documents = len(run.catalogue)
    if about is None or len(store) != documents:
        problem = f"the index holds {len(store) if about else 0:,} documents"
        raise ChangedError(problem, f"the {documents:,} that were measured", file=run.folder.path("index"))
    queries, vectors = run.queries, selection.query_vectors
    rows = [row for row, split in enumerate(queries.splits) if split == TEST]
    own = find_own_documents(queries.ids, queries.texts, run.catalogue.ids, run.catalogue.texts)

    def ask_vectors(part: list[int]) -> list[list[Hit]]:
        return store.search(np.asarray(vectors[part]), CUTOFF + 1, (), is_exact)

    def ask_both(part: list[int]) -> list[list[Hit]]:
        texts = [queries.texts[row] for row in part]
        return store.search_fused(texts, np.asarray(vectors[part]), CUTOFF + 1, (), is_exact)

    compare = partial(_compare, selection, about, own, reporter)
    name, is_single = _measured_name(selection, about), len(about.stages) == 1
    verified = compare(_Questions(name, rows, ask_vectors, is_exact and (is_single or name != selection.point.name)))
    fused = Point.of(about.system + FUSED, about.served).name
    # a query's own document was left out before the scores of its words were brought to one scale: an index cannot
    others = [row for row in rows if own[row] < 0]
    if about.hybrid is None or fused not in run.points or not others or run.results.folds:
        return verified
    return replace(verified, fused=compare(_Questions(fused, others, ask_both, is_exact and is_single, True)))


@dataclass(frozen=True)
class _Questions:
    """Queries to ask, and what was measured of them."""

    point: str  # name of the point whose lists were measured
    rows: list[int]  # of the run's queries
    ask: Ask
    is_exact: bool  # whether the lists must be the measured ones
    is_fused: bool = False


def _compare(
    selection: Selection, about: About, own: NDArray[np.int64], reporter: Reporter, questions: _Questions
) -> Verified:
    """What a store finds, beside the run's list of a point; without each query's own document."""
    run, name, rows = selection.run, questions.point, questions.rows
    found: dict[str, list[Hit]] = {}
    ids = run.queries.ids
    with reporter.step("verify", len(rows)) as advance:
        for first in range(0, len(rows), _QUERIES):
            part = rows[first : first + _QUERIES]
            for row, hits in zip(part, questions.ask(part), strict=True):
                found[ids[row]] = [hit for hit in hits if own[row] < 0 or hit.id != ids[row]][:CUTOFF]
            advance(len(part))
    ranked = _search_exactly(selection, rows, own) if run.results.folds else run.scored_ranking(name)
    ranked = {query: {about.stored_id(key): score for key, score in ranked.get(query, {}).items()} for query in found}
    rankings = {query: [hit.id for hit in hits] for query, hits in found.items()}
    expected = {query: list(scores)[:CUTOFF] for query, scores in ranked.items()}
    if unjudged := [query for query in rankings if query not in run.answerable]:
        problem = f"has no relevant document for {len(unjudged):,} test queries, {unjudged[0]!r} first"
        wanted = f"judgements of every test query in {run.folder.path('queries')}"
        raise InputError(problem, wanted, file=run.folder.path("qrels"))
    same = float(np.mean([rankings[query] == expected[query] for query in rankings]))
    reached, measured = (
        mean_recall(lists, run.answerable, run.results.relevant_from, CUTOFF) for lists in (rankings, expected)
    )
    if not run.results.folds and len(rankings) == run.points[name].queries:
        measured = run.points[name].metrics[_RECALL].value
    judged = found if questions.is_exact or not questions.is_fused else {}
    faults = {query: _find_fault(hits, ranked[query], questions.is_exact) for query, hits in judged.items()}
    faults = {query: fault for query, fault in faults.items() if fault}
    example = next((f"for query {query!r} {fault}" for query, fault in faults.items()), "")
    return Verified(name, len(rankings), reached, measured, same, len(faults), example, run.results.folds > 0)


def _find_fault(hits: list[Hit], measured: dict[str, float], is_exact: bool) -> str:
    """What of a query's hits cannot be, in words, after what was measured: documents and scores, best first."""
    for hit in hits:
        if not abs(hit.score - measured.get(hit.id, hit.score)) <= NEAR:  # NaN is wrong, too
            return f"{hit.id!r} has a score of {hit.score:.4f}, not {measured[hit.id]:.4f}"
    if not is_exact:
        return ""
    wanted = list(measured.items())[:CUTOFF]
    if len(hits) < len(wanted):
        return f"{len(hits)} documents are found, not {len(wanted)}"
    for rank, (hit, (name, score)) in enumerate(zip(hits, wanted, strict=False), 1):
        if hit.id != name and abs(hit.score - score) > NEAR:
            return f"{hit.id!r} has rank {rank} with a score of {hit.score:.4f}, not {name!r} with {score:.4f}"
    return ""


def _search_exactly(selection: Selection, rows: list[int], own: NDArray[np.int64]) -> dict[str, dict[str, float]]:
    """The first documents of every query of the run in `rows`, by all documents' codes; its `own` one is left out."""
    ids, queries = selection.run.catalogue.ids, selection.run.queries.ids
    order = tie_order(ids)
    asked = selection.codec.cut(np.asarray(selection.query_vectors[rows]))
    found, scores = top_k(asked, code_catalogue(selection, order), CUTOFF + 1, selection.codec.decode)
    ranked: dict[str, dict[str, float]] = {}
    for row, places, reached in zip(rows, order[found].tolist(), scores.tolist(), strict=True):
        kept = [(ids[place], score) for place, score in zip(places, reached, strict=True) if place != own[row]]
        ranked[queries[row]] = dict(kept[:CUTOFF])
    return ranked


def _measured_name(selection: Selection, about: About) -> str:
    """The name of what was measured that an index serves: two stages where they were, else its last."""
    if len(about.stages) == 1:
        return selection.point.name
    first = about.stages[0]
    two_stage = f"{about.system}{name_first_stage(first)}.{about.served.name}"
    return two_stage if two_stage in selection.run.points else selection.point.name
