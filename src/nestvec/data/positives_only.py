"""Gives every row grade 1, for tables that list relevant pairs only."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from nestvec.data.grader import Settled
from nestvec.data.labels import means_not_relevant
from nestvec.data.source import Finding
from nestvec.data.values import map_texts, parse_number
from nestvec.errors import InputError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from nestvec.data.source import Batch


class PositivesOnly:
    """Gives every row grade 1; documents that are not listed have grade 0.

    Args:
        column: the column of grades, if the table has one; a row whose grade means not relevant is bad.
    """

    estimated = False

    def __init__(self, column: str | None = None) -> None:
        self.unlisted: float | None = 0.0
        self._column = column

    def read(self, batch: Batch) -> NDArray[np.float64]:
        """Return (n, 1) ones; NaN for a row whose grade says that the document is not relevant."""
        if self._column is None:
            return np.ones((batch.values.num_rows, 1))
        return map_texts(batch, self._column, _grade_pair, missing=1.0)[:, None]

    def explain(self, batch: Batch, index: int) -> InputError:
        """Make the error for a row that is not a relevant pair."""
        value, row = batch.values.column(self._column or "")[index].as_py(), int(batch.rows[index])
        wanted = "a relevant pair in every row; remove --positives-only to read the grades"
        return InputError(f"is {str(value)[:60]!r}", wanted, file=batch.file, row=row, column=self._column)

    def settle(self, values: NDArray[np.float64], query: NDArray[np.int64], document: NDArray[np.int64]) -> Settled:
        """Return grade 1 for all rows."""
        del query, document
        action = "Every row counts as a relevant pair of grade 1, and whatever is not listed as grade 0."
        if self._column is not None:
            action += f" The grades of column {self._column!r} are not used."
        return Settled(np.arange(len(values)), values[:, 0], [Finding("positives only", len(values), action)])


def _grade_pair(text: str) -> float:
    """Return 1, or NaN for a grade of 0 or less, or a label that means not relevant."""
    number = parse_number(text)
    negative = means_not_relevant(text) if number is None else number <= 0
    return np.nan if negative else 1.0
