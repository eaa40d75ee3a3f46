"""A run's files as types: what the JSON files in its folder and in `data/` hold.

`Results["surface"]` reads like `Results.surface`, so that code written for the JSON works on these objects.

All metrics lie between 0 and 1; a difference is a first system minus a second one, in the metric's own unit.
"""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import Any

from nestvec.models.prompts import Prompts
from nestvec.point import BM25, BM25_DEFAULT, FULL, Point, ReadByName, VectorFormat

TEST, VALIDATION = "test", "validation"  # the splits that are measured
VALIDATED = ("recall@10", "ndcg@10")  # metrics of every validation while training
METRICS = ("recall@10", "mrr@10", "ndcg@10", "judged@10")  # of every row
CHANCE = 0.05  # below it a corrected p counts as clear
_COLUMNS = (
    "system", "kind", "dimension", "precision", "axes", "bytes_per_vector", "bytes_scanned",
    "split", "queries", "documents",
)  # fmt: skip
_HAIR = 1e-6  # of rounding
BINS = 30  # of the grade histogram, where there are more levels than that


@dataclass(frozen=True)
class Measure(ReadByName):
    """A mean over queries of a metric, or of a difference between two, with the ends of its 95 % interval."""

    value: float
    low: float
    high: float

    def __post_init__(self) -> None:
        """Raise ValueError for what no difference between two metrics can be."""
        if not self.is_from(-1):
            raise ValueError("numbers from -1 to 1")

    def is_from(self, least: float) -> bool:
        """Whether the mean and its interval lie between `least` and 1, but for rounding."""
        return all(least - _HAIR <= end <= 1 + _HAIR for end in (self.value, self.low, self.high))


@dataclass(frozen=True, kw_only=True)
class Row(Point):
    """One row of the surface: a point on one split."""

    split: str
    queries: int
    documents: int
    metrics: dict[str, Measure]

    def __post_init__(self) -> None:
        """Raise ValueError for sizes and metrics that nothing has."""
        if not all(measure.is_from(0) for measure in self.metrics.values()):
            raise ValueError("metrics from 0 to 1")
        if min(self.queries, self.documents, self.bytes, self.bytes_scanned or 0) < 0:
            raise ValueError("counts from 0 on")
        if self.dimension is not None:
            VectorFormat.parse(self.format.name)
        elif self.system not in (BM25, BM25_DEFAULT):
            raise ValueError("a dimension for vectors")

    @property
    def flat(self) -> dict[str, Any]:
        """One row of a table: the point, the split, and three columns for each metric: value, low and high."""
        row = {name: getattr(self, name) for name in _COLUMNS}
        for name, measure in self.metrics.items():
            row |= {name: measure.value, f"{name} low": measure.low, f"{name} high": measure.high}
        return row


@dataclass(frozen=True)
class Comparison(ReadByName):
    """A paired comparison, `a` less `b`; `p_holm` is corrected for all comparisons of the run."""

    a: str
    b: str
    split: str
    metric: str
    difference: float
    low: float
    high: float
    p: float
    p_holm: float
    effect: float = 0.0  # the mean over its standard deviation; 0 in runs of before it was written down
    wins: int = 0  # queries for which `a` is better
    ties: int = 0
    losses: int = 0

    @property
    def clear(self) -> bool:
        """Whether chance alone would hardly show such a difference."""
        return self.p_holm < CHANCE

    @property
    def turned(self) -> Comparison:
        """The same comparison as `b` less `a`."""
        turned = {"difference": -self.difference, "low": -self.high, "high": -self.low, "effect": -self.effect}
        return replace(self, a=self.b, b=self.a, wins=self.losses, losses=self.wins, **turned)  # type: ignore[arg-type]


@dataclass(frozen=True)
class MeasuredWith(ReadByName):
    """What decided a system's figures, as SHA-256 in hex."""

    model: dict[str, str] = field(default_factory=dict)  # by file of the model's folder, and of its prompts
    vectors: str = ""  # of `embeddings/SYSTEM.npy`
    codecs: str = ""  # of `codecs.safetensors`


@dataclass(frozen=True)
class EncoderTrial(ReadByName):
    """A faster encoder of documents beside the model in float32, as `pipeline.surface_encoder` tried it."""

    encoder: str  # its name, such as `openvino bfloat16`
    documents: int  # encoded both ways
    queries: int  # that searched them
    cosine: float  # the lowest of a document's two vectors
    change: float  # of the queries' recall@10 among these documents: the faster less float32


