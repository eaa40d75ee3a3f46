"""Every setting of a run: one frozen dataclass per stage.

The names are flat everywhere a person meets them (`--batch-size`, `batch_size = 16`); which stage owns a name is read
off the dataclasses below. Checks that need no data are made here, before anything else happens.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, fields
from math import isfinite
from typing import TYPE_CHECKING, Any

from nestvec.errors import InputError
from nestvec.point import PRECISIONS

if TYPE_CHECKING:
    from collections.abc import Mapping

DEFAULT_MODEL = "sentence-transformers/all-MiniLM-L6-v2"
TRAINABLE = ("mnr", "matryoshka", "cosine", "cosine-matryoshka", "cosent", "cosent-matryoshka", "graded")
MOST_NEGATIVES = 50  # mined per query
_UP_TO_NEGATIVES = f"0 to {MOST_NEGATIVES}"
REPORTERS = {"tensorboard": ("tensorboard", "tensorboardX"), "wandb": ("wandb",), "mlflow": ("mlflow",)}  # and modules
PROTOCOLS = ("leak-free", "by-query", "published")
CONFLICTS = ("mean", "max", "last", "error")
BAD_ROWS = ("stop", "set-aside")
MEASURES = ("recall", "precision", "mrr", "ndcg", "ndcg-exp", "accuracy")  # each at several cutoffs
CUTOFF = 10  # always measured: what the report shows first
DEPTH = 100  # documents of a ranking that are kept
BIGGER_MODEL = "sentence-transformers/all-mpnet-base-v2"
COMPUTE_TYPES = ("auto", "float32", "bfloat16")


def option(default: Any, text: str, *, panel: str | None = None, repeat: bool = False) -> Any:  # noqa: ANN401 - the field's
    """A field of a settings dataclass that becomes an option of a command (`cli/options.py`).

    Args:
        default: the field's value where nothing is given.
        text: what `--help` shows.
        panel: the heading in `--help` below which it stands; None takes the one of the dataclass.
        repeat: whether the option of a tuple is given once for each item, in place of commas between them.

    Returns:
        The field.
    """
    shown = {"help": text, "repeat": repeat}
    return field(default=default, metadata=shown if panel is None else {**shown, "panel": panel})


_option = option


@dataclass(frozen=True)
class DataSettings:
    """What to read."""

    source: str = _option("sample", "`sample`, a CSV, TSV, JSONL or Parquet file, a folder of them, or hf:NAME.")
    queries: str | None = _option(None, "A collection in three parts: the queries' file.")
    corpus: str | None = _option(None, "The documents' file of such a collection.")
    qrels: str | None = _option(None, "The judgements' file of such a collection: TREC's or BEIR's form.")
    split: str | None = _option(None, "Which split of a data set from the hub (all).")
    revision: str | None = _option(None, "Which revision of a data set from the hub (the newest, pinned in the run).")
    query: str | None = _option(None, "Column with the query (found by its name).")
    document: str | None = _option(
        None, "Column with the text, several (name,description) or a template ({name}. {brand})."
    )
    grade: str | None = _option(None, "Column with the relevance grade (found by its name).")
    document_id: str | None = _option(None, "Column that tells documents apart (their text does).")
    split_column: str | None = _option(None, "Column with your own split: train, validation or test.")
    max_records: int | None = _option(None, "Take a seeded subset of this many records.")
    threshold: float | None = _option(None, "Relevant from this grade on (the dip of the grades' histogram).")
    grade_range: tuple[float, ...] | None = _option(None, "Lowest and highest grade there can be: 1,3 (any).")
    conflicts: str = _option("mean", "What counts when judgements differ: mean, max, last or error.")
    on_bad_row: str = _option("stop", "What to do with a bad row: stop, or set-aside into data/rejected.parquet.")


@dataclass(frozen=True)
class SplitSettings:
    """How to split."""

    protocol: str = _option("leak-free", "leak-free, by-query, or published (by record, as the original experiment).")
    validation: float = _option(0.1, "Share of the queries to choose on.")
    test: float = _option(0.2, "Share of the queries to report on.")


@dataclass(frozen=True)
class TrainingSettings:
    """How to train."""

    # The defaults were chosen on the validation splits of the sample and of real judgements.
    model: str = _option(DEFAULT_MODEL, "The pretrained model: a folder or a name.")
    model_sha256: str | None = _option(None, "What its model.safetensors must hash to.")
    systems: tuple[str, ...] = _option(("mnr", "matryoshka"), "What to train: " + ", ".join(TRAINABLE) + ".")
    epochs: int = _option(1, "Passes over the training pairs; 0 prepares and measures without training.")
    batch_size: int = _option(16, "Pairs in a batch; each is the others' negative.")
    learning_rate: float | None = _option(None, "Peak learning rate (5e-5, up to 1.5e-4 where there are few steps).")
    warmup: float = _option(0.1, "Share of the steps that warm up.")
    accumulate: int = _option(1, "Batches whose gradients make one step.")
    compute: str = _option("auto", "auto (bfloat16 where the hardware has the instructions), float32 or bfloat16.")
    scale: float | None = _option(None, "What similarities are multiplied by before the softmax (20).")
    dimension_weights: tuple[float, ...] | None = _option(
        None, "What each width counts in a Matryoshka objective, widest first (1 each; graded: 1, 1/4, 1/16 …)."
    )
    validate_every: int | None = _option(
        None, "Steps between validations and checkpoints (a third of all, 100 at least)."
    )
    patience: int = _option(0, "Validations without a gain after which to stop; 0 never stops.")
    report_to: tuple[str, ...] = _option((), "Who else is told of the training: " + ", ".join(REPORTERS) + ".")


@dataclass(frozen=True)
class GradedSettings:
    """How `graded` trains, besides."""

    # Each default was decided by an ablation on validation data: docs/training.md.
    codes: tuple[str, ...] = _option((), "Precisions that the documents pass through while training.")
    code_share: float = _option(0.5, "Share of the loss that is taken through them.")
    distil: float = _option(0.0, "Weight of learning each width's similarities from the full width's.")
    hard_negatives: int = _option(0, "Documents that nobody judged but the model ranks high, per row.")
    negative_margin: float = _option(0.95, "Such a document's similarity, over the positive's, is at most this.")
    mixing: tuple[float, ...] = _option(
        (1.0, 0.75, 0.5, 0.0), "Shares of the tuned weights, the rest pretrained, to choose from on validation."
    )


@dataclass(frozen=True)
class EvaluationSettings:
    """What to measure."""

    dimensions: tuple[int, ...] | None = _option(None, "Widths (the model's, and its 1/2, 1/4 and 1/8).")
    precisions: tuple[str, ...] = _option(PRECISIONS, "How vectors are stored: " + ", ".join(PRECISIONS) + ".")
    cutoffs: tuple[int, ...] = _option((1, 5, 10, 100), f"Where rankings are cut, up to {DEPTH}; {CUTOFF} always is.")
    two_stage: tuple[str, ...] | None = _option(
        None,
        "Shortlist and re-ranking: 48.int8:384.int8 (the narrowest int8, and the widest binary, then the widest int8).",
    )
    shortlist: int = _option(DEPTH, "Documents that the first of two stages hands on.")
    models: tuple[str, ...] = _option((), "Other models to measure beside: folders or names.")
    bigger: str = _option(BIGGER_MODEL, "A bigger pretrained model, measured if this machine has it; empty for none.")
    resamples: int = _option(10_000, "Draws of the bootstrap and of the paired test.")


@dataclass(frozen=True)
class RecommendationSettings:
    """What counts as not worse."""

    metric: str = _option("recall@10", "What the recommendation goes by.")
    margin: float = _option(0.01, "How much of it may be lost.")
    max_bytes: int | None = _option(None, "Recommend no vector of more bytes (any).")
    min_recall: float | None = _option(None, "Recommend no vector with a lower recall@10 on validation (any).")


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
    seed: int = _option(42, "Decides split, order and draws.")

    def __post_init__(self) -> None:
        """Check every range that can be checked without data."""
        _check(self)

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
        known = {**_owners(), "seed": ""}
        by_section: dict[str, dict[str, Any]] = {section: {} for section in sections()}
        top: dict[str, Any] = {}
        for given, value in values.items():
            if value is None:  # not given
                continue
            name = given.replace("-", "_")
            if name not in known:
                raise InputError(f"unknown setting {given!r}", "one of " + ", ".join(sorted(known)), file=where)
            target = by_section[known[name]] if known[name] else top
            target[name] = _converted(name, value, where)
        stages = {name: kind(**by_section[name]) for name, kind in sections().items()}
        return cls(**stages, **top)

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


def parsed_stages(text: str) -> tuple[tuple[int, str], tuple[int, str]]:
    """Dimension and precision of two stages, from `48.int8:384.int8`.

    Args:
        text: as typed.

    Returns:
        The shortlist's, and those of what ranks it.

    Raises:
        InputError: it has another form.
    """
    parts = [part.partition(".") for part in text.split(":")]
    if len(parts) != 2 or not all(part[0].isdecimal() and int(part[0]) and part[2] in PRECISIONS for part in parts):
        raise InputError(f"--two-stage is {text!r}", "two dimensions and precisions: 48.int8:384.int8")
    (first, _, coarse), (second, _, fine) = parts
    return (int(first), coarse), (int(second), fine)


def sections() -> dict[str, Any]:
    """Stage name to its dataclass."""
    return {
        "data": DataSettings,
        "split": SplitSettings,
        "training": TrainingSettings,
        "graded": GradedSettings,
        "evaluation": EvaluationSettings,
        "recommendation": RecommendationSettings,
    }


def _owners() -> dict[str, str]:
    """Setting name to the stage that owns it."""
    return {entry.name: section for section, kind in sections().items() for entry in fields(kind)}


def _converted(name: str, value: Any, where: str) -> Any:  # noqa: ANN401 - a TOML value is anything until checked
    """The value in the setting's own type, as its dataclass states it."""
    kinds = (*sections().values(), Settings)
    stated = next(str(entry.type) for kind in kinds for entry in fields(kind) if entry.name == name)
    if stated.startswith("tuple"):
        return _as_list(name, value, {"int": int, "float": float, "str": str}[stated[6:].split(",")[0]], where)
    if stated.startswith("int"):
        kind, right = "a whole number", isinstance(value, int) and not isinstance(value, bool)
    elif stated.startswith("float"):
        kind, right = "a number", isinstance(value, int | float) and not isinstance(value, bool)
        value = float(value) if right else value
    else:
        kind, right = "text", isinstance(value, str)
    if not right:
        raise InputError(f"{_flag(name)} is {value!r}", kind, file=where)
    return value


