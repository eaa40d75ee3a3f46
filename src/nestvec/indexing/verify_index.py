"""Verifies an index: it must find what the run measured, and the model must still give the measured vectors.

In a run with --folds, the measured results come from the folds' models and not from the model that encoded the index.
There, the index is compared with an exact search by the model that encoded the index.

An exact search must return the measured documents in the measured order; documents whose scores differ by at most
`NEAR` may swap. An approximate search, or a shortlist that was not measured, may miss documents and lose up to 0.01 of
recall, but the documents found must have the measured scores. Fused scores are not compared in that case, because a
missed document changes the fused scores of the others.
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

    Ask = Callable[[list[int]], list[list[Hit]]]  # searches the store for queries, given by their rows

TOLERANCE = 0.01  # recall that a store may lose
NEAR = 0.0001  # smaller differences of scores are rounding, as when a document is encoded again in another batch
_TEXTS = 200  # texts encoded again, half of them queries
_RECALL = "recall@10"
_QUERIES = 64  # queries per search


@dataclass(frozen=True)
class Verified:
    """The result of verifying an index: its recall@10 beside the measured one, and the number of wrong answers."""

    point: str  # name of the measured point, such as `mnr.48.int8`
    queries: int  # number of test queries
    found: float  # recall@10 of the index
    measured: float  # recall@10 of the surface for these queries
    same: float  # share of queries whose first ten documents are the measured ones in the same order
    wrong: int = 0  # number of queries whose answers differ from the measured ones by more than is allowed
    example: str = ""  # describes the first wrong answer
    by_folds: bool = False  # whether folds' models measured the surface; `measured` is then from an exact search
    fused: Verified | None = None  # the result for fused search, if the index has words and the run measured it

    @property
    def holds(self) -> bool:
        """Whether the index passes: it loses at most `TOLERANCE` of recall@10, and no query has a wrong answer."""
        return self.found >= self.measured - TOLERANCE and not self.wrong


def refuse_other_vectors(selection: Selection, encoder: Encoder, reporter: Reporter) -> None:
    """Encode a sample of the run's texts again; raises ChangedError if the vectors differ from those in the run."""
    tried = encode_sample(selection, encoder.encode, _TEXTS // 2, _TEXTS, reporter)
    cosines, least = tried.cosines(Float32(encoder.dimension)), LEAST["float32"]
    if not (wrong := ~(cosines >= least)).any():  # NaN is wrong, too
        return
    worst, run = int(np.argmin(np.where(np.isnan(cosines), -2, cosines))), selection.run
    texts = [run.queries.texts[row] for row in tried.queries] + [run.catalogue.texts[row] for row in tried.documents]
    problem = (
        f"the model's vectors differ from those in {run.folder.embeddings(selection.files.system)}: {wrong.sum()} of "
        f"{len(texts)} texts have a cosine below {least:g}, the least is {cosines[worst]:.4f} for {texts[worst][:60]!r}"
    )
    wanted = "the measured vectors: restore the model, or run `nestvec run` again"
    raise ChangedError(problem, wanted, file=selection.model.path)


def verify_index(selection: Selection, store: Store, is_exact: bool, reporter: Reporter) -> Verified:
    """Search an index for the test queries, and compare the results with those that the run measured.

    `is_exact` says whether the store searches exactly. Raises ChangedError if the index's number of documents differs
    from the run's.
    """
    run, about = selection.run, store.about
    documents = len(run.catalogue)
    if about is None or len(store) != documents:
        problem = f"the index holds {len(store) if about else 0:,} documents"
        wanted = f"the {documents:,} documents that were measured: build the index from the run's documents"
        raise ChangedError(problem, wanted, file=run.folder.path("index"))
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
    # Leave out queries that have a document of their own. The measurement removed that document before it scaled the
    # keyword scores, which an index cannot do.
    others = [row for row in rows if own[row] < 0]
    if about.hybrid is None or fused not in run.points or not others or run.results.folds:
        return verified
    return replace(verified, fused=compare(_Questions(fused, others, ask_both, is_exact and is_single, True)))


@dataclass(frozen=True)
class _Questions:
    """Test queries to search for, how to search, and the name of the measurement to compare the results with."""

    point: str  # name of the measured point
    rows: list[int]  # rows of the run's queries
    ask: Ask
    is_exact: bool  # whether the results must equal the measured lists
    is_fused: bool = False


def _compare(
    selection: Selection, about: About, own: NDArray[np.int64], reporter: Reporter, questions: _Questions
) -> Verified:
    """Search for queries and compare with the measured results, leaving out a document that is the query itself."""
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
    """Describe the first wrong score or rank among a query's hits; "" if all hits are as measured.

    `measured` maps document ids to the measured scores, best first.
    """
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
    """Search all quantised documents for the queries in `rows`, leaving out the document that is the query itself."""
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
    """Return the name of the measurement to compare with: with the index's shortlist if measured, else without it."""
    if len(about.stages) == 1:
        return selection.point.name
    first = about.stages[0]
    two_stage = f"{about.system}{name_first_stage(first)}.{about.served.name}"
    return two_stage if two_stage in selection.run.points else selection.point.name