@dataclass(frozen=True)
class EncodedBy(ReadByName):
    """The encoders of a system's queries and documents by name, such as `torch float32` and `openvino bfloat16`."""

    queries: str
    documents: str
    trial: EncoderTrial | None = None


@dataclass(frozen=True)
class Results(ReadByName):
    """`results.json`."""

    source: str
    synthetic: bool
    relevant_from: int  # gain in thousandths of a grade above `Grades.gain_zero`
    model: str
    full_dimension: int
    surface: tuple[Row, ...]
    comparisons: tuple[Comparison, ...]
    timings: dict[str, float]  # stage to seconds
    unanswerable: dict[str, int] = field(default_factory=dict)  # split to queries left out: nothing relevant was judged
    missing_documents: dict[str, int] = field(default_factory=dict)  # split to relevant ones that are not searched
    cutoffs: tuple[int, ...] = (10,)
    missing_models: dict[str, str] = field(default_factory=dict)  # name to why it could not be had
    codec_extras: dict[str, int] = field(default_factory=dict)  # point's name to bytes stored once for all vectors
    protocol: str = ""  # how the records were split; empty in runs of before it was written down
    folds: int = 0  # trainings that measured a part of the queries each; 0 where one measured all
    threshold: float | None = None  # the grade from which a document is relevant
    prompts: dict[str, Prompts] = field(default_factory=dict)  # by system; runs of before it was written have none
    trained: tuple[str, ...] = ()  # systems that `training.json` tells of; runs of before it was written have none
    measured_with: dict[str, MeasuredWith] = field(default_factory=dict)  # by system; runs of before have none
    encoded_by: dict[str, EncodedBy] = field(default_factory=dict)  # by system; runs of before have none
    starts: dict[str, str] = field(default_factory=dict)  # trained system to the one that its training started from
    adapted_on: str = ""  # documents that `adapted` learnt from: `train` or `catalogue`; empty where it was not trained

    def list_started_from(self, system: str) -> tuple[str, ...]:
        """The systems whose training started from the model of another one."""
        return tuple(name for name, start in self.starts.items() if start == system)


@dataclass(frozen=True, kw_only=True)
class Step(Point):
    """One test on the way from large vectors to small: the point's metric minus the reference's, on validation."""

    difference: float
    lower_bound: float  # one-sided, 95 %
    passed: bool  # not below minus the margin
    outcome: str = ""  # `holds`, `undecided` or `worse`; empty in runs of before it was written down


@dataclass(frozen=True)
class GateCheck(ReadByName):
    """The candidate minus one thing it has to beat; passed when the interval lies above 0."""

    difference: float
    low: float
    high: float
    passed: bool


@dataclass(frozen=True)
class Choice(ReadByName):
    """The evidence on validation, where the choice was made: the choice minus the reference."""

    queries: int
    difference: float = 0.0
    low: float = 0.0  # lower end of the 95 % interval


@dataclass(frozen=True)
class Confirmation(ReadByName):
    """The recommended point on the test split, and there minus the reference."""

    value: float
    low: float
    high: float
    difference: float
    lower_bound: float
    confirmed: bool | None  # None where the point is the reference itself: there is nothing to confirm
    queries: int


@dataclass(frozen=True)
class Price(ReadByName):
    """The memory of so many vectors in bytes, as recommended and whole in full precision."""

    vectors: int
    bytes: int
    full_bytes: int


@dataclass(frozen=True)
class ChoiceValidation(ReadByName):
    """A choice minus its reference on validation.

    `low` and `high` end the two-sided 95 % interval; `chance` is that of losing less than the margin.
    """

    difference: float
    low: float
    chance: float
    high: float = 0.0


@dataclass(frozen=True)
class ChoiceTest(ReadByName):
    """A choice on test: its value with the 95 % interval, and the difference to its reference with its own."""

    value: float
    low: float
    high: float
    confirmed: bool | None  # None where there is nothing to confirm: the choice is its reference
    difference: float = 0.0
    difference_low: float = 0.0
    difference_high: float = 0.0
    others: dict[str, float] = field(default_factory=dict)  # what the choice has to beat, by name, and its value


