"""The interface of graders, which make the records' grades from a source's rows.

A grader reads batches as they come, explains what is wrong with a bad row, and returns the grades after the last row.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, Protocol

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from nestvec.data.source import Batch, Finding
    from nestvec.errors import InputError


class Settled(NamedTuple):
    """The grades that a grader returns after it has read all rows of a source.

    Attributes:
        rows: (m,) the numbers of the rows that become records, ascending.
        grade: (m,) the grades of these rows.
        findings: how grades were read, and what was assumed.
    """

    rows: NDArray[np.int64]
    grade: NDArray[np.float64]
    findings: list[Finding]


class Grader(Protocol):
    """Makes grades from a source's rows.

    Attributes:
        unlisted: the grade of documents that are not listed for a query; None if it is not known.
        estimated: whether the grades are estimates (from clicks) and not judgements by people.
    """

    unlisted: float | None
    estimated: bool

    def read(self, batch: Batch) -> NDArray[np.float64]:
        """Read the n rows of a batch as k numbers each, from which the grades are made; NaN for a bad row."""

    def explain(self, batch: Batch, index: int) -> InputError:
        """Make the error that says what is wrong with a bad row of the batch."""

    def settle(self, values: NDArray[np.float64], query: NDArray[np.int64], document: NDArray[np.int64]) -> Settled:
        """Make the grades of all good rows, from what `read` returned; InputError if no grades can be made."""
