"""Finds the measured system, dimension and precision that a user names; the command line, API and server share this."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypedDict

from nestvec.errors import InputError
from nestvec.point import BM25, FULL, Point, VectorFormat
from nestvec.settings import option

if TYPE_CHECKING:
    from collections.abc import Sequence


class PointArguments(TypedDict, total=False):
    """System, dimension and precision that a user asks for, as keyword arguments."""

    system: str | None
    dimension: int | None
    precision: str | None
    axes: bool


@dataclass(frozen=True)
class PointSettings:
    """The system, dimension and precision that a user asks for; None stands for the recommended value."""

    system: str | None = option(None, "A measured system, such as mnr (the recommended one).")
    dimension: int | None = option(None, "Vector width (as recommended).")
    precision: str | None = option(None, "Precision: float32, int8 … (as recommended).")
    axes: bool = option(False, "Use vectors on PCA axes (as recommended, unless --dimension is given).")


NOTHING_NAMED = PointSettings()


class UnknownPointError(InputError):
    """The system, dimension and precision that the user named were not measured.

    Args:
        field: which input is wrong: `system`, `dimension`, `precision`, `dimensions` or `filter`.
        problem: the problem in words; may repeat the user's input.
        expected: the values that exist.
        file: the run's folder.
        hint: the problem without the user's input, for answers of a public server.

    Attributes:
        field: which input is wrong.
        message: the hint and the values that exist.
    """

    def __init__(
        self, field: str, problem: str, expected: str, *, file: object = None, hint: str = "not measured"
    ) -> None:
        super().__init__(problem, expected, file=file)
        self.field, self.message = field, f"{hint}; expected {expected}"


def choose_point(
    measured: Sequence[Point],
    default: Point | None,
    asked: PointSettings = NOTHING_NAMED,
    *,
    file: object = None,
) -> Point:
    """Find a measured point (a system at one dimension and precision) that a user asks for, perhaps only in part.

    A dimension or precision that the user does not give is the default's if the system is the same, or else full
    width and float32. Vectors are on principal axes if the user asks for that, or if no dimension is given and the
    default has axes.

    Args:
        measured: all points to choose from.
        default: the point to choose if the user names nothing; None if the user must name a system.
        asked: the system, dimension and precision that the user asks for; each may be None.
        file: the run's folder, for messages.

    Returns:
        One of `measured`.

    Raises:
        UnknownPointError: the point was not measured.
    """
    dimension, precision = asked.dimension, asked.precision
    named = default.system if asked.system is None and default is not None else asked.system
    own = [point for point in measured if point.system == named]
    if not own:
        systems = ", ".join(dict.fromkeys(point.system for point in measured))
        raise UnknownPointError("system", f"has no system {named!r}", f"one of {systems}", file=file)
    if named == BM25:
        return _choose_lexical(own[0], dimension, precision, file)
    widest = max(point.dimension or 0 for point in own)
    rest = default if default is not None and default.system == named else Point.of("", VectorFormat(widest, FULL))
    wanted = VectorFormat(
        rest.format.dimension if dimension is None else dimension,
        rest.format.precision if precision is None else precision,
        asked.axes or (dimension is None and rest.axes),
    )
    found = next((point for point in own if point.format == wanted), None)
    if found is not None:
        return found
    problem, where = f"did not measure {named} at {wanted.name}", " on principal axes" if wanted.axes else ""
    alike = [point.format for point in own if point.axes == wanted.axes]
    precisions = [stored.precision for stored in alike if stored.dimension == wanted.dimension]
    if precisions:
        raise UnknownPointError("precision", problem, f"one of {', '.join(precisions)}", file=file)
    if not alike:
        raise UnknownPointError(
            "dimension", problem, f"vectors without axes: {named} was not measured on principal axes", file=file
        )
    dimensions = ", ".join(dict.fromkeys(str(stored.dimension) for stored in alike))
    raise UnknownPointError("dimension", problem, f"one of the dimensions{where} {dimensions}", file=file)


def _choose_lexical(point: Point, dimension: int | None, precision: str | None, file: object) -> Point:
    """Choose BM25; UnknownPointError if the user gave a dimension or a precision, because BM25 has no vectors."""
    if dimension is None and precision is None:
        return point
    field = "precision" if dimension is None else "dimension"
    raise UnknownPointError(field, f"{BM25} has no vectors", f"{BM25} without a {field}", file=file)
