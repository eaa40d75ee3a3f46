"""Types for the content of `check.json`, the result of `nestvec check`."""

from __future__ import annotations

from dataclasses import dataclass

from nestvec.recommending.power import HeldOut
from nestvec.runs.schema import Audit, Finding, Grades


@dataclass(frozen=True)
class Spread:
    """A distribution of counts or lengths, summarised in seven numbers."""

    min: float
    p25: float
    median: float
    p75: float
    p95: float
    max: float
    mean: float


@dataclass(frozen=True)
class Lengths(Spread):
    """Lengths of texts in tokens, and what the model would cut off."""

    counted: int  # texts; fewer than all where a sample was drawn
    too_long: int  # texts longer than the model's limit
    tokens_cut: int
    share_cut: float  # of all tokens


@dataclass(frozen=True)
class Tokens:
    """Lengths of queries and documents; `limit` is the model's maximum in tokens, None where there is no limit."""

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
    """How many distinct texts the test part has, and how many of the texts are also in the training part."""

    test: int
    in_training: int


@dataclass(frozen=True)
class RowSplit:
    """What a split by row would leak from test into training, by one comparison of texts (`exact` or `normalised`)."""

    shares: dict[str, float]
    recurring: dict[str, Recurring]


@dataclass(frozen=True)
class Checked:
    """The content of `check.json`; keys of `row_split` are `exact` and `normalised`, the ways to compare texts."""

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
