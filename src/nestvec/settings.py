"""Every setting of a run, with default, help text and check: one frozen dataclass per stage.

Users write names without a stage (`--batch-size`, `batch_size = 16`); each dataclass below is for one stage. A field
holds the default, the help text and the check of a setting, so a new setting is added in one place. The checks need no
data and run before anything else happens.
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
# systems that learn the grades themselves: if all documents have the same grade, they learn nothing
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
CUTOFF = 10  # always measured: the report shows metrics at this cutoff first
DEPTH = 100  # documents that are kept of each ranking
BIGGER_MODEL = "sentence-transformers/all-mpnet-base-v2"
LANGUAGES = {  # languages that BM25 can stem, and their ISO 639 codes
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
_KINDS: dict[str, tuple[Any, str]] = {  # a field's type: the types that TOML may give, and their name in messages
    "int": (int, "a whole number"),
    "float": (int | float, "a number"),
    "str": (str, "text"),
    "bool": (bool, "true or false"),
}
_LISTS = {  # the item type of a field that holds a list, and the name of such a list in messages
    "int": "whole numbers, separated by commas",
    "float": "numbers, separated by commas",
    "str": "texts, separated by commas",
}


class Check(NamedTuple):
    """The range of values that a setting can have.

    Attributes:
        expected: the range in words, for messages.
        holds: returns whether a value lies in the range; never called with None.
    """

    expected: str
    holds: Callable[[Any], bool]


def _at_least(least: int) -> Check:
    return Check(f"{least} or more", lambda value: value >= least)


def _one_of(names: tuple[str, ...]) -> Check:
    return Check("one of " + ", ".join(names), lambda value: value in names)


def _distinct(names: Iterable[str], fewest: int = 1) -> Check:
    """Make the check for a setting that is a list of names: each must be in `names`, and be given at most once."""
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
    """Declare a field of a settings dataclass that becomes an option of a command (`cli/options.py`).

    Args:
        default: the field's value if the user gives none.
        text: what `--help` shows.
        check: the range of values that the field can have; a value of None is not checked.
        panel: the heading in `--help` under which the option stands; None takes the heading of the dataclass.
        repeat: whether a tuple's option is repeated for each item; otherwise one option takes items split by commas.

    Returns:
        The field.
    """
    shown = {"help": text, "check": check, "repeat": repeat}
    return field(default=default, metadata=shown if panel is None else {**shown, "panel": panel})


@dataclass(frozen=True)
class DataSettings:
    """Settings of the data: what to read."""

    source: str = option("sample", "`sample`, a CSV, TSV, JSONL or Parquet file, a folder of them, or hf:NAME.")
    queries: str | None = option(None, "File of queries, for use with --corpus and --qrels.")
    corpus: str | None = option(None, "File of documents, for use with --queries and --qrels.")
    qrels: str | None = option(None, "File of judgements in TREC or BEIR format, or a table.")
    split: str | None = option(None, "Split of the Hugging Face data set to read (all).")
    revision: str | None = option(None, "Revision of the Hugging Face data set (the newest).")
    query: str | None = option(None, "Column of the query text (found by its name).")
    document: str | None = option(
        None, "Column of the document text, several (name,description), or a template: {name}. {brand} (found by name)."
    )
    grade: str | None = option(None, "Column of the relevance grade (found by its name).")
    document_id: str | None = option(None, "Column of document ids (equal texts are one document).")
    query_id: str | None = option(None, "Column of query ids (equal texts are one query).")
    columns: tuple[str, ...] | None = option(None, "Column names for a file without a header: query,positive.")
    encoding: str | None = option(None, "Text encoding, such as gb18030 (UTF-8, else Windows-1252).")
    delimiter: str | None = option(None, "Field separator: one character, or tab (detected).")
    quoting: str | None = option(None, "Quotes around fields: double or none (double in CSV).", _one_of(QUOTINGS))
    grades: tuple[str, ...] | None = option(None, "Numbers for labels: Exact=3,Partial=1,Irrelevant=0.")
    positives_only: bool = option(False, "Every row is a relevant pair; all other pairs get grade 0.")
    split_column: str | None = option(None, "Column that says train, validation or test.")
    max_records: int | None = option(None, "Use a random subset of N records.", _at_least(1))
    threshold: float | None = option(
        None,
        "Lowest grade that counts as relevant (found in histogram).",
        Check("a finite number", isfinite),
    )
    grade_range: tuple[float, ...] | None = option(
        None,
        "Lowest and highest possible grade, such as 1,3 (no limit).",
        Check("the lowest and the highest grade: 1,3", lambda ends: len(ends) == 2 and -inf < ends[0] < ends[1] < inf),
    )
    conflicts: str = option("mean", "If a pair's grades differ: mean, max, last, error.", _one_of(CONFLICTS))
    on_bad_row: str = option("stop", "Bad row: stop, or set-aside into a separate file.", _one_of(BAD_ROWS))

    @property
    def name(self) -> str:
        """The name of the data in messages and pages: the file given as --qrels, or else the source."""
        return self.source if self.qrels is None else self.qrels


@dataclass(frozen=True)
class SplitSettings:
    """Settings of the split into training, validation and test queries."""

    protocol: str = option("leak-free", "How to split: leak-free, by-query, published.", _one_of(PROTOCOLS))
    validation: float | None = option(None, "Share of queries in the validation split (0.1 to 0.35).", _INNER_SHARE)
    test: float | None = option(None, "Share of queries in the test split (0.2 to 0.3).", _INNER_SHARE)
    folds: int | None = option(
        None,
        "For few queries: N-fold cross-validation; try 10.",
        _at_least(2),
    )

    @property
    def shares(self) -> tuple[float, float]:
        """Shares of queries for validation and test; a share that is not given is the smallest that nestvec chooses."""
        return self.validation or LEAST_VALIDATION, self.test or LEAST_TEST


@dataclass(frozen=True)
class TrainingSettings:
    """Settings of the training."""

    # The defaults were chosen on the validation splits of the sample and of real judgements.
    model: str = option(DEFAULT_MODEL, "Pretrained model: a folder or name (all-MiniLM-L6-v2).")
    model_sha256: str | None = option(None, "Required SHA-256 of the file model.safetensors.")
    query_prompt: str | None = option(None, "Text to put before every query (the model's own).")
    document_prompt: str | None = option(None, "Text to put before every document (the model's).")
    systems: tuple[str, ...] = option(("mnr", "matryoshka"), ", ".join(TRAINABLE) + ".", _distinct(TRAINABLE))
    adapt: str = option("off", "Adapt to documents first: train, catalogue, or off.", _one_of(ADAPTING))
    epochs: int = option(1, "Passes over the pairs; 0 measures without training.", _at_least(0))
    batch_size: int | None = option(None, "Pairs per batch (16, or 64 with 4,096 pairs or more).", _at_least(2))
    learning_rate: float | None = option(None, "Peak learning rate (5e-5 to 1.5e-4, by number of steps).", _POSITIVE)
    warmup: float = option(0.1, "Warm-up, as a share of all steps.", _SHARE_BELOW_1)
    dropout: float | None = option(None, "Dropout probability (the model's).", _SHARE_BELOW_1)
    accumulate: int = option(1, "Gradient accumulation: batches per step.", _at_least(1))
    compute: str = option(
        "auto",
        "float32, bfloat16, or auto: the faster here.",
        _one_of(COMPUTE_TYPES),
    )
    scale: float | None = option(None, "Factor on similarities before the softmax (20).", _POSITIVE)
    dimension_weights: tuple[float, ...] | None = option(
        None,
        "Loss weight per width (1; graded: 1, 1/4, 1/16 …).",
        Check(
            "numbers from 0 on, not all of them 0",
            lambda weights: all(0 <= weight < inf for weight in weights) and any(weights),
        ),
    )
    validate_every: int | None = option(None, "Steps between validations (1/3 of all, at least 100).", _at_least(1))
    patience: int = option(0, "Stop after N validations without a gain (0: never).", _at_least(0))
    report_to: tuple[str, ...] = option(
        (), "Log training to " + ", ".join(REPORTERS) + ".", _distinct(REPORTERS, fewest=0)
    )

    @property
    def trained(self) -> tuple[str, ...]:
        """Systems to train, in order: `adapted` first if other systems start from it; none with `--epochs 0`."""
        systems = self.systems if self.adapt == NO_ADAPTING else tuple(dict.fromkeys((ADAPTED, *self.systems)))
        return systems if self.epochs else ()

    @property
    def only_adapted(self) -> bool:
        """Whether `adapted` is the only trained system: then the split need not leave training queries."""
        return self.trained == (ADAPTED,)

    @property
    def adapted_on(self) -> str:
        """Which documents the system `adapted` is trained on: `train` or `catalogue`; empty if it is not trained."""
        documents = TRAIN_DOCUMENTS if self.adapt == NO_ADAPTING else self.adapt
        return documents if ADAPTED in self.trained else ""

    def start_of(self, system: str) -> str:
        """The system whose weights the training of `system` starts from: `pretrained` or `adapted`."""
        return PRETRAINED if self.adapt == NO_ADAPTING or system == ADAPTED else ADAPTED


@dataclass(frozen=True)
class GradedSettings:
    """Settings that apply only to the training of the system `graded`."""

    # Each default was decided by an ablation on validation data: docs/ablations.md.
    codes: tuple[str, ...] = option(
        (), "graded: precisions to train for, such as binary,int2.", _distinct(PRECISIONS[1:], fewest=0)
    )
    code_share: float = option(0.5, "graded: share of the loss on --codes vectors.", _SHARE)
    distil: float = option(
        0.0,
        "graded: weight of distillation from full width.",
        Check("0 or more", lambda weight: 0 <= weight < inf),
    )
    hard_negatives: int = option(
        0,
        "graded: mined hard negatives per training row.",
        Check(f"0 to {MOST_NEGATIVES}", lambda count: 0 <= count <= MOST_NEGATIVES),
    )
    negative_margin: float = option(
        0.95,
        "graded: limit on similarity negative/positive.",
        Check("a share above 0, at most 1", lambda share: 0 < share <= 1),
    )
    mixing: tuple[float, ...] = option(
        (1.0, 0.75, 0.5, 0.0),
        "graded: tuned-weight shares to try (1, 0.75, 0.5, 0).",
        Check("shares from 0 to 1", lambda shares: len(shares) > 0 and all(map(_SHARE.holds, shares))),
    )


@dataclass(frozen=True)
class EvaluationSettings:
    """Settings of the evaluation: what to measure."""

    dimensions: tuple[int, ...] | None = option(
        None,
        "Vector widths (the model's, and 1/2, 1/4, 1/8 of it).",
        Check("whole numbers from 1 to the model's width", lambda widths: len(widths) > 0 and min(widths) >= 1),
    )
    precisions: tuple[str, ...] = option(PRECISIONS, ", ".join(PRECISIONS) + " (all).", _distinct(PRECISIONS))
    axes_precisions: tuple[str, ...] = option(
        ("float32", "int8", "int4", "int2", "binary"),
        f"Precisions on PCA axes, or {NO_AXES} (all but float16).",
        _distinct((*PRECISIONS, NO_AXES)),
    )
    cutoffs: tuple[int, ...] = option(
        (1, 5, 10, 100),
        f"Metric cutoffs k, up to {DEPTH} (1, 5, {CUTOFF}, {DEPTH}).",
        Check(f"whole numbers from 1 to {DEPTH}", lambda cutoffs: all(1 <= cutoff <= DEPTH for cutoff in cutoffs)),
    )
    two_stage: tuple[str, ...] | None = option(
        None,
        "Shortlist:rerank formats, 48.int8:384.int8 (2 usual).",
    )
    shortlist: int = option(DEPTH, "Documents in the shortlist for reranking.", _at_least(DEPTH))
    models: tuple[str, ...] = option((), "Other models to measure too: folders or names.")
    bigger: str = option(BIGGER_MODEL, "Bigger model, measured if present (all-mpnet-base-v2).")
    language: str | None = option(
        None,
        "Stemming for BM25: english, …, cjk, none (detected).",
        _one_of(tuple(LANGUAGES)),
    )
    resamples: int = option(10_000, "Resamples for intervals and tests.", _at_least(100))


@dataclass(frozen=True)
class RecommendationSettings:
    """Settings of the recommendation: the metric, and how good and how small the recommended vectors must be."""

    metric: str = option("recall@10", "Metric that decides what is recommended.")
    margin: float = option(
        0.01, "Largest loss of that metric to accept.", Check("a number between 0 and 1", lambda margin: 0 < margin < 1)
    )
    max_bytes: int | None = option(None, "Largest vector to recommend, in bytes (no limit).", _at_least(1))
    min_recall: float | None = option(
        None,
        "Lowest recall@10 on validation to recommend (no limit).",
        Check("a share above 0", lambda recall: 0 < recall <= 1),
    )


@dataclass(frozen=True)
class Settings:
    """All settings of a run; their values are checked when the object is made.

    Raises:
        InputError: a value lies outside its range; the message names the option.
    """

    data: DataSettings = field(default_factory=DataSettings)
    split: SplitSettings = field(default_factory=SplitSettings)
    training: TrainingSettings = field(default_factory=TrainingSettings)
    graded: GradedSettings = field(default_factory=GradedSettings)
    evaluation: EvaluationSettings = field(default_factory=EvaluationSettings)
    recommendation: RecommendationSettings = field(default_factory=RecommendationSettings)
    seed: int = option(
        42, "Random seed of split, training and statistics.", Check("0 to 4294967295", lambda seed: 0 <= seed < 2**32)
    )

    def __post_init__(self) -> None:
        """Check all values that can be checked without the data; raise InputError for the first wrong value."""
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
        """Build settings from option names and values; a name that is not given keeps its default.

        Args:
            values: names as in the dataclasses; a dash may stand for an underscore.
            where: where the values come from, for messages: the config file, or "the command line".

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
        """Map names of settings to values, except values of None; `from_flat` builds equal settings from the result."""
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
    """Read the formats of shortlist and reranking from `48.int8:384.int8`; raise InputError for another form."""
    try:
        first, second = map(VectorFormat.parse, text.split(":"))
    except ValueError as error:  # also of one part, or of three
        raise InputError(f"--two-stage is {text!r}", "two dimensions and precisions: 48.int8:384.int8") from error
    return first, second


