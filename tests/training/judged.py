"""A few judgements made by hand, of every kind that training tells apart; and a larger table with its split."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from tables import load, rows, write_csv

from nestvec.data.grades import read_grades
from nestvec.data.records import Records
from nestvec.data.split import PARTS, split_records
from nestvec.data.task import make_task
from nestvec.settings import DataSettings, SplitSettings
from nestvec.training.examples import TrainingData
from nestvec.training.systems import SYSTEMS

if TYPE_CHECKING:
    from pathlib import Path

    from nestvec.training.examples import Examples

QUERIES = ("hammer", "saw for steel", "drill", "rake", "level", "ladder", "something to dig with in the garden", "18 V")
DOCUMENTS = (
    "Claw hammer, 20 oz, with a handle of hickory",
    "CLAW hammer,  20 oz, with a handle of hickory",  # the same once normalised
    "Hacksaw",
    "Cordless drill driver with two batteries and a charger in a case " + "that is easy to carry " * 9,
    "Handle for a hammer",
    "Hacksaw blades, pack of ten",
    "Spirit level",
    "Round point shovel, long handle",
    "Battery of 18 V",
    "Sledge hammer",
)
# numbers of the documents in `Texts`, where twins are one
CLAW, HACKSAW, DRILL, HANDLE, BLADES, LEVEL, SHOVEL, BATTERY, SLEDGE = range(9)
HAMMER, SAW, DRILLING, RAKE, LEVELLING, CLIMBING, DIGGING, VOLTS = range(8)  # rows of the queries
RELEVANT = 2000  # gain of grade 3; 2.5 is worth finding too, 2 is neither that nor a negative, 1 and 1.5 are negatives
JUDGED = (  # query, place in DOCUMENTS, grade, part
    (HAMMER, 0, 3, "train"),
    (HAMMER, 1, 2, "train"),  # its twin has the higher grade
    (HAMMER, 2, 1, "train"),
    (HAMMER, 3, 1.5, "train"),
    (HAMMER, 4, 2, "train"),
    (HAMMER, 6, 3, "withheld"),
    (HAMMER, 9, 3, "train"),
    (SAW, 2, 3, "train"),
    (SAW, 0, 1, "train"),
    (SAW, 5, 3, "train"),
    (SAW, 3, 1.5, "train"),
    (SAW, 8, 2.5, "train"),
    (DRILLING, 3, 3, "train"),  # one positive, nothing else
    (RAKE, 5, 1, "train"),  # nothing relevant
    (RAKE, 4, 2, "train"),
    (LEVELLING, 6, 3, "validation"),
    (LEVELLING, 0, 1, "validation"),
    (LEVELLING, 4, 2, "validation"),
    (CLIMBING, 3, 3, "test"),
    (DIGGING, 7, 3, "train"),
    (VOLTS, 8, 3, "train"),
)


class Judged(TrainingData):
    """Records, their grades and split, and their texts."""

    def examples(self, system: str, seed: int = 0) -> Examples:
        """What a system learns from."""
        return SYSTEMS[system].rows(self, seed)


def by_hand() -> Judged:
    """The judgements above; a gain is 1000 times the grade less 1, relevant from 2000 on."""
    query, document, grade, part = zip(*JUDGED, strict=True)
    records = Records(
        QUERIES,
        tuple(f"q{row}" for row in range(len(QUERIES))),
        DOCUMENTS,
        tuple(f"d{row}" for row in range(len(DOCUMENTS))),
        np.array(query),
        np.array(document),
        np.array(grade, dtype=np.float64),
    )
    parts = np.array([PARTS.index(name) for name in part], dtype=np.int8)
    return _judged(records, parts, "leak-free", threshold=3.0)


def from_table(folder: Path, protocol: str = "leak-free", queries: int = 60) -> Judged:
    """The usual table: grades 3, 3, 2, 1, 1 for each query, relevant from 2.5 on."""
    records = load(write_csv(folder / "judged.csv", rows(queries)))
    parts = split_records(records, DataSettings(), SplitSettings(protocol=protocol), seed=42)
    return _judged(records, parts, protocol, threshold=2.5)


def _judged(records: Records, parts: np.ndarray, protocol: str, threshold: float) -> Judged:
    grades = read_grades(records.grade, threshold)
    return Judged.of(records, grades, make_task(records, grades, parts, protocol))
