"""The input of a run, read and checked before anything is written."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from nestvec.data.grades import Grades, gains, read_grades
from nestvec.data.load import load_records
from nestvec.data.records import Records
from nestvec.data.split import HELD_OUT, Split, leak_free_split
from nestvec.errors import InputError
from nestvec.evaluation.surface import FULL, Catalogue, Topics
from nestvec.recommend import PRETRAINED
from nestvec.vectors.models import ModelFolder, find_model

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from nestvec.settings import Settings


@dataclass(frozen=True)
class Prepared:
    """The checked input of a run, before anything is written."""

    settings: Settings
    records: Records
    grades: Grades
    split: Split
    model: ModelFolder

    @property
    def relevant(self) -> NDArray[np.bool_]:
        """(n,) which records are relevant."""
        return self.records.grade >= self.grades.threshold

    @cached_property
    def gains(self) -> NDArray[np.int64]:
        """(n,) gain of each record."""
        return gains(self.records.grade, self.grades.lowest)

    @property
    def trained(self) -> tuple[str, ...]:
        """Systems to train; none at 0 epochs."""
        return self.settings.training.systems if self.settings.training.epochs else ()

    @property
    def systems(self) -> tuple[str, ...]:
        """Systems with vectors, in the order measured."""
        return (PRETRAINED, *self.trained)

    @property
    def inputs(self) -> dict[str, str]:
        """What the inputs hash to."""
        return {"source": self.records.sha256, "model": self.model.sha256}

    @property
    def dimensions(self) -> tuple[int, ...]:
        """Widths to measure, widest first; resolved by `prepare`."""
        return self.settings.evaluation.dimensions or ()

    @cached_property
    def catalogue(self) -> Catalogue:
        """Every document of the data set."""
        return Catalogue(self.records.document_ids, self.records.documents)

    @cached_property
    def topics(self) -> Topics:
        """The held-out queries with at least one relevant document."""
        answerable = np.zeros(len(self.records.queries), dtype=bool)
        answerable[self.records.query[self.relevant]] = True
        rows = np.flatnonzero(answerable & (self.split.query_labels != "train"))
        return Topics(rows, [self.records.query_ids[row] for row in rows], self.split.query_labels[rows])

    @property
    def asked(self) -> list[str]:
        """The topics' texts."""
        return [self.records.queries[row] for row in self.topics.rows]

    @property
    def unanswerable(self) -> dict[str, int]:
        """Held-out queries per split that no judged document answers: they are not measured."""
        labels, measured = self.split.query_labels, self.topics.splits
        return {split: int((labels == split).sum() - (measured == split).sum()) for split in HELD_OUT}


def prepare(settings: Settings) -> Prepared:
    """Read and check all input; writes nothing.

    Args:
        settings: what to do.

    Returns:
        The checked input with every setting resolved.

    Raises:
        InputError: something is wrong with it.
    """
    model = find_model(settings.training.model, settings.training.model_sha256)
    settings = _resolved(settings, model.width)
    records = load_records(settings.data, settings.seed)
    try:
        grades = read_grades(records.grade, settings.data.threshold)
        split = leak_free_split(records, records.grade >= grades.threshold, settings.split, settings.seed)
    except InputError as error:
        raise error.at(settings.data.source) from error
    return Prepared(settings, records, grades, split, model)


def _resolved(settings: Settings, width: int) -> Settings:
    """The settings with the widths filled in; the full width and precision are always measured."""
    given = settings.evaluation.dimensions or (width // 2, width // 4, width // 8)
    if (largest := max(given)) > width:
        raise InputError(f"--dimensions holds {largest}", f"numbers from 1 to {width}, the model's width")
    dimensions = tuple(sorted({width, *given}, reverse=True))
    precisions = tuple(dict.fromkeys((FULL, *settings.evaluation.precisions)))
    return replace(settings, evaluation=replace(settings.evaluation, dimensions=dimensions, precisions=precisions))
