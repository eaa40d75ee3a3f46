"""Points: a point is a system (a model or BM25) in one vector format; a run measures points and recommends one.

Run files, codecs, options and messages use the names `VectorFormat.name`, such as `48.int8`, and `Point.name`, such as
`mnr.48.int8`. The `a` in `48a.int8` means that vectors are rotated to the documents' principal axes (PCA) before they
are shortened.
"""

from __future__ import annotations

import shlex
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from collections.abc import Iterable

BITS = {"float32": 32, "float16": 16, "int8": 8, "int4": 4, "int2": 2, "binary": 1}  # of a number, by precision
PRECISIONS = tuple(BITS)
FULL = "float32"
CORRECTION = 2  # bytes that a code below 8 bits stores besides its numbers, see vectors/rabitq.py
PRETRAINED, BM25 = "pretrained", "bm25"  # systems that every run measures; BM25 has no vectors
FUSED = f"+{BM25}"  # ends the name of a system that is fused with keyword search
BM25_DEFAULT = "bm25-default"  # BM25 with default settings, not tuned
PLAIN, HYBRID, TWO_STAGE, LEXICAL = "plain", "hybrid", "two-stage", "bm25"  # kinds of points
AXES = "a"  # ends the dimension of vectors on principal axes in names


class ReadByName:
    """Base of dataclasses whose fields can also be read by name: `row["metrics"]["recall@10"]["value"]`."""

    def keys(self) -> list[str]:
        """List the names of the fields, so that `dict(…)` can convert the object."""
        return [entry.name for entry in fields(self)]  # type: ignore[arg-type] # only dataclasses inherit

    def __getitem__(self, name: str) -> Any:  # noqa: ANN401 - the field's own type
        """Get a field's value.

        Args:
            name: name of the field.

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
    """The format in which vectors are stored.

    Attributes:
        dimension: how many numbers of a vector are kept, counted from its start; at least 1.
        precision: number format, a name in `BITS`.
        axes: whether vectors are rotated to the documents' principal axes before they are shortened.
    """

    dimension: int
    precision: str
    axes: bool = False

    @classmethod
    def parse(cls, text: str) -> VectorFormat:
        """Read the name of a vector format: `48.int8`, or `48a.int8` on principal axes.

        Args:
            text: dimension and precision, separated by a dot.

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
        """The vector format's name in file names and options: `48.int8`, on principal axes `48a.int8`."""
        return f"{self.dimension}{AXES if self.axes else ''}.{self.precision}"

    @property
    def in_words(self) -> str:
        """The vector format in sentences: `48 dimensions in int8`, `48 principal axes in int8`."""
        return f"{describe_cut(self.dimension, self.axes)} in {self.precision}"

    @property
    def bytes(self) -> int:
        """Bytes of one vector, rounded up to whole bytes."""
        bits = BITS[self.precision]
        return -(-self.dimension * bits // 8) + (CORRECTION if bits < 8 else 0)


@dataclass(frozen=True)
class Point(ReadByName):
    """One way to rank documents: a system, such as a model, at one dimension and precision if the system has vectors.

    Attributes:
        system: name of the system.
        dimension: dimension of the vectors; None for a system without vectors.
        precision: number format of the vectors, a name in `BITS`; None for a system without vectors.
        bytes_per_vector: stored bytes per document; None for a system without vectors.
        kind: `plain` for vectors alone, `bm25` for keyword search, `hybrid` for both fused, or `two-stage`.
        bytes_scanned: bytes per document that the first of two stages reads; None without two stages.
        axes: whether vectors are rotated to the documents' principal axes before they are shortened.
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
        """Make the point of a system in one vector format."""
        return cls(system, stored.dimension, stored.precision, stored.bytes, kind, axes=stored.axes)

    @classmethod
    def parse(cls, name: str) -> Point:
        """Read a point's name: `mnr.48.int8`, or `bm25` for a system without vectors.

        Args:
            name: name of a point.

        Returns:
            A plain point; the kind is not part of the name.
        """
        system, *parts = name.rsplit(".", 2)
        try:
            return cls.of(system, VectorFormat.parse(".".join(parts)))
        except ValueError:
            return cls(name, None, None)

    @property
    def format(self) -> VectorFormat:
        """The point's vector format; raises ValueError for a system without vectors."""
        if self.dimension is None or self.precision is None:
            raise ValueError(f"{self.system} has no vectors")
        return VectorFormat(self.dimension, self.precision, self.axes)

    @property
    def name(self) -> str:
        """The point's name in run files and comparisons: `mnr.48.int8`, `mnr.48a.int8` on principal axes, `bm25`."""
        return self.system if self.dimension is None else f"{self.system}.{self.format.name}"

    @property
    def cut(self) -> str:
        """The dimension of the vectors as text: `48`, or `48 axes` on principal axes; empty without vectors."""
        return "" if self.dimension is None else name_cut(self.dimension, self.axes)

    @property
    def bytes(self) -> int:
        """Stored bytes of a document's vector; 0 for a system without vectors."""
        return self.bytes_per_vector or 0

    @property
    def vectors(self) -> Point:
        """For a point that fuses vectors with keyword search, the point of the vectors alone; else this point."""
        if self.kind != HYBRID or self.dimension is None:
            return self
        return Point.of(self.system.removesuffix(FUSED), self.format)

    @property
    def options(self) -> str:
        """The options that name these vectors on the command line: `--system mnr --dimension 48 --precision int8`."""
        vectors = self.vectors
        size = f"--dimension {vectors.dimension} --precision {vectors.precision}{' --axes' * vectors.axes}"
        return f"--system {shlex.quote(vectors.system)} {size}"

    @property
    def is_alone(self) -> bool:
        """Whether the point searches by vectors alone or by keywords alone, neither fused nor in two stages."""
        return self.kind in (PLAIN, LEXICAL)

    @property
    def is_vectors(self) -> bool:
        """Whether the point searches by a system's vectors alone: without keyword search, and in one stage."""
        return self.kind == PLAIN and self.dimension is not None


def name_cut(dimension: int, axes: bool) -> str:
    """Format a dimension for a table's cell: `48`, or `48 axes` on principal axes."""
    return f"{dimension} axes" if axes else f"{dimension}"


def describe_cut(dimension: int, axes: bool) -> str:
    """Format a dimension for a sentence: `48 dimensions`, or `48 principal axes`."""
    return f"{dimension} {'principal axes' if axes else 'dimensions'}"


def name_first_stage(stored: VectorFormat) -> str:
    """Return the end of a two-stage system's name, such as `-via-48-int8`: the vector format of its first stage."""
    return f"-via-{stored.name.replace('.', '-')}"


AnyPoint = TypeVar("AnyPoint", bound=Point)


def full_width(points: Iterable[AnyPoint]) -> list[AnyPoint]:
    """Find each system's point with the largest vectors; systems without vectors (BM25) come first."""
    widest: dict[str, AnyPoint] = {}
    for point in points:
        best = widest.setdefault(point.system, point)
        if point.bytes > best.bytes:
            widest[point.system] = point
    return sorted(widest.values(), key=lambda point: point.dimension is not None)