def metric_names(cutoffs: tuple[int, ...]) -> tuple[str, ...]:
    """List the metrics that can be chosen with `--metric`: every measure at every cutoff, and `map`."""
    return (*(f"{measure}@{cutoff}" for cutoff in sorted({CUTOFF, *cutoffs}) for measure in MEASURES), "map")


def cutoff_of(metric: str) -> int:
    """Return how many documents of a ranking a metric takes into account: 10 for `recall@10`, and 100 for `map`."""
    return int(metric.partition("@")[2] or DEPTH)


def sections() -> dict[str, Any]:
    """Map the name of each stage, such as `training`, to the dataclass of the stage's settings."""
    return {entry.name: entry.default_factory for entry in fields(Settings) if entry.default_factory is not MISSING}


def from_keywords(kind: type[T], given: Mapping[str, Any], function: str) -> T:
    """Build a settings dataclass from the keyword arguments of a public function.

    Args:
        kind: the dataclass.
        given: the keyword arguments, names to values.
        function: the function's name, for messages.

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
    """Map the name of each setting to its stage and its dataclass field; the stage of `seed` is an empty text."""
    owners = {entry.name: (stage, entry) for stage, kind in sections().items() for entry in fields(kind)}
    return owners | {entry.name: ("", entry) for entry in fields(Settings) if entry.name not in sections()}


def _unknown_setting(given: str, name: str, known: Iterable[str], where: str) -> InputError:
    close = get_close_matches(name.lower(), known, n=1)
    hint = f"; did you mean {close[0]!r}?" if close else ""
    return InputError(f"unknown setting {given!r}", "one of " + ", ".join(sorted(known)) + hint, file=where)


def _convert(entry: Field[Any], value: Any, where: str) -> Any:  # noqa: ANN401 - a TOML value is anything until checked
    """Convert a value to the type of the setting's field; raise InputError if the value has a wrong type."""
    stated = str(entry.type)
    if stated.startswith("tuple"):
        return _convert_list(entry.name, value, stated.removeprefix("tuple[").partition(",")[0], where)
    kind, expected = _KINDS[stated.partition(" ")[0]]
    if not isinstance(value, kind) or isinstance(value, bool) != (kind is bool):
        raise InputError(f"{option_name(entry.name)} is {value!r}", expected, file=where)
    return float(value) if stated.startswith("float") else value


def _convert_list(name: str, value: Any, kind: str, where: str) -> tuple[Any, ...]:  # noqa: ANN401 - see _convert
    """Convert a comma-separated text, or a list, to a tuple of the setting's item type; an empty text gives ()."""
    items = (value.split(",") if value else ()) if isinstance(value, str) else value
    try:
        return tuple({"int": int, "float": float, "str": str}[kind](str(item).strip()) for item in items)
    except (TypeError, ValueError) as error:
        raise InputError(f"{option_name(name)} is {value!r}", _LISTS[kind], file=where) from error


def option_name(name: str) -> str:
    """Return the name of a setting as typed on the command line: `--batch-size` for `batch_size`."""
    return "--" + name.replace("_", "-")


def _require(right: bool, name: str, value: Any, expected: str) -> None:  # noqa: ANN401 - of any setting
    """Raise InputError, which names the setting's option and its value, unless `right` is true."""
    if not right:
        shown = ", ".join(map(str, value)) if isinstance(value, tuple) else value
        raise InputError(f"{option_name(name)} is {shown}", expected)
