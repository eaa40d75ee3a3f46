"""Chooses how a source's grades are made: from its column of grades, from its clicks, or as 1 for relevant pairs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nestvec.data.click_log import ClickLog
from nestvec.data.grade_column import GradeColumn
from nestvec.data.positives_only import PositivesOnly
from nestvec.errors import InputError

if TYPE_CHECKING:
    from nestvec.data.columns import Columns
    from nestvec.data.grader import Grader
    from nestvec.data.source import Source
    from nestvec.settings import DataSettings


def open_grader(source: Source, columns: Columns, settings: DataSettings) -> Grader:
    """Make the grader of a source.

    Args:
        source: the opened source, for the grade of documents that are not listed.
        columns: the columns of the source, with the column of grades or the columns of a click log.
        settings: the numbers of labels, the range of grades, and whether all rows are relevant pairs.

    Returns:
        The grader.

    Raises:
        InputError: settings contradict each other, or `--grades` cannot be read.
    """
    if settings.positives_only:
        if settings.grades:
            raise InputError("--positives-only and --grades are both given", "one of them")
        return PositivesOnly(columns.grade)
    if columns.grade is not None:
        return GradeColumn(columns.grade, settings, source.unlisted, source.decimal_comma)
    if columns.clicks is None:
        wanted = "--grade to name the column, or --positives-only"
        raise InputError("there is no column of grades", wanted, file=source.name)
    for name, value in (("--grades", settings.grades), ("--grade-range", settings.grade_range)):
        if value is not None:
            problem = f"{name} is given, and the table has clicks and no grades"
            raise InputError(problem, "--grade to name the column of grades", file=source.name)
    return ClickLog(columns.clicks)
