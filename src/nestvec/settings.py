"""Every setting of a run: one frozen dataclass per stage.

The names are flat everywhere a person meets them (`--batch-size`, `batch_size = 16`); which stage owns a name is read
off the dataclasses below. A field holds its default, its words for `--help` and its check, so a new setting is one
place. The checks need no data and are made before anything else happens.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import MISSING, asdict, dataclass, field, fields
from difflib import get_close_matches
from math import inf, isfinite
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar, cast

from nestvec.errors import InputError
from nestvec.point import PRECISIONS, PRETRAINED, VectorFormat

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from dataclasses import Field

DEFAULT_MODEL = "sentence-transformers/all-MiniLM-L6-v2"
ADAPTED = "adapted"  # the system that learns from documents alone
TRAINABLE = ("mnr", "matryoshka", "cosine", "cosine-matryoshka", "cosent", "cosent-matryoshka", "graded", ADAPTED)
ADAPTING = ("train", "catalogue", "off")  # values of --adapt
TRAIN_DOCUMENTS, CATALOGUE, NO_ADAPTING = ADAPTING
# systems that learn the grades themselves, and nothing where all documents have the same
NEED_NEGATIVES = ("cosine", "cosine-matryoshka", "cosent", "cosent-matryoshka")
MOST_NEGATIVES = 50  # mined per query
REPORTERS = {"tensorboard": ("tensorboard", "tensorboardX"), "wandb": ("wandb",), "mlflow": ("mlflow",)}  # and modules
PROTOCOLS = ("leak-free", "by-query", "published")
LEAST_VALIDATION, LEAST_TEST = 0.1, 0.2  # of the queries, unless told otherwise
T = TypeVar("T")
CONFLICTS = ("mean", "max", "last", "error")
BAD_ROWS = ("stop", "set-aside")
QUOTINGS = ("double", "none")
NO_AXES = "none"
MEASURES = ("recall", "precision", "mrr", "ndcg", "ndcg-exp", "accuracy")  # each at several cutoffs
CUTOFF = 10  # always measured: what the report shows first
DEPTH = 100  # documents of a ranking that are kept
BIGGER_MODEL = "sentence-transformers/all-mpnet-base-v2"
LANGUAGES = {  # of BM25's stemmers, and the ISO 639 codes of texts in them
    "arabic": ("ar",), "armenian": ("hy",), "basque": ("eu",), "catalan": ("ca",),
    "cjk": ("zh", "ja", "th", "lo", "km"),
    "czech": ("cs",), "danish": ("da",), "dutch": ("nl",), "english": ("en",), "esperanto": ("eo",),
    "estonian": ("et",), "finnish": ("fi",), "french": ("fr",), "german": ("de",), "greek": ("el",), "hindi": ("hi",),
    "hungarian": ("hu",), "indonesian": ("id",), "irish": ("ga",), "italian": ("it",), "lithuanian": ("lt",),
    "nepali": ("ne",), "norwegian": ("no", "nb", "nn"), "persian": ("fa",), "polish": ("pl",), "portuguese": ("pt",),
    "romanian": ("ro",), "russian": ("ru",), "serbian": ("sr",), "spanish": ("es",), "swedish": ("sv",),
    "tamil": ("ta",), "turkish": ("tr",), "yiddish": ("yi",), "none": (),
}  # fmt: skip
COMPUTE_TYPES = ("auto", "float32", "bfloat16")
_KINDS: dict[str, tuple[Any, str]] = {  # what TOML gives for a field's type, and its name in messages
    "int": (int, "a whole number"),
    "float": (int | float, "a number"),
    "str": (str, "text"),
    "bool": (bool, "true or false"),
}


class Check(NamedTuple):
    """Which values a setting can have.

    Attributes:
        expected: the range in words.
        holds: whether a value, which is never None, lies in it.
    """

    expected: str
    holds: Callable[[Any], bool]


def _at_least(least: int) -> Check:
    return Check(f"{least} or more", lambda value: value >= least)


def _one_of(names: tuple[str, ...]) -> Check:
    return Check("one of " + ", ".join(names), lambda value: value in names)


def _distinct(names: Iterable[str], fewest: int = 1) -> Check:
    """Some of the names, each at most once."""
    allowed = tuple(names)
    return Check(
        "each of these at most once: " + ", ".join(allowed),
        lambda values: set(values) <= set(allowed) and len(set(values)) == len(values) >= fewest,
    )


_POSITIVE = Check("a number above 0", lambda value: 0 < value < inf)
_SHARE = Check("a share from 0 to 1", lambda share: 0 <= share <= 1)
_SHARE_BELOW_1 = Check("a share from 0 up to 1", lambda share: 0 <= share < 1)
_INNER_SHARE = Check("a share between 0 and 1", lambda share: 0 < share < 1)


def option(
    default: Any,  # noqa: ANN401 - whatever the field's type is
    text: str,
    check: Check | None = None,
    *,
    panel: str | None = None,
    repeat: bool = False,
) -> Any:  # noqa: ANN401
    """A field of a settings dataclass that becomes an option of a command (`cli/options.py`).

    Args:
        default: the field's value where nothing is given.
        text: what `--help` shows.
        check: the values that the field can have; None, the value, is never checked.
        panel: the heading in `--help` below which the option stands; None takes the heading of the dataclass.
        repeat: whether the option of a tuple is given once for each item, in place of commas between them.

    Returns:
        The field.
    """
    shown = {"help": text, "check": check, "repeat": repeat}
    return field(default=default, metadata=shown if panel is None else {**shown, "panel": panel})


@dataclass(frozen=True)
class DataSettings:
    """What to read."""

    source: str = option("sample", "`sample`, a CSV, TSV, JSONL or Parquet file, a folder of them, or hf:NAME.")
    queries: str | None = option(None, "Queries of a collection in three files.")
    corpus: str | None = option(None, "Documents of such a collection.")
    qrels: str | None = option(None, "Judgements of such a collection, in TREC's or BEIR's form.")
    split: str | None = option(None, "Which split of a data set from the hub (all).")
    revision: str | None = option(None, "Which revision of it (the newest, pinned in the run).")
    query: str | None = option(None, "Column with the query (found by its name).")
    document: str | None = option(
        None, "Column with the text, several (name,description) or a template: {name}. {brand} (found by its name)."
    )
    grade: str | None = option(None, "Column with the relevance grade (found by its name).")
    document_id: str | None = option(None, "Column that tells documents apart (their text does).")
    query_id: str | None = option(None, "Column that tells queries apart (their text does).")
    columns: tuple[str, ...] | None = option(None, "Columns of a table without a header: query,positive.")
    encoding: str | None = option(None, "windows-1252, gb18030 … (UTF-8, else Windows-1252).")
    delimiter: str | None = option(None, "Between fields: a character, or tab (found).")
    quoting: str | None = option(None, "double: fields may be quoted; none (double in CSV).", _one_of(QUOTINGS))
    grades: tuple[str, ...] | None = option(None, "What labels are worth: Exact=3,Partial=1,Irrelevant=0.")
    positives_only: bool = option(False, "All rows are relevant; what is not listed has grade 0.")
    split_column: str | None = option(None, "Column with your own split: train, validation or test.")
    max_records: int | None = option(None, "Take a seeded subset of this many records.", _at_least(1))
    threshold: float | None = option(
        None,
        "Relevant from this grade on (the histogram's dip).",
        Check("a finite number", isfinite),
    )
    grade_range: tuple[float, ...] | None = option(
        None,
        "Lowest and highest grade there can be: 1,3 (any).",
        Check("the lowest and the highest grade: 1,3", lambda ends: len(ends) == 2 and -inf < ends[0] < ends[1] < inf),
    )
    conflicts: str = option("mean", "Where grades differ: mean, max, last or error.", _one_of(CONFLICTS))
    on_bad_row: str = option("stop", "A bad row: stop, or set-aside (into a file).", _one_of(BAD_ROWS))

    @property
    def name(self) -> str:
        """What messages and pages call the data: the file of judgements of a collection in parts, else the source."""
        return self.source if self.qrels is None else self.qrels


@dataclass(frozen=True)
class SplitSettings:
    """How to split."""

    protocol: str = option("leak-free", "leak-free, by-query, or published (by record).", _one_of(PROTOCOLS))
    validation: float | None = option(None, "Share of the queries to choose on (0.1 to 0.35).", _INNER_SHARE)
    test: float | None = option(None, "Share of the queries to report on (0.2 to 0.3).", _INNER_SHARE)
    folds: int | None = option(
        None,
        "For few queries: N trainings hold each out once; try 10.",
        _at_least(2),
    )

    @property
    def shares(self) -> tuple[float, float]:
        """Of validation and of test; the smallest where none is given."""
        return self.validation or LEAST_VALIDATION, self.test or LEAST_TEST


@dataclass(frozen=True)
class TrainingSettings:
    """How to train."""

    # The defaults were chosen on the validation splits of the sample and of real judgements.
    model: str = option(DEFAULT_MODEL, "Pretrained model: a folder or name (all-MiniLM-L6-v2).")
    model_sha256: str | None = option(None, "What its model.safetensors must hash to.")
    query_prompt: str | None = option(None, "Text before every query (the model's own).")
    document_prompt: str | None = option(None, "Text before every document (the model's own).")
    systems: tuple[str, ...] = option(("mnr", "matryoshka"), ", ".join(TRAINABLE) + ".", _distinct(TRAINABLE))
    adapt: str = option("off", "Learn from documents alone first: train, catalogue or off.", _one_of(ADAPTING))
    epochs: int = option(1, "Passes over the pairs; 0 measures without training.", _at_least(0))
    batch_size: int | None = option(None, "Pairs in a batch (16; 64 from 4,096 pairs on).", _at_least(2))
    learning_rate: float | None = option(None, "Peak rate (5e-5 to 1.5e-4: the fewer steps, the higher).", _POSITIVE)
    warmup: float = option(0.1, "Share of the steps that warm up.", _SHARE_BELOW_1)
    dropout: float | None = option(None, "Share of activations that are dropped (the model's).", _SHARE_BELOW_1)
    accumulate: int = option(1, "Batches whose gradients make one step.", _at_least(1))
    compute: str = option(
        "auto",
        "float32, bfloat16, or what is fast here (auto).",
        _one_of(COMPUTE_TYPES),
    )
    scale: float | None = option(None, "Factor of similarities before the softmax (20).", _POSITIVE)
    dimension_weights: tuple[float, ...] | None = option(
        None,
        "Of widths, widest first (1; graded: 1, 1/4, 1/16 …).",
        Check(
            "numbers from 0 on, not all of them 0",
            lambda weights: all(0 <= weight < inf for weight in weights) and any(weights),
        ),
    )
    validate_every: int | None = option(None, "Steps between validations (a third, 100 or more).", _at_least(1))
    patience: int = option(0, "Validations without a gain to stop after (0: never).", _at_least(0))
    report_to: tuple[str, ...] = option(
        (), "Who is told of it: " + ", ".join(REPORTERS) + ".", _distinct(REPORTERS, fewest=0)
    )

    @property
    def trained(self) -> tuple[str, ...]:
        """Systems to train, `adapted` first where the others start from it; none at 0 epochs."""
        systems = self.systems if self.adapt == NO_ADAPTING else tuple(dict.fromkeys((ADAPTED, *self.systems)))
        return systems if self.epochs else ()

    @property
    def only_adapted(self) -> bool:
        """Whether `adapted` alone is trained: then no query needs to be left to train on."""
        return self.trained == (ADAPTED,)

    @property
    def adapted_on(self) -> str:
        """Which texts `adapted` learns: those of the `train` documents, or the whole `catalogue`; empty for none."""
        documents = TRAIN_DOCUMENTS if self.adapt == NO_ADAPTING else self.adapt
        return documents if ADAPTED in self.trained else ""

    def start_of(self, system: str) -> str:
        """The system whose model the training of another one starts from: `pretrained`, or `adapted`."""
        return PRETRAINED if self.adapt == NO_ADAPTING or system == ADAPTED else ADAPTED


@dataclass(frozen=True)
class GradedSettings:
    """How `graded` trains, besides."""

    # Each default was decided by an ablation on validation data: docs/ablations.md.
    codes: tuple[str, ...] = option(
        (), "graded: precisions that the documents pass through.", _distinct(PRECISIONS[1:], fewest=0)
    )
    code_share: float = option(0.5, "graded: share of the loss taken through them.", _SHARE)
    distil: float = option(
        0.0,
        "graded: weight of learning from the full width.",
        Check("0 or more", lambda weight: 0 <= weight < inf),
    )
    hard_negatives: int = option(
        0,
        "graded: unjudged documents ranked high, per row.",
        Check(f"0 to {MOST_NEGATIVES}", lambda count: 0 <= count <= MOST_NEGATIVES),
    )
    negative_margin: float = option(
        0.95,
        "graded: their similarity over the positive's.",
        Check("a share above 0, at most 1", lambda share: 0 < share <= 1),
    )
    mixing: tuple[float, ...] = option(
        (1.0, 0.75, 0.5, 0.0),
        "graded: shares of tuned weights (1, 0.75, 0.5, 0).",
        Check("shares from 0 to 1", lambda shares: len(shares) > 0 and all(map(_SHARE.holds, shares))),
    )


@dataclass(frozen=True)
class EvaluationSettings:
    """What to measure."""

    dimensions: tuple[int, ...] | None = option(
        None,
        "Widths (the model's, and its 1/2, 1/4 and 1/8).",
        Check("whole numbers from 1 to the model's width", lambda widths: len(widths) > 0 and min(widths) >= 1),
    )
    precisions: tuple[str, ...] = option(PRECISIONS, ", ".join(PRECISIONS) + " (all).", _distinct(PRECISIONS))
    axes_precisions: tuple[str, ...] = option(
        ("float32", "int8", "int4", "int2", "binary"),
        f"The same on principal axes, or {NO_AXES} (all but float16).",
        _distinct((*PRECISIONS, NO_AXES)),
    )
    cutoffs: tuple[int, ...] = option(
        (1, 5, 10, 100),
        f"Where rankings are cut, up to {DEPTH} (1, 5, {CUTOFF}, {DEPTH}).",
        Check(f"whole numbers from 1 to {DEPTH}", lambda cutoffs: all(1 <= cutoff <= DEPTH for cutoff in cutoffs)),
    )
    two_stage: tuple[str, ...] | None = option(
        None,
        "Shortlist and re-ranking: 48.int8:384.int8 (two usual).",
    )
    shortlist: int = option(DEPTH, "Documents that the first stage hands on.", _at_least(DEPTH))
    models: tuple[str, ...] = option((), "Other models to measure beside: folders or names.")
    bigger: str = option(BIGGER_MODEL, "Bigger model, if it is here (all-mpnet-base-v2).")
    language: str | None = option(
        None,
        "BM25's: english …, cjk, or none for no stems (found).",
        _one_of(tuple(LANGUAGES)),
    )
    resamples: int = option(10_000, "Draws of the bootstrap and of the paired test.", _at_least(100))


@dataclass(frozen=True)
class RecommendationSettings:
    """Which loss is small enough."""

    metric: str = option("recall@10", "The metric that decides.")
    margin: float = option(
        0.01, "How much of it may be lost.", Check("a number between 0 and 1", lambda margin: 0 < margin < 1)
    )
    max_bytes: int | None = option(None, "Recommend no vector of more bytes (any).", _at_least(1))
    min_recall: float | None = option(
        None,
        "Recommend none below this recall@10 on validation (any).",
        Check("a share above 0", lambda recall: 0 < recall <= 1),
    )


@dataclass(frozen=True)
class Settings:
    """All settings of a run, checked.

    Raises:
        InputError: a value lies outside its range; the message names the option.
    """

    data: DataSettings = field(default_factory=DataSettings)
    split: SplitSettings = field(default_factory=SplitSettings)
    training: TrainingSettings = field(default_factory=TrainingSettings)
    graded: GradedSettings = field(default_factory=GradedSettings)
    evaluation: EvaluationSettings = field(default_factory=EvaluationSettings)
    recommendation: RecommendationSettings = field(default_factory=RecommendationSettings)
    seed: int = option(42, "Decides split, order and draws.", Check("0 to 4294967295", lambda seed: 0 <= seed < 2**32))

    def __post_init__(self) -> None:
        """Check every range that can be checked without data."""
        for section in (*(getattr(self, name) for name in sections()), self):
            for entry in fields(section):
                check, value = entry.metadata.get("check"), getattr(section, entry.name)
                if check is not None and value is not None:
                    _require(check.holds(value), entry.name, value, check.expected)
        for text in self.evaluation.two_stage or ():
            parse_stages(text)
        split, metric, names = self.split, self.recommendation.metric, metric_names(self.evaluation.cutoffs)
        held_out = "validation" if split.test is None else "test"
        leaves_queries = sum(split.shares) < 1 or (sum(split.shares) == 1 and self.training.only_adapted)
        _require(leaves_queries, held_out, getattr(split, held_out), "a share that leaves queries to train on")
        _require(metric in names, "metric", metric, "one of " + ", ".join(names))

    @classmethod
    def from_flat(cls, values: Mapping[str, Any], where: str = "settings") -> Settings:
        """Build from option names to values; names not given keep their defaults.

        Args:
            values: names as in the dataclasses; a dash stands for an underscore.
            where: what to name in a message: the config file, or the command line.

        Returns:
            The checked settings.

        Raises:
            InputError: an unknown name, a value of the wrong type or outside its range.
        """
        owners = _find_owners()
        by_section: dict[str, dict[str, Any]] = defaultdict(dict)
        for given, value in values.items():
            if value is None:  # not given
                continue
            name = given.replace("-", "_")
            if name not in owners:
                raise _unknown_setting(given, name, owners, where)
            section, entry = owners[name]
            by_section[section][name] = _convert(entry, value, where)
        stages = {section: kind(**by_section[section]) for section, kind in sections().items()}
        return cls(**stages, **by_section[""])

    def flat(self) -> dict[str, Any]:
        """Option names to values, without those that are None; what `from_flat` reads back to an equal object."""
        nested = asdict(self)
        values = {"seed": nested.pop("seed")}
        for section in nested.values():
            values.update(section)
        return {
            name: list(value) if isinstance(value, tuple) else value
            for name, value in values.items()
            if value is not None
        }


def parse_stages(text: str) -> tuple[VectorFormat, VectorFormat]:
    """The formats that shortlist and that rank, read from `48.int8:384.int8`; InputError for any other form."""
    try:
        first, second = map(VectorFormat.parse, text.split(":"))
    except ValueError as error:  # also of one part, or of three
        raise InputError(f"--two-stage is {text!r}", "two dimensions and precisions: 48.int8:384.int8") from error
    return first, second


def metric_names(cutoffs: tuple[int, ...]) -> tuple[str, ...]:
    """Names of the metrics that a recommendation can go by: every measure at every cutoff, and `map`."""
    return (*(f"{measure}@{cutoff}" for cutoff in sorted({CUTOFF, *cutoffs}) for measure in MEASURES), "map")


def cutoff_of(metric: str) -> int:
    """How many documents of a ranking a metric looks at: up to its cutoff, or, for `map`, all that are kept."""
    return int(metric.partition("@")[2] or DEPTH)


def sections() -> dict[str, Any]:
    """Stage name to its dataclass."""
    return {entry.name: entry.default_factory for entry in fields(Settings) if entry.default_factory is not MISSING}


def from_keywords(kind: type[T], given: Mapping[str, Any], function: str) -> T:
    """Build a settings dataclass from the keyword arguments of a public function.

    Args:
        kind: the dataclass.
        given: names to values.
        function: its name, for messages.

    Returns:
        The settings; fields that were not given keep their defaults.

    Raises:
        InputError: a name is unknown; the message says which one was probably meant.
    """
    known = [entry.name for entry in fields(cast("Any", kind))]
    for name in given:
        if name not in known:
            raise _unknown_setting(name, name, known, f"{function}()")
    return kind(**given)


def _find_owners() -> dict[str, tuple[str, Field[Any]]]:
    """Setting name to its field and the stage that owns it; `seed` belongs to none."""
    owners = {entry.name: (stage, entry) for stage, kind in sections().items() for entry in fields(kind)}
    return owners | {entry.name: ("", entry) for entry in fields(Settings) if entry.name not in sections()}


def _unknown_setting(given: str, name: str, known: Iterable[str], where: str) -> InputError:
    close = get_close_matches(name.lower(), known, n=1)
    hint = f"; did you mean {close[0]!r}?" if close else ""
    return InputError(f"unknown setting {given!r}", "one of " + ", ".join(sorted(known)) + hint, file=where)


def _convert(entry: Field[Any], value: Any, where: str) -> Any:  # noqa: ANN401 - a TOML value is anything until checked
    """The value in the type that the setting's field states."""
    stated = str(entry.type)
    if stated.startswith("tuple"):
        return _convert_list(entry.name, value, stated.removeprefix("tuple[").partition(",")[0], where)
    kind, expected = _KINDS[stated.partition(" ")[0]]
    if not isinstance(value, kind) or isinstance(value, bool) != (kind is bool):
        raise InputError(f"{option_name(entry.name)} is {value!r}", expected, file=where)
    return float(value) if stated.startswith("float") else value


def _convert_list(name: str, value: Any, kind: str, where: str) -> tuple[Any, ...]:  # noqa: ANN401 - see _convert
    """A comma-separated text or a list as a tuple of the setting's item type; an empty text holds nothing."""
    items = (value.split(",") if value else ()) if isinstance(value, str) else value
    try:
        return tuple({"int": int, "float": float, "str": str}[kind](str(item).strip()) for item in items)
    except (TypeError, ValueError) as error:
        raise InputError(f"{option_name(name)} is {value!r}", f"{kind} values split by commas", file=where) from error


def option_name(name: str) -> str:
    """A setting as typed on the command line."""
    return "--" + name.replace("_", "-")


def _require(right: bool, name: str, value: Any, expected: str) -> None:  # noqa: ANN401 - of any setting
    """Raise InputError unless a setting's value is right."""
    if not right:
        shown = ", ".join(map(str, value)) if isinstance(value, tuple) else value
        raise InputError(f"{option_name(name)} is {shown}", expected)
