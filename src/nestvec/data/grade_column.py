"""Reads grades from a column of numbers or of labels in words."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from nestvec.data.click_columns import CLICKS
from nestvec.data.grader import Settled
from nestvec.data.labels import ask_for_grades, find_scale, name_scale, normalise_label, read_mapping, show_mapping
from nestvec.data.nested import LARGEST_EXACT
from nestvec.data.source import Batch, Finding
from nestvec.data.values import DecimalMarks, parse_number, text_column
from nestvec.errors import InputError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from nestvec.settings import DataSettings

GRADES_IN_WORDS = "grades in words"  # the name of a finding
LARGEST_GRADE = 1e6  # beyond it, gains in thousandths leave the range of TREC's integers


class GradeColumn:
    """Reads grades from a column: numbers, or labels to which `--grades` or a known scale gives numbers.

    Args:
        column: the column's name.
        settings: the labels' grades (`grades`) and the range of grades (`grade_range`).
        unlisted: the grade of documents that are not listed; None where the source lists low grades itself.
        decimal_comma: whether numbers may have a decimal comma.
    """

    estimated = False

    def __init__(
        self, column: str, settings: DataSettings, unlisted: float | None = None, decimal_comma: bool = False
    ) -> None:
        self._decimal_comma, self._marks = decimal_comma, DecimalMarks()
        self.unlisted = unlisted
        self._column, self._named = column, settings.grade is not None
        self._mapping = read_mapping(settings.grades or ())
        low, high = settings.grade_range or (-LARGEST_GRADE, LARGEST_GRADE)
        self._range = max(low, -LARGEST_EXACT), min(high, LARGEST_EXACT)
        self._words: dict[str, str] = {}  # labels of a known scale as they are compared, to how the data writes them
        self._shown: list[str] = []  # labels that a message names
        self._numbers = False  # whether the column holds numbers: labels that no one gave a number are then bad
        self._used: Counter[str] = Counter()  # labels of the mapping

    def read(self, batch: Batch) -> NDArray[np.float64]:
        """Read the grades of n rows, or number their labels by first appearance; NaN for a bad row."""
        values = batch.values.column(self._column)
        if pa.types.is_integer(values.type) or pa.types.is_floating(values.type):
            if not self._mapping:
                self._numbers = True
                numbers = values.cast(pa.float64(), safe=False)  # an integer that is rounded is out of the range
                return self._keep_in_range(numbers.to_numpy(zero_copy_only=False))[:, None]
            values = values.cast(pa.string())
        else:
            values = text_column(batch, self._column)
            if self._decimal_comma:
                self._marks.check(batch, self._column)
        coded = pc.utf8_trim_whitespace(values).dictionary_encode()
        grades = self._read_numbers(coded.dictionary)
        if grades is None:
            labels = coded.dictionary.to_pylist()
            times = np.bincount(coded.indices.drop_null().to_numpy(), minlength=len(labels))
            grades = np.array([*map(self._read_label, labels, times.tolist())], dtype=np.float64)
        index = pc.fill_null(coded.indices, len(grades)).to_numpy(zero_copy_only=False)
        return np.asarray(np.append(grades, np.nan)[index][:, None], dtype=np.float64)

    def explain(self, batch: Batch, index: int) -> InputError:
        """Make the error for a row whose grade is missing, unknown or outside the range."""
        row = Batch(batch.file, batch.rows[index : index + 1], batch.values.slice(index, 1))
        text = (text_column(row, self._column)[0].as_py() or "").strip()
        problem = f"is {text[:60]!r}" if text else "is empty"
        low, high = self._range
        expected = f"a number from {low:,g} to {high:,g}"
        if self._mapping:
            expected = "one of the labels that --grades names: " + self._name_mapping()
        elif self._words:
            known = ", ".join(self._words.values())
            expected = f"a label of the same kind as {known}, or {self._ask_for_grades(batch, text)}"
        elif text and parse_number(text) is None and not self._numbers:
            expected += f", or {self._ask_for_grades(batch, text)}"
        return InputError(problem, expected, file=batch.file, row=int(batch.rows[index]), column=self._column)

    def settle(self, values: NDArray[np.float64], query: NDArray[np.int64], document: NDArray[np.int64]) -> Settled:
        """Return the grades of all good rows; InputError if the data has none of the labels that `--grades` names."""
        del query, document
        grade, findings = values[:, 0], list[Finding]()
        if self._mapping and not self._used:
            problem = f"--grades names {self._name_mapping()}, but no row has any of these labels"
            raise InputError(problem, "--grades with labels that occur in this column", column=self._column)
        if self._words:
            scale = find_scale(self._words) or {}
            grade = np.array([scale[label] for label in self._words])[grade.astype(np.int64)]
            mapping = {shown: scale[label] for label, shown in self._words.items()}
            action = (
                f"Read as numbers: {show_mapping(mapping)} ({name_scale(self._words)}); --grades sets other numbers."
            )
            findings.append(Finding(GRADES_IN_WORDS, len(grade), action))
        elif self._used:
            mapping = {label: number for label, number in self._mapping.values()}
            action = f"Read as numbers: {show_mapping(mapping)}, as --grades says."
            findings.append(Finding(GRADES_IN_WORDS, sum(self._used.values()), action))
        elif self._named and self._column.strip().lower() in CLICKS and grade.max(initial=0) > 1:
            action = (
                "Used as grades unchanged, so one outlier can dominate; without --grade, a click model estimates "
                "grades from the clicks."
            )
            findings.append(Finding("grades that are counts of clicks", len(grade), action))
        return Settled(np.arange(len(grade)), grade, findings)

    def _read_numbers(self, labels: pa.Array) -> NDArray[np.float64] | None:
        """Convert n labels to grades at once if all are plain numbers; None if a label may be something else."""
        if self._mapping or self._words or self._decimal_comma:
            return None
        try:
            numbers = labels.cast(pa.float64()).to_numpy(zero_copy_only=False)
        except pa.ArrowInvalid:
            return None
        self._numbers = self._numbers or len(numbers) > 0
        return self._keep_in_range(numbers)

    def _read_label(self, text: str, times: int) -> float:
        """Read the grade of a value, or the number of its label; NaN if the value is neither."""
        label = normalise_label(text)
        if label in self._mapping:
            self._used[label] += times
            return self._mapping[label][1]
        number = parse_number(text, decimal_comma=self._decimal_comma)
        if number is not None and not self._words and not any(map(_is_number, self._mapping)):
            self._numbers = True
            return float(self._keep_in_range(np.array([number]))[0])
        if number is not None or self._numbers or self._mapping or not text:
            return np.nan
        if label not in self._words:
            if find_scale([*self._words, label]) is None:
                return np.nan
            self._words[label] = text
        return float(list(self._words).index(label))

    def _name_mapping(self) -> str:
        """The labels and grades that the option `--grades` gives."""
        return ", ".join(label for label, _ in self._mapping.values())

    def _keep_in_range(self, grades: NDArray[np.float64]) -> NDArray[np.float64]:
        low, high = self._range
        kept: NDArray[np.float64] = np.where((grades >= low) & (grades <= high), grades, np.nan)
        return kept

    def _ask_for_grades(self, batch: Batch, text: str) -> str:
        return f"{ask_for_grades(self._list_labels(batch, text))} with a number for each label"

    def _list_labels(self, batch: Batch, first: str) -> list[str]:
        """List the labels of the first batch with an unknown label, the unknown one first, numbers left out."""
        if not self._shown:
            labels = pc.unique(pc.utf8_trim_whitespace(text_column(batch, self._column))).to_pylist()
            self._shown = [
                first,
                *(label for label in labels if label and label != first and parse_number(label) is None),
            ]
        return self._shown


def _is_number(text: str) -> bool:
    return parse_number(text) is not None
