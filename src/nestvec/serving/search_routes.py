"""POST /v1/search and GET /v1/run: a run's documents, searched as they were measured or as they are delivered."""

from __future__ import annotations

import time
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any, Literal

import numpy as np
from fastapi import APIRouter, Request
from pydantic import BaseModel, ConfigDict, Field, model_validator
from pydantic_core import PydanticCustomError, to_json
from starlette.responses import Response

from nestvec.errors import InputError
from nestvec.indexing.index_settings import FUSED, VECTORS, WORDS
from nestvec.models.prompts import QUERY
from nestvec.point import BM25, Point
from nestvec.serving.failures import Failure, describe_failures
from nestvec.serving.json_answers import JsonAnswer
from nestvec.serving.json_requests import JsonRoute
from nestvec.serving.work_queue import WorkQueue, unless_client_leaves
from nestvec.stores.store import Condition

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from nestvec.serving.judged_queries import QueryJudgements
    from nestvec.serving.service import Service
    from nestvec.stores.store import Hit

_MOST = 25_600  # documents of one answer: 256 queries with 100 each
_Query = Annotated[str, Field(min_length=1, pattern=r"\S")]
_Filter = Annotated[str, Field(min_length=1, max_length=200)]


class SearchRequest(BaseModel):
    """What to look for, and where; without a point what is delivered is searched."""

    model_config = ConfigDict(
        strict=True,
        extra="forbid",
        json_schema_extra={"examples": [{"query": "cordless drill", "k": 10}]},
    )

    query: _Query | None = Field(None, description="One query; or else `queries`.")
    queries: list[_Query] | None = Field(None, min_length=1, description="Several; or else `query`.")
    k: int = Field(10, ge=1, le=1000, description="How many documents of each.")
    system: str | None = Field(None, description="Which of the systems ranks.")
    dimension: int | None = Field(None, ge=1, description="One of the widths that were measured.")
    precision: str | None = Field(None, description="One of the precisions that were measured.")
    mode: Literal["fused", "vectors", "words"] | None = Field(
        None, description="By words and vectors together, or by one of them; without it as the system ranks alone."
    )
    weight: float | None = Field(
        None, ge=0, le=1, allow_inf_nan=False, description="Of the words, in the mode `fused`; else as it was fitted."
    )
    filter: _Filter | Annotated[list[_Filter], Field(max_length=20)] | None = Field(
        None, description="Conditions on fields of an index, such as `price<=20`; all must hold."
    )

    @model_validator(mode="after")
    def _take_one_form(self) -> SearchRequest:
        """Refuse a request that names both `query` and `queries`, or neither."""
        if (self.query is None) == (self.queries is None):
            raise PydanticCustomError("one_of", "exactly one of query and queries")
        return self


class FoundDocument(BaseModel):
    """A document that was found."""

    rank: int
    id: str
    score: float
    text: str
    fields: dict[str, str | float | int] = Field(description="What came with it in an index.")
    grade: float | None = Field(description="As people judged it for this query, if they did.")
    relevant: bool | None = Field(description="Whether that counts as relevant.")


class JudgedQuery(BaseModel):
    """A query that people judged documents for."""

    query_id: str
    split: str
    relevant: int = Field(description="How many documents are relevant.")


class SearchResult(BaseModel):
    """The documents of one query, best first."""

    query: str
    searched_for: str | None = Field(
        description="What was searched by words instead, where words of the query were corrected."
    )
    judged: JudgedQuery | None
    hits: list[FoundDocument]


class SearchAnswer(BaseModel):
    """What was searched, how long it took, and what was found."""

    system: str
    dimension: int | None
    precision: str | None
    bytes_per_vector: int | None
    mode: Literal["fused", "vectors", "words"]
    weight: float | None = Field(description="Of the words, in the mode `fused`.")
    documents: int
    source: Literal["run", "index"]
    encode_ms: float
    search_ms: float
    results: list[SearchResult]


@dataclass(frozen=True)
class _Target:
    """Where to search: the index, or the run's documents at a point."""

    point: Point
    index: bool
    conditions: tuple[Condition, ...] = ()
    weight: float | None = None  # of the words, where both legs are fused

    @property
    def mode(self) -> str:
        """By what documents are ranked."""
        if self.weight is not None:
            return FUSED
        return VECTORS if self.point.dimension else WORDS


def searching_router(work: WorkQueue) -> APIRouter:
    """Make the routes, for which `work` encodes and searches."""
    router = APIRouter(tags=["search"], route_class=JsonRoute)
    failures = describe_failures(401, 408, 413, 415, 421, 422, 429, 500, 503)

    @router.post("/v1/search", responses={200: {"model": SearchAnswer}, **failures})
    async def search(asked: SearchRequest, request: Request) -> Response:
        """The best documents of queries, at any point that was measured."""
        queries = asked.queries or [asked.query or ""]
        field = "queries" if asked.queries else "query"
        if len(queries) > work.options.queries:
            raise Failure(413, f"at most {work.options.queries:,} queries", "queries")
        if len(queries) * asked.k > _MOST:
            raise Failure(413, f"at most {_MOST:,} documents in one answer: fewer queries, or a smaller k", "k")
        work.refuse_long(field, queries)
        target = _choose_target(work, asked)
        with work.capacity.reserve(len(queries)):
            body = await unless_client_leaves(request, _answer_search(work, target, queries, asked.k))
        return JsonAnswer(body, work.answers)

    @router.get("/v1/run", responses={200: {"model": dict[str, Any]}, **describe_failures(401, 421, 500, 503)})
    async def run() -> Response:
        """What was measured, and what it recommends."""
        return JsonAnswer(to_json(await work.run_in_thread(work.service.summarise)), work.answers)

    return router


