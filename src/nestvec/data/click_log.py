"""Reads a click log row by row, and estimates a grade for each document of a query."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from nestvec.data.click_model import Exposed, grade_counts, grade_rates, sum_by
from nestvec.data.grader import Settled
from nestvec.data.source import Finding
from nestvec.data.values import map_texts, parse_number
from nestvec.errors import InputError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from nestvec.data.click_columns import ClickColumns
    from nestvec.data.click_model import Estimate
    from nestvec.data.source import Batch

_MOST = 1e12  # largest count in a row
_YES_NO = {"true": 1.0, "yes": 1.0, "false": 0.0, "no": 0.0}
_EXACT = 10  # positions beyond this one are pooled: 11 to 20, 21 to 40, 41 to 80 …


class ClickLog:
    """Estimates grades from clicks; the clicks in rows of the same query and document are added up.

    Args:
        columns: the log's columns of clicks, impressions and positions.
    """

    unlisted: float | None = None
    estimated = True

    def __init__(self, columns: ClickColumns) -> None:
        self._columns = columns

    def read(self, batch: Batch) -> NDArray[np.float64]:
        """Read clicks, impressions and position of n rows as (n, 3); 1 for a missing column, NaN for a bad value."""
        columns = self._columns
        parts = [
            np.ones(batch.values.num_rows) if name is None else map_texts(batch, name, _read_count, np.nan)
            for name in _all(columns)
        ]
        return np.stack(parts, axis=1)

    def explain(self, batch: Batch, index: int) -> InputError:
        """Make the error for a row whose clicks, impressions or position are missing or not a count."""
        values = {name: batch.values.column(name)[index].as_py() for name in self._columns.names}
        texts = {name: "" if value is None else str(value).strip() for name, value in values.items()}
        column = next(name for name, text in texts.items() if np.isnan(_read_count(text)))
        problem = f"is {texts[column][:60]!r}" if texts[column] else "is empty"
        row = int(batch.rows[index])
        return InputError(problem, "a count: a number of 0 or more", file=batch.file, row=row, column=column)

    def settle(self, values: NDArray[np.float64], query: NDArray[np.int64], document: NDArray[np.int64]) -> Settled:
        """Estimate a grade for each document of a query, in the order of their first rows."""
        clicks, shown, position = values.T
        key = query * (int(document.max()) + 1) + document
        _, first, pair = np.unique(key, return_index=True, return_inverse=True)
        place, findings = _pool_positions(position), list[Finding]()
        if self._columns.impressions is None and not _is_each_shown(clicks):
            estimate = self._grade_counts(query[first], pair, clicks, place)
        else:
            times = sum_by(pair, shown, len(first))
            seen = times > 0
            if not seen.any():
                expected = "a number above 0 in at least one row"
                raise InputError(
                    "no search result was shown to anybody: the impressions are all 0",
                    expected,
                    column=self._columns.impressions,
                )
            if not seen.all():
                action = "They are left out: nobody can have clicked them."
                findings.append(Finding("documents that were never shown", int((~seen).sum()), action))
            if (excess := clicks > shown).any():
                action = "Counted as clicked as often as shown."
                findings.append(Finding("rows with more clicks than times shown", int(excess.sum()), action))
            kept, number = (shown > 0) & seen[pair], np.cumsum(seen) - 1
            log = _add_up(number[pair[kept]], np.minimum(clicks, shown)[kept], shown[kept], place[kept])
            first, estimate = first[seen], grade_rates(log, int(seen.sum()))
        rows = np.argsort(first)
        findings.insert(0, Finding("grades estimated from clicks", len(first), self._describe(estimate)))
        return Settled(first[rows], estimate.grades[rows], findings)

    def _grade_counts(
        self,
        query: NDArray[np.int64],
        pair: NDArray[np.int64],
        clicks: NDArray[np.float64],
        place: NDArray[np.int64],
    ) -> Estimate:
        """Estimate grades without impressions; a document's position is the one where it had the most clicks."""
        total = sum_by(pair, clicks, len(query))
        if self._columns.position is None:
            return grade_counts(query, total)
        order = np.lexsort((place, -clicks, pair))
        best = place[order][np.searchsorted(pair[order], np.arange(len(query)))]
        return grade_counts(query, total, best)

    def _describe(self, estimate: Estimate) -> str:
        """Describe which columns of the click log were read, and what the click model assumes."""
        columns = self._columns
        roles = zip(("clicks", "times shown", "position"), _all(columns), strict=True)
        used = ", ".join(f"{role} from {name!r}" for role, name in roles if name)
        return f"By a click model, from these columns: {used}. {estimate.assumed}"


def _all(columns: ClickColumns) -> tuple[str, str | None, str | None]:
    return columns.clicks, columns.impressions, columns.position


def _read_count(text: str) -> float:
    """Parse a count, or a yes or no value as 1 or 0; gives NaN for anything else."""
    count = _YES_NO.get(text.lower(), parse_number(text))
    return np.nan if count is None or not 0 <= count <= _MOST else count


def _is_each_shown(clicks: NDArray[np.float64]) -> bool:
    """Whether each row is one impression: every row has 0 or 1 clicks, and some rows have 0.

    If all rows have 1 click, the log does not list the documents that were shown and not clicked.
    """
    return bool(np.isin(clicks, (0, 1)).all() and (clicks == 0).any())


def _pool_positions(position: NDArray[np.float64]) -> NDArray[np.int64]:
    """Round positions to whole numbers; positions in 11 to 20, 21 to 40 and so on become the first of their range."""
    whole = np.round(position).astype(np.int64)
    beyond = np.maximum(whole, _EXACT + 1)
    doublings = np.floor(np.log2((beyond - 1) / _EXACT)).astype(np.int64)
    return np.where(whole <= _EXACT, whole, _EXACT * 2**doublings + 1)


def _add_up(
    pair: NDArray[np.int64], clicks: NDArray[np.float64], shown: NDArray[np.float64], place: NDArray[np.int64]
) -> Exposed:
    """Add up clicks and impressions of rows with the same query and document at the same position."""
    places = int(place.max()) + 1
    keys, group = np.unique(pair * places + place, return_inverse=True)
    size = len(keys)
    return Exposed(keys // places, sum_by(group, clicks, size), sum_by(group, shown, size), keys % places)
