"""What makes a record's grade from a row, as everything that reads records sees it.

A grader reads batches as they come, names what is wrong with a row, and gives the grades when all rows are there.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, Protocol

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from nestvec.data.source import Batch, Finding
    from nestvec.errors import InputError


class Settled(NamedTuple):
    """The grades of n rows, once all were read.

    Attributes:
        rows: (m,) the rows that make records, ascending.
        grade: (m,) their grades.
        findings: what was assumed.
    """

    rows: NDArray[np.int64]
    grade: NDArray[np.float64]
    findings: list[Finding]


class Grader(Protocol):
    """Makes grades.

    Attributes:
        unlisted: the grade of whatever is not listed, where that is known.
        estimated: whether the grades are estimates, not somebody's judgements.
    """

    unlisted: float | None
    estimated: bool

    def read(self, batch: Batch) -> NDArray[np.float64]:
        """(n, k) numbers of a batch's rows; NaN where a row is bad."""

    def explain(self, batch: Batch, index: int) -> InputError:
        """The error for a bad row of the batch."""

    def settle(self, values: NDArray[np.float64], query: NDArray[np.int64], document: NDArray[np.int64]) -> Settled:
        """The grades of all good rows: what `read` gave of them, and whose they are; InputError if there are none."""
