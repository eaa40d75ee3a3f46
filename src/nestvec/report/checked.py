"""Types for the content of `check.json`, the result of `nestvec check`."""

from __future__ import annotations

from dataclasses import dataclass

from nestvec.recommending.power import HeldOut
from nestvec.runs.schema import Audit, Finding, Grades


@dataclass(frozen=True)
class Spread:
    """A distribution of counts or lengths: minimum, maximum, mean, and four percentiles."""

    min: float
    p25: float
    median: float
    p75: float
    p95: float
    max: float
    mean: float


@dataclass(frozen=True)
class Lengths(Spread):
    """Lengths of texts in tokens, and how many tokens the model would cut off."""

    counted: int  # texts; fewer than all where a sample was drawn
    too_long: int  # texts longer than the model's limit
    tokens_cut: int
    share_cut: float  # of all tokens


@dataclass(frozen=True)
class Tokens:
    """Lengths of queries and documents in tokens; `limit` is the model's maximum, None if it has none."""

    model: str
    limit: int | None
    queries: Lengths
    documents: Lengths


@dataclass(frozen=True)
class NearDuplicates:
    """Documents that share nearly all their words with another document."""

    compared: int
    threshold: float  # Jaccard similarity of the sets of words
    documents: int
    identical: int  # of `documents`: those with exactly the same words as another document
    groups: int
    examples: tuple[tuple[str, ...], ...]


@dataclass(frozen=True)
class Recurring:
    """How many distinct queries or documents the test split has, and how many of these are also in training."""

    test: int
    in_training: int


@dataclass(frozen=True)
class RowSplit:
    """What a split of single rows would leak from test into training, if texts are compared in one way."""

    shares: dict[str, float]
    recurring: dict[str, Recurring]


@dataclass(frozen=True)
class Checked:
    """The content of `check.json`; `row_split` has a key for each way to compare texts: `exact` and `normalised`."""

    source: str
    sha256: str
    revision: str | None
    synthetic: bool
    records: int
    queries: int
    documents: int
    judged_per_query: Spread
    relevant_per_query: Spread
    queries_without_relevant: int
    unjudged_documents: int
    held_out: HeldOut
    grades: Grades
    tokens: Tokens | None  # None where no tokenizer was there to count them
    findings: tuple[Finding, ...]
    near_duplicates: NearDuplicates
    row_split: dict[str, RowSplit]
    split: Audit
    warnings: tuple[str, ...]