def _as_list(name: str, value: Any, kind: type, where: str) -> tuple[Any, ...]:  # noqa: ANN401 - see _converted
    """A comma-separated text or a list as a tuple of the setting's item type; an empty text holds nothing."""
    items = (value.split(",") if value else ()) if isinstance(value, str) else value
    try:
        return tuple(kind(str(item).strip()) for item in items)
    except (TypeError, ValueError) as error:
        raise InputError(
            f"{_flag(name)} is {value!r}", f"{kind.__name__} values split by commas", file=where
        ) from error


def _flag(name: str) -> str:
    """A setting as typed on the command line."""
    return "--" + name.replace("_", "-")


def _check(settings: Settings) -> None:
    """Raise InputError for the first value outside its range."""
    for text in settings.evaluation.two_stage or ():
        parsed_stages(text)
    data, training, split, evaluation = settings.data, settings.training, settings.split, settings.evaluation
    limits, rate = (settings.data.max_records, settings.data.threshold), training.learning_rate
    graded, every, wishes = settings.graded, training.validate_every, settings.recommendation
    checks: list[tuple[str, object, bool, str]] = [
        ("max_records", limits[0], limits[0] is None or limits[0] >= 1, "1 or more"),
        ("threshold", limits[1], limits[1] is None or isfinite(limits[1]), "a finite number"),
        ("grade_range", data.grade_range, *_ascending(data.grade_range)),
        ("conflicts", data.conflicts, data.conflicts in CONFLICTS, "one of " + ", ".join(CONFLICTS)),
        ("on_bad_row", data.on_bad_row, data.on_bad_row in BAD_ROWS, "one of " + ", ".join(BAD_ROWS)),
        ("protocol", split.protocol, split.protocol in PROTOCOLS, "one of " + ", ".join(PROTOCOLS)),
        ("validation", split.validation, 0 < split.validation < 1, "a share between 0 and 1"),
        ("test", split.test, 0 < split.test < 1, "a share between 0 and 1"),
        ("test", split.test, split.validation + split.test < 1, "a share that leaves queries to train on"),
        ("epochs", training.epochs, training.epochs >= 0, "0 or more"),
        ("batch_size", training.batch_size, training.batch_size >= 2, "2 or more"),
        ("learning_rate", rate, rate is None or 0 < rate < float("inf"), "a number above 0"),
        ("warmup", training.warmup, 0 <= training.warmup < 1, "a share from 0 up to 1"),
        ("compute", training.compute, training.compute in COMPUTE_TYPES, "one of " + ", ".join(COMPUTE_TYPES)),
        ("accumulate", training.accumulate, training.accumulate >= 1, "1 or more"),
        ("scale", training.scale, training.scale is None or 0 < training.scale < float("inf"), "a number above 0"),
        ("dimension_weights", training.dimension_weights, *_weights(training.dimension_weights)),
        ("validate_every", every, every is None or every >= 1, "1 or more"),
        ("patience", training.patience, training.patience >= 0, "0 or more"),
        ("report_to", training.report_to, *_known(training.report_to, tuple(REPORTERS), fewest=0)),
        ("systems", training.systems, *_known(training.systems, TRAINABLE)),
        ("codes", graded.codes, *_known(graded.codes, PRECISIONS[1:], fewest=0)),
        ("code_share", graded.code_share, 0 <= graded.code_share <= 1, "a share from 0 to 1"),
        ("distil", graded.distil, 0 <= graded.distil < float("inf"), "0 or more"),
        ("hard_negatives", graded.hard_negatives, 0 <= graded.hard_negatives <= MOST_NEGATIVES, _UP_TO_NEGATIVES),
        ("negative_margin", graded.negative_margin, 0 < graded.negative_margin <= 1, "a share above 0, at most 1"),
        ("mixing", graded.mixing, *_shares(graded.mixing)),
        ("precisions", evaluation.precisions, *_known(evaluation.precisions, PRECISIONS)),
        ("dimensions", evaluation.dimensions, *_widths(evaluation.dimensions)),
        ("resamples", evaluation.resamples, evaluation.resamples >= 100, "100 or more"),
        ("cutoffs", evaluation.cutoffs, *_places(evaluation.cutoffs)),
        ("shortlist", evaluation.shortlist, evaluation.shortlist >= DEPTH, f"{DEPTH} or more"),
        (
            "metric",
            wishes.metric,
            wishes.metric in metrics(evaluation.cutoffs),
            "one of " + ", ".join(metrics(evaluation.cutoffs)),
        ),
        ("max_bytes", wishes.max_bytes, wishes.max_bytes is None or wishes.max_bytes >= 1, "1 or more"),
        ("min_recall", wishes.min_recall, wishes.min_recall is None or 0 < wishes.min_recall <= 1, "a share above 0"),
        ("margin", wishes.margin, 0 < wishes.margin < 1, "a number between 0 and 1"),
        ("seed", settings.seed, 0 <= settings.seed < 2**32, "0 to 4294967295"),
    ]
    for name, value, right, wanted in checks:
        if not right:
            shown = ", ".join(map(str, value)) if isinstance(value, tuple) else value
            raise InputError(f"{_flag(name)} is {shown}", wanted)


