"""The request of POST /v1/search, and the choice of what to search: the index or the run's documents."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator
from pydantic_core import PydanticCustomError

from nestvec.errors import InputError
from nestvec.indexing.index_settings import FUSED, VECTORS, WORDS
from nestvec.point import BM25, Point
from nestvec.runs.choose_point import NOTHING_NAMED, PointSettings
from nestvec.serving.failures import Failure
from nestvec.stores.store import Condition

if TYPE_CHECKING:
    from nestvec.serving.work_queue import WorkQueue
    from nestvec.stores.store import About

_Query = Annotated[str, Field(min_length=1, pattern=r"\S")]
_Filter = Annotated[str, Field(min_length=1, max_length=200)]


class SearchRequest(BaseModel):
    """Queries and what to search; without system, dimension and precision, the index or what the run recommends."""

    model_config = ConfigDict(
        strict=True,
        extra="forbid",
        json_schema_extra={"examples": [{"query": "cordless drill", "k": 10}]},
    )

    query: _Query | None = Field(None, description="One query. Give either `query` or `queries`.")
    queries: list[_Query] | None = Field(
        None, min_length=1, description="Several queries. Give either `query` or `queries`."
    )
    k: int = Field(10, ge=1, le=1000, description="Number of documents to return for each query.")
    system: str | None = Field(None, description="The system that ranks, such as `mnr` or `bm25`.")
    dimension: int | None = Field(None, ge=1, description="A dimension that the run measured.")
    precision: str | None = Field(None, description="A precision that the run measured.")
    axes: bool = Field(
        False, description="Use vectors on principal axes. Without a dimension, this is as in the default point."
    )
    mode: Literal["fused", "vectors", "words"] | None = Field(
        None,
        description="Rank by `vectors`, by `words` (BM25), or by both, `fused`. "
        "Default: `words` for the system `bm25`, `vectors` for all others.",
    )
    weight: float | None = Field(
        None,
        ge=0,
        le=1,
        allow_inf_nan=False,
        description="Weight of the keyword score in the mode `fused`. Default: the weight that the run fitted.",
    )
    filter: _Filter | Annotated[list[_Filter], Field(max_length=20)] | None = Field(
        None, description="Conditions on fields of the index, such as `price<=20`. A document must fulfil all of them."
    )

    @model_validator(mode="after")
    def _take_one_form(self) -> SearchRequest:
        """Refuse a request that names both `query` and `queries`, or neither."""
        if (self.query is None) == (self.queries is None):
            raise PydanticCustomError("one_of", "give exactly one of query and queries")
        return self

    @property
    def may_need_index(self) -> bool:
        """Whether the index may be searched: the request has a filter, or names no system, dimension or precision."""
        return self.filter is not None or self.point == NOTHING_NAMED

    @property
    def point(self) -> PointSettings:
        """The system, dimension and precision that the request names."""
        return PointSettings(self.system, self.dimension, self.precision, self.axes)


@dataclass(frozen=True)
class SearchTarget:
    """What to search: the index, or the run's documents with a system at one dimension and precision."""

    point: Point
    about: About | None  # what the index serves; None to search the run's documents
    conditions: tuple[Condition, ...] = ()
    weight: float | None = None  # weight of the keyword score in a fused search; None for other searches

    @property
    def mode(self) -> str:
        """How documents are ranked: by `vectors`, by `words` (keyword search), or `fused` for both."""
        if self.weight is not None:
            return FUSED
        return VECTORS if self.point.dimension else WORDS


def choose_target(work: WorkQueue, asked: SearchRequest) -> SearchTarget:
    """Choose what a request searches: the index or the run's documents.

    The index is searched if there is one and the request names no system, dimension or precision, or if the request has
    a filter. Raises a Failure (HTTP 422) if what the request names was not measured, or if its options contradict.
    """
    if asked.weight is not None and asked.mode != FUSED:
        raise Failure(422, f"weight needs the mode {FUSED}", "weight")
    filters = [asked.filter] if isinstance(asked.filter, str) else asked.filter or []
    conditions = tuple(map(_parse_filter, filters))
    if asked.mode in (FUSED, WORDS):
        return _choose_keyword_target(work, asked, conditions)
    about, served = work.service.served
    if asked.point == NOTHING_NAMED and served is not None:
        return SearchTarget(served, about, conditions)
    point = work.find_point(asked.point)
    if asked.mode == VECTORS and point.dimension is None:
        problem = f"{point.system} has no vectors: name a system with vectors, or the mode {WORDS}"
        raise Failure(422, problem, "mode")
    if not conditions:
        return SearchTarget(point, None)
    if served is None or point.name != served.name:
        reason = f"the index serves only {served.name}" if served else "this run has none: run `nestvec index`"
        raise Failure(422, f"filters need an index; {reason}", "filter")
    return SearchTarget(served, about, conditions)


def _choose_keyword_target(work: WorkQueue, asked: SearchRequest, conditions: tuple[Condition, ...]) -> SearchTarget:
    """Choose what to search by keywords or fused: an index with BM25 if no system is named, else the run."""
    (about, served), words = work.service.served, Point(BM25, None, None)
    if asked.mode == WORDS and asked.point not in (NOTHING_NAMED, PointSettings(BM25)):
        problem = f"the mode {WORDS} uses no vectors: leave out system, dimension, precision and axes"
        raise Failure(422, problem, "mode")
    if about and served and about.hybrid and asked.point == NOTHING_NAMED:
        if asked.mode == WORDS:
            return SearchTarget(words, about, conditions)
        return SearchTarget(served, about, conditions, about.hybrid.fusion.weighted(asked.weight).weight)
    if conditions:
        problem = (
            f"in the mode {asked.mode}, filters need an index with words and "
            "a request without system, dimension, precision and axes"
        )
        raise Failure(422, problem, "filter")
    if asked.mode == WORDS:
        return SearchTarget(words, None)
    point = work.find_point(asked.point)
    if point.dimension is None:
        raise Failure(422, f"{point.system} has no vectors to fuse: name a system with vectors", "system")
    return SearchTarget(point, None, weight=work.service.keywords.fusion(point.format, asked.weight).weight)


def _parse_filter(text: str) -> Condition:
    try:
        return Condition.parse(text.strip())
    except InputError as error:
        raise Failure(422, f"filter must be {error.expected}", "filter") from error
