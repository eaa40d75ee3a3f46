"""POST /v1/search and GET /v1/run: search the index or the run's documents, and describe the run."""

from __future__ import annotations

import time
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from fastapi import APIRouter, Request
from pydantic import BaseModel, Field
from pydantic_core import to_json
from starlette.responses import Response

from nestvec.indexing.index_query import REBUILDS, IndexAnswer, IndexQuery, RebuiltError
from nestvec.indexing.index_settings import VECTORS
from nestvec.models.prompts import QUERY
from nestvec.serving.failures import Failure, describe_failures, unavailable
from nestvec.serving.json_answers import JsonAnswer
from nestvec.serving.json_requests import JsonRoute
from nestvec.serving.search_target import SearchRequest, SearchTarget, choose_target
from nestvec.serving.work_queue import WorkQueue, unless_client_leaves

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from nestvec.serving.judged_queries import QueryJudgements
    from nestvec.serving.service import Service
    from nestvec.stores.store import Hit

_MOST = 25_600  # most documents in one answer: 256 queries with 100 documents each


class FoundDocument(BaseModel):
    """A document that the search found, with its rank, score and judgement."""

    rank: int
    id: str
    score: float
    text: str
    fields: dict[str, str | float | int] = Field(description="The document's fields in the index.")
    grade: float | None = Field(description="The grade that this document was given for this query; null if unjudged.")
    relevant: bool | None = Field(description="Whether the grade counts as relevant; null if the document is unjudged.")


class JudgedQuery(BaseModel):
    """What the run knows of a judged query: its id, its split and its number of relevant documents."""

    query_id: str
    split: str
    relevant: int = Field(description="Number of documents judged relevant.")


class SearchResult(BaseModel):
    """The documents found for one query, best first."""

    query: str
    searched_for: str | None = Field(
        description="The query with corrected spelling, as keyword search used it; null if nothing was corrected."
    )
    judged: JudgedQuery | None
    hits: list[FoundDocument]


class SearchAnswer(BaseModel):
    """The response of POST /v1/search: what was searched, how long the search took, and the documents found."""

    system: str
    dimension: int | None
    precision: str | None
    axes: bool = Field(description="Whether vectors are on the documents' principal axes.")
    bytes_per_vector: int | None
    mode: Literal["fused", "vectors", "words"]
    weight: float | None = Field(description="Weight of the keyword score in the mode `fused`, else null.")
    documents: int = Field(description="Number of documents searched.")
    source: Literal["run", "index"] = Field(description="Whether the run's documents or the index was searched.")
    encode_ms: float
    search_ms: float
    results: list[SearchResult]


def searching_router(work: WorkQueue) -> APIRouter:
    """Make the routes /v1/search and /v1/run; the work queue encodes queries and searches."""
    router = APIRouter(tags=["search"], route_class=JsonRoute)
    failures = describe_failures(401, 408, 413, 415, 421, 422, 429, 500, 503)

    @router.post("/v1/search", responses={200: {"model": SearchAnswer}, **failures})
    async def search(asked: SearchRequest, request: Request) -> Response:
        """Find the best documents for queries: in the index, or in the run's documents at any measured precision."""
        queries = asked.queries or [asked.query or ""]
        field = "queries" if asked.queries else "query"
        if len(queries) > work.options.queries:
            raise Failure(413, f"queries must have at most {work.options.queries:,} texts", "queries")
        if len(queries) * asked.k > _MOST:
            raise Failure(413, f"more than {_MOST:,} documents in one answer: send fewer queries or a smaller k", "k")
        work.refuse_long(field, queries)
        with work.capacity.reserve(len(queries)):
            body = await unless_client_leaves(request, _answer_search(work, asked, queries))
        return JsonAnswer(body, work.answers)

    @router.get("/v1/run", responses={200: {"model": dict[str, Any]}, **describe_failures(401, 421, 500, 503)})
    async def run() -> Response:
        """Describe the run: its systems, measured dimensions and precisions, recommendation, and index."""
        run_job = work.ask_index if work.service.index else work.run_in_thread  # the summary reads the index
        return JsonAnswer(to_json(await run_job(work.service.summarise)), work.answers)

    return router