@dataclass(frozen=True)
class ChoiceGain(ReadByName):
    """What the team has now, and by how much a choice beats it: on validation, where it was chosen, and on test."""

    system: str
    difference: float
    low: float
    high: float
    test: Measure


@dataclass(frozen=True, kw_only=True)
class ChosenPoint(Point):
    """One of the three choices of a team; `reference` is the name of the point that its loss is measured against."""

    reference: str
    validation: ChoiceValidation
    test: ChoiceTest
    price: tuple[Price, ...] = ()
    beats: ChoiceGain | None = None
    lossless: bool = False  # the rankings are those of the full width for every query that can be asked


@dataclass(frozen=True)
class TeamChoices(ReadByName):
    """The choices of one team.

    `proven` is shown to lose less than the margin, `likely` does so with a chance of at least 90 %, and `tiny` is the
    smallest that still beats what the team has now; each None where nothing does.
    """

    proven: ChosenPoint | None = None
    likely: ChosenPoint | None = None
    tiny: ChosenPoint | None = None


@dataclass(frozen=True)
class Choices(ReadByName):
    """The choices of a team that has a keyword search, and of one that ranks by vectors alone."""

    beside_keyword_search: TeamChoices = TeamChoices()
    vectors_alone: TeamChoices = TeamChoices()


@dataclass(frozen=True)
class Power(ReadByName):
    """How many queries the choice was made on, and about how many would tell more; None where these do."""

    queries: int
    needed: int | None = None


@dataclass(frozen=True)
class Recommendation(ReadByName):
    """`recommendation.json`; `point` is None when the decision is not to ship."""

    decision: str  # `ship` or `do not ship`
    reason: str
    metric: str
    margin: float
    point: Point | None = None
    reference: Point | None = None
    validation: Choice | None = None
    test: Confirmation | None = None
    steps: tuple[Step, ...] = ()
    gate: dict[str, GateCheck] = field(default_factory=dict)  # on validation: it decides
    test_gate: dict[str, GateCheck] = field(default_factory=dict)  # the same on test
    max_bytes: int | None = None
    min_recall: float | None = None
    price: tuple[Price, ...] = ()
    chosen_on: str = "validation"  # the split; `test` where the protocol has no validation
    queries_needed: int | None = None  # about how many validation queries would tell more; None where they do
    choices: Choices | None = None  # None in runs of before there were three choices
    power: Power | None = None
    lexical: dict[str, object] = field(default_factory=dict)  # how the keyword leg matches
    weight: float | None = None  # of the words in the fusion


@dataclass(frozen=True)
class Dip(ReadByName):
    """The valley between the two humps of the grade histogram; depth is by what share it lies below the lower one."""

    threshold: float
    depth: float
    lower_hump: float
    valley: float
    upper_hump: float
    low: float | None = None  # 95 % of resampled histograms put the threshold between low and high
    high: float | None = None
    seen: float | None = None  # share of resampled histograms that have a dip at all


@dataclass(frozen=True)
class Bar(ReadByName):
    """A bar of the histogram: the records with grades from low to high; the same where each level has a bar."""

    low: float
    high: float
    relevant: int
    rest: int


@dataclass(frozen=True)
class Grades(ReadByName):
    """`grades.json`: the histogram of the raw grades and the threshold."""

    levels: tuple[float, ...]
    counts: tuple[int, ...]
    lowest: float
    highest: float
    threshold: float
    threshold_source: str  # given, dip, middle of the range, or listed: all that is listed is relevant
    relevant_from: int
    relevant_share: float
    dip: Dip | None = None
    zero: float | None = None  # the grade whose gain is 0; None in runs of old, where it is the lowest
    unlisted: float | None = None  # the grade of whatever is not listed, where that is known

    def __post_init__(self) -> None:
        """Raise ValueError where the histogram is none."""
        if len(self.levels) != len(self.counts) or min(self.counts, default=-1) < 0:
            raise ValueError("a count for each level")
        if list(self.levels) != sorted(set(self.levels)):
            raise ValueError("levels in order")

    @property
    def gain_zero(self) -> float:
        """The grade whose gain is 0; so is the gain of any grade below."""
        return self.lowest if self.zero is None else self.zero

    @property
    def relevant(self) -> tuple[bool, ...]:
        """Whether each level counts as relevant, decided on the same whole gains as the metrics are."""
        return tuple(max(0, round(1000 * (level - self.gain_zero))) >= self.relevant_from for level in self.levels)

    @property
    def bars(self) -> tuple[Bar, ...]:
        """The histogram: one bar per level, or even bins where there are more levels than `BINS`."""
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
    """Connected components of the graph of queries and documents, and the largest one's share of the records."""

    count: int
    largest_share: float


