"""Every setting of a run: one frozen dataclass per stage, read from a TOML file and the command line.

The names are flat everywhere a person meets them (`--batch-size`, `batch_size = 16`); which stage owns a name is read
off the dataclasses below. Checks that need no data are made here, before anything else happens.
"""

from __future__ import annotations

import tomllib
from contextlib import suppress
from dataclasses import asdict, dataclass, field, fields
from math import isfinite
from typing import TYPE_CHECKING, Any

from nestvec.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

DEFAULT_MODEL = "sentence-transformers/all-MiniLM-L6-v2"
TRAINABLE = ("mnr", "matryoshka")
PRECISIONS = ("float32", "int8")
METRICS = ("recall@10", "mrr@10", "ndcg@10")
COMPUTE_TYPES = ("auto", "float32", "bfloat16")

_VERSIONED = ("nestvec", "torch", "transformers", "sentence-transformers", "numpy", "pyarrow", "bm25s")
_NOT_SETTINGS = {"versions", "inputs", "tune"}  # tables of a config file that other readers own


@dataclass(frozen=True)
class DataSettings:
    """Where the judgements are and how to read them."""

    source: str = "sample"  # `sample` or a file
    query: str | None = None  # column with the query; None: found by its name
    document: str | None = None  # column with the text, or several joined: "name,description"
    grade: str | None = None  # column with the grade
    document_id: str | None = None  # column that says which document it is; None: the text itself does
    max_records: int | None = None  # a seeded subset, for a quick look
    threshold: float | None = None  # relevant from this grade on; None: the dip of the histogram


@dataclass(frozen=True)
class SplitSettings:
    """Shares of the queries that are held out; the rest trains."""

    validation: float = 0.1  # choices are made here
    test: float = 0.2  # claims are made here


@dataclass(frozen=True)
class TrainingSettings:
    """The recipe. The defaults were chosen on the validation splits of the sample and of real judgements."""

    model: str = DEFAULT_MODEL  # a folder or a name
    model_sha256: str | None = None  # pin for the folder's model.safetensors
    systems: tuple[str, ...] = TRAINABLE
    epochs: int = 3  # 0: prepare and evaluate without training
    batch_size: int = 32  # pairs; each is the others' negative
    learning_rate: float = 5e-5  # peak, after the warm-up
    warmup: float = 0.1  # share of the steps
    compute: str = "auto"  # auto: bfloat16 where the processor has the instructions


@dataclass(frozen=True)
class EvaluationSettings:
    """What is measured."""

    dimensions: tuple[int, ...] | None = None  # None: the model's width and its half, quarter and eighth
    precisions: tuple[str, ...] = PRECISIONS
    resamples: int = 10_000  # bootstrap and randomisation draws; the interval's ends move by about 1 % of its width


@dataclass(frozen=True)
class RecommendationSettings:
    """What counts as not worse."""

    metric: str = "recall@10"
    margin: float = 0.01  # of the metric; a loss a shopper would not notice


@dataclass(frozen=True)
class Settings:
    """All settings of a run, checked.

    Raises:
        InputError: a value lies outside its range; the message names the option.
    """

    data: DataSettings = field(default_factory=DataSettings)
    split: SplitSettings = field(default_factory=SplitSettings)
    training: TrainingSettings = field(default_factory=TrainingSettings)
    evaluation: EvaluationSettings = field(default_factory=EvaluationSettings)
    recommendation: RecommendationSettings = field(default_factory=RecommendationSettings)
    seed: int = 42

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
        by_section: dict[str, dict[str, Any]] = {section: {} for section in _sections()}
        top: dict[str, Any] = {}
        for given, value in values.items():
            name = given.replace("-", "_")
            if name not in known:
                raise InputError(f"unknown setting {given!r}", "one of " + ", ".join(sorted(known)), file=where)
            target = by_section[known[name]] if known[name] else top
            target[name] = _converted(name, value, where)
        sections = {name: kind(**by_section[name]) for name, kind in _sections().items()}
        return cls(**sections, **top)

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


def read_config(path: Path) -> dict[str, Any]:
    """Read option names and values from a TOML file; tables named after stages are flattened.

    Args:
        path: the file.

    Returns:
        Option names to values.

    Raises:
        InputError: the file is missing or is not TOML.
    """
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"cannot be read ({error.strerror})", "a TOML file", file=path) from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InputError(f"is not TOML: {error}", "lines such as 'epochs = 3'", file=path) from error
    values: dict[str, Any] = {}
    for name, value in content.items():
        if name in _sections() and isinstance(value, dict):
            values.update(value)
        elif name not in _NOT_SETTINGS:
            values[name] = value
    return values


def config_text(settings: Settings, inputs: Mapping[str, str]) -> str:
    """The settings as a TOML file that `--config` takes, with the versions and input hashes that belong to them.

    Args:
        settings: resolved settings.
        inputs: what the inputs hash to.

    Returns:
        The text of `config.toml`.
    """
    import platform
    from importlib.metadata import PackageNotFoundError, version

    import tomli_w

    versions = {"python": platform.python_version()}
    for package in _VERSIONED:
        with suppress(PackageNotFoundError):
            versions[package] = version(package)
    return tomli_w.dumps({**settings.flat(), "versions": versions, "inputs": dict(inputs)})


