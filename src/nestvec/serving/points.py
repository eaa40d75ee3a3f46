"""The points of a run that can be asked, and which of them is meant by what is named."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nestvec.point import BM25, PLAIN, Point, full_width

if TYPE_CHECKING:
    from nestvec.runs.finished import Finished


class UnknownPointError(Exception):
    """What was asked for is not there.

    Args:
        field: what is wrong: `system`, `dimension`, `precision`, `dimensions` or `filter`.
        message: what there is; what was asked for is not repeated, as it may be anything.
    """

    def __init__(self, field: str, message: str) -> None:
        super().__init__(message)
        self.field, self.message = field, message


class Points:
    """Vectors as they are, and BM25; as measured on test.

    Args:
        finished: the run.

    Attributes:
        measured: system to its points, in the surface's order; BM25 is the last.
        default: what is recommended, or else the run's best at full width.
    """

    def __init__(self, finished: Finished) -> None:
        rows = [row for row in finished.points.values() if row.kind == PLAIN]
        points = [Point(row.system, row.dimension, row.precision, row.bytes_per_vector) for row in rows]
        systems = sorted(dict.fromkeys(point.system for point in points), key=lambda name: name == BM25)
        self.measured = {name: [point for point in points if point.system == name] for name in systems}
        self.default = next(point for point in points if point.name == finished.chosen.name)
        self._full = {point.system: point for point in full_width(points)}

    def of(self, system: str | None, dimension: int | None, precision: str | None) -> Point:
        """The point that is meant: what is not named is the default's if the system is its own, else full.

        Args:
            system: None means the default's.
            dimension: one of those measured.
            precision: one of those measured.

        Returns:
            The point.

        Raises:
            UnknownPointError: it was not measured.
        """
        name = self.default.system if system is None else system
        if name not in self.measured:
            raise UnknownPointError("system", f"no such system; there are {', '.join(self.measured)}")
        rest = self.default if name == self.default.system else self._full[name]
        wanted = rest.dimension if dimension is None else dimension, rest.precision if precision is None else precision
        points = self.measured[name]
        for point in points:
            if (point.dimension, point.precision) == wanted:
                return point
        if name == BM25:
            raise UnknownPointError("precision" if dimension is None else "dimension", f"{BM25} has no vectors")
        of_width = [point.precision for point in points if point.dimension == wanted[0]]
        if not of_width:
            widths = dict.fromkeys(str(point.dimension) for point in points)
            raise UnknownPointError("dimension", f"not measured; {name} was at {', '.join(widths)}")
        raise UnknownPointError("precision", f"not measured; {name} was in {', '.join(filter(None, of_width))}")