def metrics(cutoffs: tuple[int, ...]) -> tuple[str, ...]:
    """Names of the metrics that a recommendation can go by: every measure at every cutoff, and `map`."""
    return (*(f"{measure}@{place}" for place in sorted({CUTOFF, *cutoffs}) for measure in MEASURES), "map")


def _places(cutoffs: tuple[int, ...]) -> tuple[bool, str]:
    """Whether rankings can be cut there."""
    return all(1 <= place <= DEPTH for place in cutoffs), f"whole numbers from 1 to {DEPTH}"


def _known(values: tuple[str, ...], allowed: tuple[str, ...], fewest: int = 1) -> tuple[bool, str]:
    """Whether all values are allowed, none is there twice and enough are there, and what is."""
    right = set(values) <= set(allowed) and len(set(values)) == len(values) >= fewest
    return right, "each of these at most once: " + ", ".join(allowed)


def _ascending(ends: tuple[float, ...] | None) -> tuple[bool, str]:
    """Whether a range has two ends in order."""
    right = ends is None or (len(ends) == 2 and ends[0] < ends[1] and all(map(isfinite, ends)))
    return right, "the lowest and the highest grade: 1,3"


def _weights(weights: tuple[float, ...] | None) -> tuple[bool, str]:
    """Whether these can be weights; their number is checked when the widths are known."""
    right = weights is None or (all(0 <= weight < float("inf") for weight in weights) and any(weights))
    return right, "numbers from 0 on, not all of them 0"


def _shares(mixing: tuple[float, ...]) -> tuple[bool, str]:
    """Whether all are shares."""
    return len(mixing) > 0 and all(0 <= share <= 1 for share in mixing), "shares from 0 to 1"


def _widths(dimensions: tuple[int, ...] | None) -> tuple[bool, str]:
    """Whether the dimensions can be widths; the upper end is checked when the model is known."""
    right = dimensions is None or (len(dimensions) > 0 and all(width >= 1 for width in dimensions))
    return right, "whole numbers from 1 to the model's width"