def _sections() -> dict[str, Any]:
    """Stage name to its dataclass."""
    return {
        "data": DataSettings,
        "split": SplitSettings,
        "training": TrainingSettings,
        "evaluation": EvaluationSettings,
        "recommendation": RecommendationSettings,
    }


def _owners() -> dict[str, str]:
    """Setting name to the stage that owns it."""
    return {entry.name: section for section, kind in _sections().items() for entry in fields(kind)}


_INTEGERS = {"max_records", "epochs", "batch_size", "resamples", "seed"}
_NUMBERS = {"threshold", "validation", "test", "learning_rate", "warmup", "margin"}
_LISTS: dict[str, type] = {"dimensions": int, "systems": str, "precisions": str}


def _converted(name: str, value: Any, where: str) -> Any:  # noqa: ANN401 - a TOML value is anything until checked
    """The value in the setting's own type."""
    if value is None:
        return None
    if name in _LISTS:
        return _as_list(name, value, where)
    if name in _INTEGERS:
        kind, right = "a whole number", isinstance(value, int) and not isinstance(value, bool)
    elif name in _NUMBERS:
        kind, right = "a number", isinstance(value, int | float) and not isinstance(value, bool)
        value = float(value) if right else value
    else:
        kind, right = "text", isinstance(value, str)
    if not right:
        raise InputError(f"{_option(name)} is {value!r}", kind, file=where)
    return value


def _as_list(name: str, value: Any, where: str) -> tuple[Any, ...]:  # noqa: ANN401 - see _converted
    """A comma-separated text or a list as a tuple of the setting's item type."""
    items = value.split(",") if isinstance(value, str) else value
    kind = _LISTS[name]
    try:
        return tuple(kind(str(item).strip()) for item in items)
    except (TypeError, ValueError) as error:
        raise InputError(
            f"{_option(name)} is {value!r}", f"{kind.__name__} values split by commas", file=where
        ) from error


def _option(name: str) -> str:
    """A setting as typed on the command line."""
    return "--" + name.replace("_", "-")


def _check(settings: Settings) -> None:
    """Raise InputError for the first value outside its range."""
    training, split, evaluation = settings.training, settings.split, settings.evaluation
    limits = settings.data.max_records, settings.data.threshold
    checks: list[tuple[str, object, bool, str]] = [
        ("max_records", limits[0], limits[0] is None or limits[0] >= 1, "1 or more"),
        ("threshold", limits[1], limits[1] is None or isfinite(limits[1]), "a finite number"),
        ("validation", split.validation, 0 < split.validation < 1, "a share between 0 and 1"),
        ("test", split.test, 0 < split.test < 1, "a share between 0 and 1"),
        ("test", split.test, split.validation + split.test < 1, "a share that leaves queries to train on"),
        ("epochs", training.epochs, training.epochs >= 0, "0 or more"),
        ("batch_size", training.batch_size, training.batch_size >= 2, "2 or more"),
        ("learning_rate", training.learning_rate, 0 < training.learning_rate < float("inf"), "a number above 0"),
        ("warmup", training.warmup, 0 <= training.warmup < 1, "a share from 0 up to 1"),
        ("compute", training.compute, training.compute in COMPUTE_TYPES, "one of " + ", ".join(COMPUTE_TYPES)),
        ("systems", training.systems, *_known(training.systems, TRAINABLE)),
        ("precisions", evaluation.precisions, *_known(evaluation.precisions, PRECISIONS)),
        ("dimensions", evaluation.dimensions, *_widths(evaluation.dimensions)),
        ("resamples", evaluation.resamples, evaluation.resamples >= 100, "100 or more"),
        ("metric", settings.recommendation.metric, *_known((settings.recommendation.metric,), METRICS)),
        ("margin", settings.recommendation.margin, 0 < settings.recommendation.margin < 1, "a number between 0 and 1"),
        ("seed", settings.seed, 0 <= settings.seed < 2**32, "0 to 4294967295"),
    ]
    for name, value, right, wanted in checks:
        if not right:
            shown = ", ".join(map(str, value)) if isinstance(value, tuple) else value
            raise InputError(f"{_option(name)} is {shown}", wanted)


def _known(values: tuple[str, ...], allowed: tuple[str, ...]) -> tuple[bool, str]:
    """Whether all values are allowed and none is there twice, and what is."""
    right = set(values) <= set(allowed) and len(set(values)) == len(values) and len(values) > 0
    return right, "each of these at most once: " + ", ".join(allowed)


def _widths(dimensions: tuple[int, ...] | None) -> tuple[bool, str]:
    """Whether the dimensions can be widths; the upper end is checked when the model is known."""
    right = dimensions is None or (len(dimensions) > 0 and all(width >= 1 for width in dimensions))
    return right, "whole numbers from 1 to the model's width"
