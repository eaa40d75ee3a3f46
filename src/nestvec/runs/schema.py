"""Types for the JSON files in a run's folder and in the folder's `data/`.

`Results["surface"]` is the same as `Results.surface`, so that code written for the JSON also works on these objects.

All metrics lie between 0 and 1. A difference is one system's metric minus another system's.
"""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import Any

from nestvec.models.prompts import Prompts
from nestvec.point import BM25, BM25_DEFAULT, FULL, Point, ReadByName, VectorFormat

TEST, VALIDATION = "test", "validation"  # the splits that are measured
VALIDATED = ("recall@10", "ndcg@10")  # metrics of every validation during training
METRICS = ("recall@10", "mrr@10", "ndcg@10", "judged@10")  # metrics of every row
CHANCE = 0.05  # a corrected p-value below this is significant
_COLUMNS = (
    "system", "kind", "dimension", "precision", "axes", "bytes_per_vector", "bytes_scanned",
    "split", "queries", "documents",
)  # fmt: skip
_HAIR = 1e-6  # tolerance for rounding
BINS = 30  # bars of the grade histogram, if there are more levels than that


@dataclass(frozen=True)
class Measure(ReadByName):
    """The mean over queries of a metric, or of a metric's difference, with the ends of its 95 % interval."""

    value: float
    low: float
    high: float

    def __post_init__(self) -> None:
        """Raise ValueError unless the mean and both ends of the interval lie between -1 and 1."""
        if not self.is_from(-1):
            raise ValueError("value, low and high from -1 to 1")

    def is_from(self, least: float) -> bool:
        """Whether the mean and the ends of the interval lie between `least` and 1, except for rounding."""
        return all(least - _HAIR <= end <= 1 + _HAIR for end in (self.value, self.low, self.high))


@dataclass(frozen=True, kw_only=True)
class Row(Point):
    """One row of the results: the metrics of a system at one dimension and precision, on one split."""

    split: str
    queries: int
    documents: int
    metrics: dict[str, Measure]

    def __post_init__(self) -> None:
        """Raise ValueError if a row states impossible numbers of queries or bytes, or a metric outside 0 to 1."""
        if not all(measure.is_from(0) for measure in self.metrics.values()):
            raise ValueError("every metric from 0 to 1")
        if min(self.queries, self.documents, self.bytes, self.bytes_scanned or 0) < 0:
            raise ValueError("queries, documents and bytes of 0 or more")
        if self.dimension is not None:
            VectorFormat.parse(self.format.name)
        elif self.system not in (BM25, BM25_DEFAULT):
            raise ValueError("a dimension in each row of a system with vectors")

    @property
    def flat(self) -> dict[str, Any]:
        """The row as a flat dict: system, vector format, split, and for each metric the value and its interval."""
        row = {name: getattr(self, name) for name in _COLUMNS}
        for name, measure in self.metrics.items():
            row |= {name: measure.value, f"{name} low": measure.low, f"{name} high": measure.high}
        return row


@dataclass(frozen=True)
class Comparison(ReadByName):
    """A paired comparison of two measured systems, `a` minus `b`; `p_holm` is corrected for all comparisons."""

    a: str
    b: str
    split: str
    metric: str
    difference: float
    low: float
    high: float
    p: float
    p_holm: float
    effect: float = 0.0  # the mean divided by the standard deviation; 0 in runs of earlier versions
    wins: int = 0  # queries for which `a` is better
    ties: int = 0
    losses: int = 0

    @property
    def clear(self) -> bool:
        """Whether the difference is significant after Holm's correction."""
        return self.p_holm < CHANCE

    @property
    def turned(self) -> Comparison:
        """The same comparison with the two systems swapped: `b` minus `a`."""
        turned = {"difference": -self.difference, "low": -self.high, "high": -self.low, "effect": -self.effect}
        return replace(self, a=self.b, b=self.a, wins=self.losses, losses=self.wins, **turned)  # type: ignore[arg-type]


@dataclass(frozen=True)
class MeasuredWith(ReadByName):
    """SHA-256, in hex, of the files that a system was measured with: model, vectors and codecs."""

    model: dict[str, str] = field(default_factory=dict)  # of each file of the model's folder, and of its prompts
    vectors: str = ""  # of `embeddings/SYSTEM.npy`
    codecs: str = ""  # of `codecs.safetensors`


@dataclass(frozen=True)
class EncoderTrial(ReadByName):
    """How the vectors of a faster document encoder compare with float32: lowest cosine and change of recall@10."""

    encoder: str  # name of the faster encoder, such as `openvino bfloat16`
    documents: int  # number of documents that were encoded both ways
    queries: int  # number of queries that searched these documents
    cosine: float  # lowest cosine between the two vectors of a document
    change: float  # recall@10 of the queries among these documents: the faster encoder minus float32


