"""The points of the surface: a system and the format of its vectors, that is their dimension and precision.

`VectorFormat.name` is `48.int8`, `Point.name` is `mnr.48.int8`: run files, codecs, options and messages all use these.
In `48a.int8` the `a` says that vectors are turned to the documents' principal axes before they are cut.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from collections.abc import Iterable

BITS = {"float32": 32, "float16": 16, "int8": 8, "int4": 4, "int2": 2, "binary": 1}  # of a number, by precision
PRECISIONS = tuple(BITS)
FULL = "float32"
CORRECTION = 2  # bytes that a rotated vector stores besides its numbers: its lean and its factor (vectors/rabitq.py)
PRETRAINED, BM25 = "pretrained", "bm25"  # systems that every run measures; BM25 has no vectors
FUSED = f"+{BM25}"  # ends the name of a system that is fused with words
BM25_DEFAULT = "bm25-default"  # the keyword leg as it is before it is tuned
PLAIN, HYBRID, TWO_STAGE, LEXICAL = "plain", "hybrid", "two-stage", "bm25"  # kinds of points
AXES = "a"  # ends the dimension of vectors on principal axes in names


class ReadByName:
    """A dataclass whose fields can be read as the keys of its JSON form: `row["metrics"]["recall@10"]["value"]`."""

    def keys(self) -> list[str]:
        """Names of the fields, so that `dict(…)` takes the object."""
        return [entry.name for entry in fields(self)]  # type: ignore[arg-type] # only dataclasses inherit

    def __getitem__(self, name: str) -> Any:  # noqa: ANN401 - the field's own type
        """A field's value.

        Args:
            name: of the field.

        Returns:
            The value.

        Raises:
            KeyError: there is no such field.
        """
        if name not in self.keys():
            raise KeyError(name)
        return getattr(self, name)


@dataclass(frozen=True, order=True)
class VectorFormat:
    """How many numbers of a vector are stored, and how.

    Attributes:
        dimension: numbers that are kept, from the vector's start; at least 1.
        precision: a name in `BITS`.
        axes: whether vectors are turned to the documents' principal axes before they are cut.
    """

    dimension: int
    precision: str
    axes: bool = False

    @classmethod
    def parse(cls, text: str) -> VectorFormat:
        """Read `48.int8` or `48a.int8`.

        Args:
            text: dimension and precision with a dot between.

        Returns:
            The format.

        Raises:
            ValueError: the text has another form, or the precision is unknown.
        """
        width, _, precision = text.partition(".")
        dimension = width.removesuffix(AXES)
        if not (dimension.isdecimal() and int(dimension) and precision in BITS):
            raise ValueError(f"{text!r} is not a dimension and a precision such as 48.int8")
        return cls(int(dimension), precision, axes=dimension != width)

    @property
    def name(self) -> str:
        """As files and options have it: `48.int8`, on principal axes `48a.int8`."""
        return f"{self.dimension}{AXES if self.axes else ''}.{self.precision}"

    @property
    def in_words(self) -> str:
        """As sentences have it: `48 dimensions in int8`, `48 principal axes in int8`."""
        return f"{describe_cut(self.dimension, self.axes)} in {self.precision}"

    @property
    def bytes(self) -> int:
        """Bytes that one vector takes; the last byte is filled up."""
        bits = BITS[self.precision]
        return -(-self.dimension * bits // 8) + (CORRECTION if bits < 8 else 0)


@dataclass(frozen=True)
class Point(ReadByName):
    """One thing that ranks, and what its vectors take.

    Attributes:
        system: its name.
        dimension: width of the prefix; None for a system without vectors.
        precision: a name in `BITS`; None for a system without vectors.
        bytes_per_vector: what a document takes in storage; None for a system without vectors.
        kind: `plain`; `bm25` for words; or how the point is made of others: `hybrid`, `two-stage`.
        bytes_scanned: of two stages only: what the first reads of every document.
        axes: whether vectors are turned to the documents' principal axes before they are cut.
    """

    system: str
    dimension: int | None
    precision: str | None
    bytes_per_vector: int | None = None
    kind: str = PLAIN
    bytes_scanned: int | None = None
    axes: bool = False

    @classmethod
    def of(cls, system: str, stored: VectorFormat, kind: str = PLAIN) -> Point:
        """A system's vectors in one format."""
        return cls(system, stored.dimension, stored.precision, stored.bytes, kind, axes=stored.axes)

    @classmethod
    def parse(cls, name: str) -> Point:
        """Read what `name` gives: `mnr.48.int8`, or `bm25` for a system without vectors.

        Args:
            name: of a point.

        Returns:
            A plain point; how it is made of others is not part of a name.
        """
        system, *parts = name.rsplit(".", 2)
        try:
            return cls.of(system, VectorFormat.parse(".".join(parts)))
        except ValueError:
            return cls(name, None, None)

    @property
    def format(self) -> VectorFormat:
        """Dimension, precision and axes of the vectors; ValueError for a system without vectors."""
        if self.dimension is None or self.precision is None:
            raise ValueError(f"{self.system} has no vectors")
        return VectorFormat(self.dimension, self.precision, self.axes)

    @property
    def name(self) -> str:
        """As run files and comparisons have it: `mnr.48.int8`, `mnr.48a.int8` on principal axes, `bm25`."""
        return self.system if self.dimension is None else f"{self.system}.{self.format.name}"

    @property
    def cut(self) -> str:
        """How many numbers of a vector are kept, for people: `48`, or `48 axes`; empty for a system without vectors."""
        return "" if self.dimension is None else name_cut(self.dimension, self.axes)

    @property
    def bytes(self) -> int:
        """Bytes per vector; 0 for a system without vectors."""
        return self.bytes_per_vector or 0

    @property
    def vectors(self) -> Point:
        """The vectors of a fused point, which are what is exported, indexed and served; any other point as it is."""
        if self.kind != HYBRID or self.dimension is None:
            return self
        return Point.of(self.system.removesuffix(FUSED), self.format)

    @property
    def is_alone(self) -> bool:
        """Whether it is vectors or words as they are, not made of other points."""
        return self.kind in (PLAIN, LEXICAL)

    @property
    def is_vectors(self) -> bool:
        """Whether it is a system's vectors as they are: not BM25, and not made of other points."""
        return self.kind == PLAIN and self.dimension is not None


def name_cut(dimension: int, axes: bool) -> str:
    """How many numbers of a vector are kept, in a table's cell: `48`, or `48 axes`."""
    return f"{dimension} axes" if axes else f"{dimension}"


def describe_cut(dimension: int, axes: bool) -> str:
    """The same in a sentence: `48 dimensions`, or `48 principal axes`."""
    return f"{dimension} {'principal axes' if axes else 'dimensions'}"


def name_first_stage(stored: VectorFormat) -> str:
    """The end of a two-stage system's name, which says the format of its first stage: `-via-48-int8`."""
    return f"-via-{stored.name.replace('.', '-')}"


AnyPoint = TypeVar("AnyPoint", bound=Point)


def full_width(points: Iterable[AnyPoint]) -> list[AnyPoint]:
    """Every system at its widest and most precise, BM25 first, then in the order given."""
    widest: dict[str, AnyPoint] = {}
    for point in points:
        best = widest.setdefault(point.system, point)
        if point.bytes > best.bytes:
            widest[point.system] = point
    return sorted(widest.values(), key=lambda point: point.dimension is not None)