def _choose_target(work: WorkQueue, asked: SearchRequest) -> _Target:
    """Search the index where no point is named, and else the run's documents as they were measured."""
    if asked.weight is not None and asked.mode != FUSED:
        raise Failure(422, f"a weight needs the mode {FUSED}", "weight")
    filters = [asked.filter] if isinstance(asked.filter, str) else asked.filter or []
    conditions = tuple(map(_parse_filter, filters))
    if asked.mode in (FUSED, WORDS):
        return _choose_keyword_target(work, asked, conditions)
    named = (asked.system, asked.dimension, asked.precision)
    served = work.service.index.selection.point if work.service.index else None
    if named == (None, None, None) and served is not None:
        return _Target(served, True, conditions)
    point = work.find_point(*named)
    if asked.mode == VECTORS and point.dimension is None:
        raise Failure(422, f"{point.system} has no vectors: name a system that has, or the mode {WORDS}", "mode")
    if not conditions:
        return _Target(point, False)
    if served is None or point.name != served.name:
        reason = f"it serves {served.name}" if served else "this run has none: `nestvec index` builds one"
        raise Failure(422, f"filters need the index, and {reason}", "filter")
    return _Target(served, True, conditions)


def _choose_keyword_target(work: WorkQueue, asked: SearchRequest, conditions: tuple[Condition, ...]) -> _Target:
    """Search by words, alone or fused with vectors: an index that has words where no point is named, else the run."""
    index, words = work.service.index, Point(BM25, None, None)
    held = index.about.hybrid if index else None
    if asked.mode == WORDS and (asked.system not in (None, BM25) or asked.dimension or asked.precision):
        raise Failure(422, f"the mode {WORDS} has no point: leave out system, dimension and precision", "mode")
    if index and held and (asked.system, asked.dimension, asked.precision) == (None, None, None):
        if asked.mode == WORDS:
            return _Target(words, True, conditions)
        return _Target(index.selection.point, True, conditions, held.fusion.weighted(asked.weight).weight)
    if conditions:
        raise Failure(422, "filters need an index with words, and no point beside them", "filter")
    if asked.mode == WORDS:
        return _Target(words, False)
    point = work.find_point(asked.system, asked.dimension, asked.precision)
    if point.dimension is None:
        raise Failure(422, f"{point.system} has no vectors to fuse: name a system that has", "system")
    return _Target(point, False, weight=work.service.keywords.fusion(point.format, asked.weight).weight)


def _parse_filter(text: str) -> Condition:
    try:
        return Condition.parse(text.strip())
    except InputError as error:
        raise Failure(422, error.expected, "filter") from error


async def _answer_search(work: WorkQueue, target: _Target, queries: Sequence[str], k: int) -> bytes:
    """Encode queries, search, and give the answer as JSON."""
    began = time.perf_counter()
    vectors = await _query_vectors(work, target.point.system, queries) if target.point.dimension else None
    encoded = time.perf_counter()
    return await work.run_in_thread(partial(_search_to_json, work, target, queries, vectors, k, encoded - began))


async def _query_vectors(work: WorkQueue, system: str, queries: Sequence[str]) -> NDArray[np.float32]:
    """(q, width) of queries: as they were measured or encoded lately; the others are encoded now."""
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
    target: _Target,
    queries: Sequence[str],
    vectors: NDArray[np.float32] | None,
    k: int,
    encoding: float,
) -> bytes:
    """Search, and write the answer; blocks."""
    service, point, began = work.service, target.point, time.perf_counter()
    if target.index:
        texts = None if target.mode == VECTORS else queries
        hits = service.search_index(vectors, k, target.conditions, texts, target.weight)
    elif target.weight is not None and vectors is not None:
        hits = service.search_fused(point, queries, vectors, k, target.weight)
    else:
        hits = service.search(point, queries, vectors, k)
    asked = _correct_words(service, target, queries)
    seconds = time.perf_counter() - began
    work.meters.count_search(point.system, seconds)
    searched = {
        "system": point.system,
        "dimension": point.dimension,
        "precision": point.precision,
        "bytes_per_vector": point.bytes_per_vector,
        "mode": target.mode,
        "weight": target.weight,
        "documents": service.indexed_documents if target.index else service.documents,
        "source": "index" if target.index else "run",
        "encode_ms": round(1000 * encoding, 3),
        "search_ms": round(1000 * seconds, 3),
    }
    judged = [service.find_judgements(query) for query in queries]
    results = list(map(_result_to_json, queries, asked, judged, hits))
    return to_json({**searched, "results": results}, inf_nan_mode="null")


def _correct_words(service: Service, target: _Target, queries: Sequence[str]) -> Sequence[str]:
    """Queries as their words were searched; vectors are asked what was typed."""
    if target.mode == VECTORS:
        return queries
    if target.index and service.index:
        return service.index.store.correct(queries)
    return service.keywords.correct(queries)


def _result_to_json(query: str, text: str, judged: QueryJudgements | None, hits: Sequence[Hit]) -> dict[str, Any]:
    """A query's hits, for which `text` was searched, with the grades that people gave them."""
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