@dataclass(frozen=True)
class EncodedBy(ReadByName):
    """The names of a system's query encoder and document encoder, such as `torch float32` and `openvino bfloat16`."""

    queries: str
    documents: str
    trial: EncoderTrial | None = None


@dataclass(frozen=True)
class Results(ReadByName):
    """The content of `results.json`."""

    source: str
    synthetic: bool
    relevant_from: int  # lowest relevant gain, in thousandths of a grade above `Grades.gain_zero`
    model: str
    full_dimension: int
    surface: tuple[Row, ...]
    comparisons: tuple[Comparison, ...]
    timings: dict[str, float]  # stage to seconds
    unanswerable: dict[str, int] = field(default_factory=dict)  # by split: queries without a relevant document
    missing_documents: dict[str, int] = field(default_factory=dict)  # by split: relevant documents not searched
    cutoffs: tuple[int, ...] = (10,)
    missing_models: dict[str, str] = field(default_factory=dict)  # by name: why a model was not measured
    codec_extras: dict[str, int] = field(default_factory=dict)  # by point: bytes stored once for all vectors
    protocol: str = ""  # how the records were split; empty in runs of earlier versions
    folds: int = 0  # number of folds; 0 without folds
    threshold: float | None = None  # lowest relevant grade
    prompts: dict[str, Prompts] = field(default_factory=dict)  # by system; empty in runs of earlier versions
    trained: tuple[str, ...] = ()  # systems in `training.json`; empty in runs of earlier versions
    measured_with: dict[str, MeasuredWith] = field(default_factory=dict)  # by system; empty in earlier versions
    encoded_by: dict[str, EncodedBy] = field(default_factory=dict)  # by system; empty in earlier versions
    starts: dict[str, str] = field(default_factory=dict)  # by trained system: the system that its training started from
    adapted_on: str = ""  # documents that `adapted` learnt from: `train`, `catalogue`, or empty if it was not trained

    def list_started_from(self, system: str) -> tuple[str, ...]:
        """List the systems whose training started from the model of the given system."""
        return tuple(name for name, start in self.starts.items() if start == system)


@dataclass(frozen=True, kw_only=True)
class Step(Point):
    """One test in the sequence from large vectors to small: the metric minus the reference's, on validation."""

    difference: float
    lower_bound: float  # one-sided, 95 %
    passed: bool  # whether the lower bound is not below minus the margin
    outcome: str = ""  # `holds`, `undecided` or `worse`; empty in runs of earlier versions


@dataclass(frozen=True)
class GateCheck(ReadByName):
    """A candidate's metric minus the metric of a rival; passed if the whole interval lies above 0."""

    difference: float
    low: float
    high: float
    passed: bool


@dataclass(frozen=True)
class Choice(ReadByName):
    """How much the chosen vectors lose against the reference on the validation split, where the choice was made."""

    queries: int
    difference: float = 0.0
    low: float = 0.0  # lower end of the 95 % interval


@dataclass(frozen=True)
class Confirmation(ReadByName):
    """The metric of the recommended vectors on the test split, and its difference to the reference's metric."""

    value: float
    low: float
    high: float
    difference: float
    lower_bound: float
    confirmed: bool | None  # None if the point is the reference itself
    queries: int


@dataclass(frozen=True)
class Price(ReadByName):
    """The memory in bytes that a number of vectors take in the chosen vector format, and at full width in float32."""

    vectors: int
    bytes: int
    full_bytes: int


@dataclass(frozen=True)
class ChoiceValidation(ReadByName):
    """How much chosen vectors lose against the reference on the validation split.

    `difference` is the chosen vectors' metric minus the reference's, `low` and `high` are the ends of the two-sided
    95 % interval, and `chance` is the chance of losing less than the margin.
    """

    difference: float
    low: float
    chance: float
    high: float = 0.0


@dataclass(frozen=True)
class ChoiceTest(ReadByName):
    """Chosen vectors on the test split: the metric and its difference to the reference's, with 95 % intervals."""

    value: float
    low: float
    high: float
    confirmed: bool | None  # None if the choice is its own reference
    difference: float = 0.0
    difference_low: float = 0.0
    difference_high: float = 0.0
    others: dict[str, float] = field(default_factory=dict)  # values of the baselines that the choice must beat, by name


@dataclass(frozen=True)
class ChoiceGain(ReadByName):
    """The team's present search, and by how much a choice beats it, on validation and on test."""

    system: str
    difference: float
    low: float
    high: float
    test: Measure


@dataclass(frozen=True, kw_only=True)
class ChosenPoint(Point):
    """Vectors chosen for a team (as proven, likely or tiny), and their loss against `reference`."""

    reference: str
    validation: ChoiceValidation
    test: ChoiceTest
    price: tuple[Price, ...] = ()
    beats: ChoiceGain | None = None
    lossless: bool = False  # whether the rankings equal those of the full width for every known query


