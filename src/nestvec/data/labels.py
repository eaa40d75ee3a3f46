"""Grades in words: the number of each label, from `--grades` or from the scale of a well-known collection."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from nestvec.data.nested import LARGEST_EXACT
from nestvec.data.values import parse_number
from nestvec.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence

_SHOWN = 12  # labels that a message shows
_NOT_PLAIN = re.compile(r"[^\w=,.…+-]")  # what a shell may not pass on as it stands
_EXAMPLE = "labels with a number each: Exact=3,Partial=1,Irrelevant=0"


@dataclass(frozen=True)
class Scale:
    """A set of labels that are used together.

    Attributes:
        name: the scale's name, for the finding that says how labels were read.
        grades: each label, normalised by `normalise_label`, mapped to its grade.
    """

    name: str
    grades: Mapping[str, float]


# ESCI's are the gains of its ranking task, so that nDCG is the published one's; source: Reddy et al. 2022, section 3.
# If several scales hold all labels of a table, the first one is used.
SCALES = (
    Scale("yes or no", {"true": 1, "false": 0}),
    Scale("yes or no", {"yes": 1, "no": 0}),
    Scale("yes or no", {"t": 1, "f": 0}),
    Scale("yes or no", {"y": 1, "n": 0}),
    Scale("relevant or not", {"relevant": 1, "irrelevant": 0, "not relevant": 0, "non relevant": 0, "nonrelevant": 0}),
    Scale("WANDS's labels", {"exact": 2, "partial": 1, "irrelevant": 0}),
    Scale("ESCI's labels, with its ranking task's gains", {"e": 1.0, "s": 0.1, "c": 0.01, "i": 0.0}),
    Scale(
        "ESCI's labels, with its ranking task's gains",
        {"exact": 1.0, "substitute": 0.1, "complement": 0.01, "irrelevant": 0.0},
    ),
    Scale(
        "three grades of relevance",
        {"highly relevant": 2, "relevant": 1, "irrelevant": 0, "not relevant": 0, "non relevant": 0, "nonrelevant": 0},
    ),
    Scale(
        "three grades of relevance",
        {"relevant": 2, "partially relevant": 1, "irrelevant": 0, "not relevant": 0, "non relevant": 0},
    ),
    Scale(
        "four grades of relevance",
        {"highly relevant": 3, "relevant": 2, "partially relevant": 1, "irrelevant": 0, "not relevant": 0},
    ),
    Scale(
        "four grades of relevance",
        {"perfectly relevant": 3, "highly relevant": 2, "related": 1, "irrelevant": 0, "not relevant": 0},
    ),
    Scale("web search's five grades", {"perfect": 4, "excellent": 3, "good": 2, "fair": 1, "bad": 0}),
)
_SPELLINGS = {"marginally relevant": "partially relevant", "somewhat relevant": "partially relevant"}
_SPELLINGS |= {"very relevant": "highly relevant"}


def normalise_label(label: str) -> str:
    """Normalise a label for comparison: lower case, stripped, with blanks for dashes and underscores.

    A number is normalised as a number, so that 1 and 1.0 are the same.
    """
    number = parse_number(label.strip())
    if number is not None and abs(number) <= LARGEST_EXACT:
        return repr(number)
    words = re.sub(r"[\s_-]+", " ", label.casefold()).strip()
    return words or label.strip()


def read_mapping(given: Sequence[str]) -> dict[str, tuple[str, float]]:
    """Parse `--grades`.

    Args:
        given: items such as `Exact=3`.

    Returns:
        Each normalised label, mapped to the label as typed and its grade.

    Raises:
        InputError: an item has no number, or a label is given twice.
    """
    mapping: dict[str, tuple[str, float]] = {}
    for item in given:
        label, sign, number = (part.strip() for part in item.rpartition("="))
        try:
            grade = float(number)
        except ValueError:
            grade = float("nan")
        if not (label and sign and abs(grade) <= LARGEST_EXACT):  # NaN is not
            raise InputError(f"--grades holds {item!r}", _EXAMPLE)
        key = normalise_label(label)
        if key in mapping:
            raise InputError(f"--grades names the label {label!r} twice", "each label once, whatever its case")
        mapping[key] = label, grade
    return mapping


def find_scale(labels: Collection[str]) -> dict[str, float] | None:
    """Return the labels' grades on the first scale that has all of them (normalised); None if no scale has."""
    scale = _find(labels)
    return None if scale is None else {label: float(scale.grades[_spell(label)]) for label in labels}


def name_scale(labels: Collection[str]) -> str:
    """Return the name of the scale that has all the labels; an empty text if no scale has them."""
    scale = _find(labels)
    return "" if scale is None else scale.name


def means_not_relevant(label: str) -> bool:
    """Whether some scale has the label, and every scale that has it gives it grade 0."""
    grades = [scale.grades[key] for scale in SCALES if (key := _spell(normalise_label(label))) in scale.grades]
    return bool(grades) and not any(grades)


def ask_for_grades(labels: Iterable[str]) -> str:
    """Write a `--grades` option with the unknown labels, for the user to fill in; quoted if a shell would split it."""
    names = list(dict.fromkeys(labels))
    rest = f" … ({len(names)} labels in all)" if len(names) > _SHOWN else ""
    items = ",".join(f"{name[:40]}=…" for name in names[:_SHOWN])
    return f'--grades "{items}"{rest}' if _NOT_PLAIN.search(items) else f"--grades {items}{rest}"


def show_mapping(grades: Mapping[str, float]) -> str:
    """Write labels with their grades, the highest grade first: `Exact=3, Partial=1`."""
    ordered = sorted(grades.items(), key=lambda item: -item[1])
    return ", ".join(f"{label}={grade:g}" for label, grade in ordered)


def _find(labels: Collection[str]) -> Scale | None:
    spelt = {_spell(label) for label in labels}
    return next((scale for scale in SCALES if spelt <= set(scale.grades)), None)


def _spell(label: str) -> str:
    """Replace a label's variant spelling by the one that the scales use."""
    return _SPELLINGS.get(label, label)
