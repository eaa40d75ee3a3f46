"""Which measured point is meant by what a user names: the same rule for the command line, the API and the server."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypedDict

from nestvec.errors import InputError
from nestvec.point import BM25, FULL, Point, VectorFormat
from nestvec.settings import option

if TYPE_CHECKING:
    from collections.abc import Sequence


class PointArguments(TypedDict, total=False):
    """The fields of `PointSettings` as keyword arguments."""

    system: str | None
    dimension: int | None
    precision: str | None
    axes: bool


@dataclass(frozen=True)
class PointSettings:
    """Which of the points that were measured is meant; what is not named is as recommended."""

    system: str | None = option(None, "The system; must be named where the run recommends none.")
    dimension: int | None = option(None, "The width (as recommended).")
    precision: str | None = option(None, "The precision (as recommended).")
    axes: bool = option(False, "Vectors on the documents' principal axes (as recommended, where no width is named).")


NOTHING_NAMED = PointSettings()


class UnknownPointError(InputError):
    """The point that was named was not measured.

    Args:
        field: what is wrong: `system`, `dimension`, `precision`, `dimensions` or `filter`.
        problem: what is wrong, in words; may repeat what was named.
        expected: what there is.
        file: the run's folder.
        hint: the problem without what was named, for answers to strangers.

    Attributes:
        field: as given.
        message: hint and what there is.
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
    """Find the point that is meant by system, dimension and precision, any of which may be left out.

    What is left out is the default's where the default is of the same system, else the full width and float32. Vectors
    are on principal axes where that is asked for, or where no dimension is named and the default's are.

    Args:
        measured: all points that can be meant.
        default: the point that is meant when nothing is named; None where a system must be named.
        asked: what is named of the point.
        file: the run's folder, for messages.

    Returns:
        One of `measured`.

    Raises:
        UnknownPointError: such a point was not measured.
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
            "dimension", problem, f"a point without axes: {named} was not cut along them", file=file
        )
    dimensions = ", ".join(dict.fromkeys(str(stored.dimension) for stored in alike))
    raise UnknownPointError("dimension", problem, f"one of the dimensions{where} {dimensions}", file=file)


def _choose_lexical(point: Point, dimension: int | None, precision: str | None, file: object) -> Point:
    """BM25, which no dimension or precision goes with."""
    if dimension is None and precision is None:
        return point
    field = "precision" if dimension is None else "dimension"
    raise UnknownPointError(field, f"{BM25} has no vectors", f"no {field}: {BM25} has no vectors", file=file)