@dataclass(frozen=True)
class TeamChoices(ReadByName):
    """The vectors that one kind of team may choose: a team with keyword search, or with vectors alone.

    The loss of `proven` is proven to be below the margin; that of `likely` is below the margin with a chance of at
    least 90 %; `tiny` is the smallest vector that still beats what the team uses today. Each is None if no vector
    qualifies.
    """

    proven: ChosenPoint | None = None
    likely: ChosenPoint | None = None
    tiny: ChosenPoint | None = None


@dataclass(frozen=True)
class Choices(ReadByName):
    """The choices for a team with keyword search, and for a team that ranks by vectors alone."""

    beside_keyword_search: TeamChoices = TeamChoices()
    vectors_alone: TeamChoices = TeamChoices()


@dataclass(frozen=True)
class Power(ReadByName):
    """How many queries the choice was made on, and about how many would be needed; None if there are enough."""

    queries: int
    needed: int | None = None


@dataclass(frozen=True)
class Recommendation(ReadByName):
    """The content of `recommendation.json`; `point` is None if the decision is not to ship."""

    decision: str  # `ship` or `do not ship`
    reason: str
    metric: str
    margin: float
    point: Point | None = None
    reference: Point | None = None
    validation: Choice | None = None
    test: Confirmation | None = None
    steps: tuple[Step, ...] = ()
    gate: dict[str, GateCheck] = field(default_factory=dict)  # checks on validation, which decide
    test_gate: dict[str, GateCheck] = field(default_factory=dict)  # the same checks on test
    max_bytes: int | None = None
    min_recall: float | None = None
    price: tuple[Price, ...] = ()
    chosen_on: str = "validation"  # the split; `test` if the protocol has no validation split
    queries_needed: int | None = None  # about how many validation queries are needed; None if there are enough
    choices: Choices | None = None  # None in runs of earlier versions
    power: Power | None = None
    lexical: dict[str, object] = field(default_factory=dict)  # settings of keyword search
    weight: float | None = None  # weight of keyword search in the fusion


@dataclass(frozen=True)
class Dip(ReadByName):
    """The valley between two humps of the grade histogram; `depth` is how far it lies below the lower hump (0 to 1)."""

    threshold: float
    depth: float
    lower_hump: float
    valley: float
    upper_hump: float
    low: float | None = None  # 95 % of resampled histograms put the threshold between low and high
    high: float | None = None
    seen: float | None = None  # share of resampled histograms that have a dip


@dataclass(frozen=True)
class Bar(ReadByName):
    """A bar of the grade histogram: how many records have grades from `low` to `high`, or exactly one grade."""

    low: float
    high: float
    relevant: int
    rest: int


@dataclass(frozen=True)
class Grades(ReadByName):
    """The content of `grades.json`: the histogram of the grades, and the lowest relevant grade."""

    levels: tuple[float, ...]
    counts: tuple[int, ...]
    lowest: float
    highest: float
    threshold: float
    threshold_source: str  # `given`, `dip`, `middle` of the range, or `listed`: every row is relevant
    relevant_from: int
    relevant_share: float
    dip: Dip | None = None
    zero: float | None = None  # the grade with gain 0; None in runs of earlier versions, where it is the lowest grade
    unlisted: float | None = None  # the grade of pairs without a row, if known

    def __post_init__(self) -> None:
        """Raise ValueError if the histogram of grades contradicts itself."""
        if len(self.levels) != len(self.counts) or min(self.counts, default=-1) < 0:
            raise ValueError("a count for each level, 0 or more")
        if list(self.levels) != sorted(set(self.levels)):
            raise ValueError("levels in rising order, each once")

    @property
    def gain_zero(self) -> float:
        """The grade that counts as gain 0 in the metrics, as do all lower grades."""
        return self.lowest if self.zero is None else self.zero

    @property
    def relevant(self) -> tuple[bool, ...]:
        """Whether documents of each grade level count as relevant, by the same rounded gains as in the metrics."""
        return tuple(max(0, round(1000 * (level - self.gain_zero))) >= self.relevant_from for level in self.levels)

    @property
    def bars(self) -> tuple[Bar, ...]:
        """The bars of the grade histogram: one per grade level, or `BINS` of equal width if there are more levels."""
        parts = [[count if part else 0 for count, part in zip(self.counts, self.relevant, strict=True)]]
        parts.append([count - part for count, part in zip(self.counts, parts[0], strict=True)])
        if len(self.levels) <= BINS:
            return tuple(Bar(level, level, *pair) for level, *pair in zip(self.levels, *parts, strict=True))
        edges = [self.lowest + (self.highest - self.lowest) * place / BINS for place in range(BINS + 1)]
        places = [min(bisect_right(edges, level) - 1, BINS - 1) for level in self.levels]
        sums = [
            [sum(n for n, at in zip(part, places, strict=True) if at == place) for place in range(BINS)]
            for part in parts
        ]
        return tuple(Bar(*ends, *pair) for ends, *pair in zip(pairwise(edges), *sums, strict=True))