async def _answer_search(work: WorkQueue, asked: SearchRequest, queries: Sequence[str]) -> bytes:
    """Encode queries, search, and return the answer as JSON; tries again if the index was rebuilt meanwhile."""
    for _ in range(REBUILDS):
        if work.service.index and asked.may_need_index:
            await work.ask_index(work.service.index.follow)
        target, began = choose_target(work, asked), time.perf_counter()
        vectors = await _query_vectors(work, target.point.system, queries) if target.point.dimension else None
        encoding = time.perf_counter() - began
        job = partial(_search_to_json, work, target, queries, vectors, asked.k, encoding)
        if target.about is None:
            return await work.run_in_thread(job)
        with suppress(RebuiltError):
            return await work.ask_index(job)
    raise unavailable("the index was replaced several times during the search")


async def _query_vectors(work: WorkQueue, system: str, queries: Sequence[str]) -> NDArray[np.float32]:
    """Return the (q, full width) vectors of q queries; encodes only queries without a measured or remembered vector."""
    known = {query: work.service.find_vector(system, query) for query in queries}
    vectors = {query: vector for query, vector in known.items() if vector is not None}
    new = [query for query in known if query not in vectors]
    if new:
        for query, vector in zip(new, (await work.encode(system, new, QUERY)).vectors, strict=True):
            vectors[query] = vector
            work.service.remember_vector(system, query, vector)
    return np.stack([vectors[query] for query in queries])


def _search_to_json(
    work: WorkQueue,
    target: SearchTarget,
    queries: Sequence[str],
    vectors: NDArray[np.float32] | None,
    k: int,
    encoding: float,
) -> bytes:
    """Search for the queries, and return the response of POST /v1/search as JSON; blocks the calling thread."""
    service, point, began = work.service, target.point, time.perf_counter()
    found = _search(service, target, queries, vectors, k)
    seconds = time.perf_counter() - began
    work.meters.count_search(point.system, seconds)
    searched = {
        "system": point.system,
        "dimension": point.dimension,
        "precision": point.precision,
        "axes": point.axes,
        "bytes_per_vector": point.bytes_per_vector,
        "mode": target.mode,
        "weight": target.weight,
        "documents": found.documents,
        "source": "index" if target.about else "run",
        "encode_ms": round(1000 * encoding, 3),
        "search_ms": round(1000 * seconds, 3),
    }
    judged = [service.find_judgements(query) for query in queries]
    results = list(map(_result_to_json, queries, found.searched, judged, found.hits))
    return to_json({**searched, "results": results}, inf_nan_mode="null")


def _search(
    service: Service, target: SearchTarget, queries: Sequence[str], vectors: NDArray[np.float32] | None, k: int
) -> IndexAnswer:
    """Search the index or the run's documents, as `target` says."""
    if target.about is not None:
        where, weight = target.conditions, target.weight
        return service.search_index(
            IndexQuery(target.about, queries, vectors, target.mode, k, where, weight=weight, count=True)
        )
    if target.weight is not None and vectors is not None:
        hits = service.search_fused(target.point, queries, vectors, k, target.weight)
    else:
        hits = service.search(target.point, queries, vectors, k)
    searched = queries if target.mode == VECTORS else service.keywords.correct(queries)
    return IndexAnswer(hits, list(searched), service.documents)


def _result_to_json(query: str, text: str, judged: QueryJudgements | None, hits: Sequence[Hit]) -> dict[str, Any]:
    """Convert a query's hits and their judgements to a `SearchResult`; `text` is the query with corrected spelling."""
    about = judged and {"query_id": judged.query_id, "split": judged.split, "relevant": judged.relevant_count}
    listed = [
        {
            "rank": rank,
            "id": hit.id,
            "score": hit.score,
            "text": hit.text,
            "fields": dict(hit.fields),
            "grade": judged.grades.get(hit.id) if judged else None,
            "relevant": judged.is_relevant(hit.id) if judged else None,
        }
        for rank, hit in enumerate(hits, start=1)
    ]
    return {"query": query, "searched_for": None if text == query else text, "judged": about, "hits": listed}