@dataclass(frozen=True)
class Audit(ReadByName):
    """`audit.json`: the split's sizes, and what of the held-out splits training has seen."""

    protocol: str
    queries: dict[str, int]
    records: dict[str, int]
    documents: dict[str, int]
    training_pairs: int
    withheld_pairs: int
    leaks: dict[str, int]
    row_split: dict[str, float]  # shares: what a split by record would have leaked
    components: Components | None = None
    leaked_share: dict[str, float] = field(default_factory=dict)  # of the test records, by kind of text
    exact_leaks: dict[str, int] = field(default_factory=dict)  # `leaks`, by texts that are the same to the letter
    note: str = ""  # what training reads besides, in a sentence

    @property
    def splits(self) -> tuple[str, ...]:
        """The names of the splits."""
        return tuple(dict.fromkeys([*self.queries, *self.records, *self.documents]))

    @property
    def withheld_share(self) -> float:
        """What withholding costs: the share of the pairs that could have been trained on."""
        return self.withheld_pairs / max(1, self.withheld_pairs + self.training_pairs)


@dataclass(frozen=True)
class Finding(ReadByName):
    """One kind of irregularity found in the data, and what was done about it."""

    name: str
    count: int
    action: str
    examples: tuple[str, ...] = ()


@dataclass(frozen=True)
class ValidatedPoint(ReadByName):
    """One point of a validation."""

    dimension: int
    precision: str
    metrics: dict[str, float]
    axes: bool = False

    @property
    def format(self) -> VectorFormat:
        """How its vectors are stored."""
        return VectorFormat(self.dimension, self.precision, self.axes)


@dataclass(frozen=True)
class Validation(ReadByName):
    """A validation on the way."""

    step: int
    recall: float  # mean of recall@10 over the points: decides which step is kept
    points: tuple[ValidatedPoint, ...]

    def value(self, stored: VectorFormat, metric: str) -> float | None:
        """A metric at a dimension and precision; None where that was not measured."""
        return next((point.metrics[metric] for point in self.points if point.format == stored), None)


@dataclass(frozen=True)
class Training(ReadByName):
    """An entry of `training.json`: one system's training."""

    system: str
    steps: int
    compute: str  # number format
    threads: int
    learning_rate: float  # its peak
    rows: int  # what was learnt from: a query with its documents each
    unused: int  # training queries left out
    losses: tuple[float, ...]  # per step
    curve: tuple[Validation, ...]
    best_step: int
    mixed: float  # share of the tuned weights in what was kept; 1 where nothing was mixed
    seconds: float

    @property
    def formats(self) -> tuple[VectorFormat, ...]:
        """Every point that was validated, wide before narrow, as named within a width."""
        found = dict.fromkeys(point.format for validation in self.curve for point in validation.points)
        return tuple(sorted(found, key=lambda stored: -stored.dimension))

    @property
    def coded(self) -> bool:
        """Whether it was validated in codes too."""
        return any(stored.precision != FULL for stored in self.formats)

    @property
    def ends(self) -> tuple[VectorFormat, ...]:
        """The widest and the narrowest point in full precision; one where they are the same, none without a curve."""
        full = [stored for stored in self.formats if stored.precision == FULL]
        return tuple(dict.fromkeys((*full[:1], *full[-1:])))

    def at(self, step: int) -> Validation | None:
        """The validation at a step, 0 before any training; None where there was none."""
        return next((validation for validation in self.curve if validation.step == step), None)

    def line(self, stored: VectorFormat, metric: str) -> tuple[tuple[int, float], ...]:
        """Step and value of a metric at a point, for every validation that has it."""
        values = [(validation.step, validation.value(stored, metric)) for validation in self.curve]
        return tuple((step, value) for step, value in values if value is not None)


@dataclass(frozen=True)
class Trainings(ReadByName):
    """`training.json`."""

    systems: tuple[Training, ...]