@dataclass(frozen=True)
class Components(ReadByName):
    """Number of connected components of the graph of queries and documents, and the share of records in the largest."""

    count: int
    largest_share: float


@dataclass(frozen=True)
class Audit(ReadByName):
    """The content of `audit.json`: the sizes of the splits, and how many held-out texts are also in training."""

    protocol: str
    queries: dict[str, int]
    records: dict[str, int]
    documents: dict[str, int]
    training_pairs: int
    withheld_pairs: int
    leaks: dict[str, int]
    row_split: dict[str, float]  # shares that a split by record would have leaked
    components: Components | None = None
    leaked_share: dict[str, float] = field(default_factory=dict)  # of the test records, by kind of text
    exact_leaks: dict[str, int] = field(default_factory=dict)  # like `leaks`, but for exactly equal texts
    note: str = ""  # a sentence on other texts that training reads; empty if there are none

    @property
    def splits(self) -> tuple[str, ...]:
        """The names of the splits that the audit covers."""
        return tuple(dict.fromkeys([*self.queries, *self.records, *self.documents]))

    @property
    def withheld_share(self) -> float:
        """Share of the possible training pairs that are left out of training to avoid leaks."""
        return self.withheld_pairs / max(1, self.withheld_pairs + self.training_pairs)


@dataclass(frozen=True)
class Finding(ReadByName):
    """One kind of irregularity in the data, with how often it occurs and what was done about it."""

    name: str
    count: int
    action: str
    examples: tuple[str, ...] = ()


@dataclass(frozen=True)
class ValidatedPoint(ReadByName):
    """The metrics of a model in one vector format (dimension and precision), measured on validation during training."""

    dimension: int
    precision: str
    metrics: dict[str, float]
    axes: bool = False

    @property
    def format(self) -> VectorFormat:
        """The dimension and precision of the vectors."""
        return VectorFormat(self.dimension, self.precision, self.axes)


@dataclass(frozen=True)
class Validation(ReadByName):
    """The metrics of a model on the validation split after one training step, in several vector formats."""

    step: int
    recall: float  # mean of recall@10 over the points: decides which step is kept
    points: tuple[ValidatedPoint, ...]

    def value(self, stored: VectorFormat, metric: str) -> float | None:
        """Get a metric for a vector format (dimension and precision); None if the format was not measured."""
        return next((point.metrics[metric] for point in self.points if point.format == stored), None)


@dataclass(frozen=True)
class Training(ReadByName):
    """The facts of one system's training, an entry of `training.json`."""

    system: str
    steps: int
    compute: str  # number format
    threads: int
    learning_rate: float  # peak learning rate
    rows: int  # number of training rows, each a query with its documents
    unused: int  # number of training queries that were left out
    losses: tuple[float, ...]  # per step
    curve: tuple[Validation, ...]
    best_step: int
    mixed: float  # share of the tuned weights in the kept weights; 1 if nothing was mixed
    seconds: float

    @property
    def formats(self) -> tuple[VectorFormat, ...]:
        """The vector formats that were measured on validation during training, wide before narrow."""
        found = dict.fromkeys(point.format for validation in self.curve for point in validation.points)
        return tuple(sorted(found, key=lambda stored: -stored.dimension))

    @property
    def coded(self) -> bool:
        """Whether a precision other than float32 was measured on validation during training."""
        return any(stored.precision != FULL for stored in self.formats)

    @property
    def ends(self) -> tuple[VectorFormat, ...]:
        """The widest and the narrowest float32 format validated in training; one if equal, none without validations."""
        full = [stored for stored in self.formats if stored.precision == FULL]
        return tuple(dict.fromkeys((*full[:1], *full[-1:])))

    def at(self, step: int) -> Validation | None:
        """Get the measurements after a training step (0 is before training); None if the step was not measured."""
        return next((validation for validation in self.curve if validation.step == step), None)

    def line(self, stored: VectorFormat, metric: str) -> tuple[tuple[int, float], ...]:
        """List the pairs of step and metric of a vector format, for every step at which the format was measured."""
        values = [(validation.step, validation.value(stored, metric)) for validation in self.curve]
        return tuple((step, value) for step, value in values if value is not None)


@dataclass(frozen=True)
class Trainings(ReadByName):
    """The content of `training.json`."""

    systems: tuple[Training, ...]
