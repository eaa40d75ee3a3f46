"""What a search asks for, and where it looks: in the index, as it is served now, or among the run's documents."""

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
    axes: bool = Field(False, description="Vectors on principal axes; without a dimension as the default's are.")
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

    @property
    def may_need_index(self) -> bool:
        """Whether what the index serves decides where to search."""
        return self.filter is not None or self.point == NOTHING_NAMED

    @property
    def point(self) -> PointSettings:
        """What is named of a point."""
        return PointSettings(self.system, self.dimension, self.precision, self.axes)


@dataclass(frozen=True)
class SearchTarget:
    """Where to search: the index, or the run's documents at a point."""

    point: Point
    about: About | None  # what the index serves that is to be searched; None: the run's documents
    conditions: tuple[Condition, ...] = ()
    weight: float | None = None  # of the words, where both legs are fused

    @property
    def mode(self) -> str:
        """By what documents are ranked."""
        if self.weight is not None:
            return FUSED
        return VECTORS if self.point.dimension else WORDS


def choose_target(work: WorkQueue, asked: SearchRequest) -> SearchTarget:
    """Search the index where no point is named, and else the run's documents as they were measured."""
    if asked.weight is not None and asked.mode != FUSED:
        raise Failure(422, f"a weight needs the mode {FUSED}", "weight")
    filters = [asked.filter] if isinstance(asked.filter, str) else asked.filter or []
    conditions = tuple(map(_parse_filter, filters))
    if asked.mode in (FUSED, WORDS):
        return _choose_keyword_target(work, asked, conditions)
    about, served = work.service.served
    if asked.point == NOTHING_NAMED and served is not None:
        return SearchTarget(served, about, conditions)
    point = work.find_point(asked.point)
    if asked.mode == VECTORS and point.dimension is None:
        raise Failure(422, f"{point.system} has no vectors: name a system that has, or the mode {WORDS}", "mode")
    if not conditions:
        return SearchTarget(point, None)
    if served is None or point.name != served.name:
        reason = f"it serves {served.name}" if served else "this run has none: `nestvec index` builds one"
        raise Failure(422, f"filters need the index, and {reason}", "filter")
    return SearchTarget(served, about, conditions)


def _choose_keyword_target(work: WorkQueue, asked: SearchRequest, conditions: tuple[Condition, ...]) -> SearchTarget:
    """Search by words, alone or fused with vectors: an index that has words where no point is named, else the run."""
    (about, served), words = work.service.served, Point(BM25, None, None)
    if asked.mode == WORDS and asked.point not in (NOTHING_NAMED, PointSettings(BM25)):
        raise Failure(422, f"the mode {WORDS} has no point: leave out system, dimension, precision and axes", "mode")
    if about and served and about.hybrid and asked.point == NOTHING_NAMED:
        if asked.mode == WORDS:
            return SearchTarget(words, about, conditions)
        return SearchTarget(served, about, conditions, about.hybrid.fusion.weighted(asked.weight).weight)
    if conditions:
        raise Failure(422, "filters need an index with words, and no point beside them", "filter")
    if asked.mode == WORDS:
        return SearchTarget(words, None)
    point = work.find_point(asked.point)
    if point.dimension is None:
        raise Failure(422, f"{point.system} has no vectors to fuse: name a system that has", "system")
    return SearchTarget(point, None, weight=work.service.keywords.fusion(point.format, asked.weight).weight)


def _parse_filter(text: str) -> Condition:
    try:
        return Condition.parse(text.strip())
    except InputError as error:
        raise Failure(422, error.expected, "filter") from error
