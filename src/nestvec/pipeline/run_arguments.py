"""Settings as keyword arguments of Python functions, with types for editors and defaults for `help()`.

Each key is a setting, explained in its dataclass in `nestvec.settings`. A test keeps keys and dataclasses equal.
"""

import inspect
from collections.abc import Callable, Sequence
from dataclasses import MISSING, fields
from typing import Any, TypedDict, TypeVar

from nestvec.settings import Settings, sections

_Function = TypeVar("_Function", bound=Callable[..., Any])


class MeasuringSettings(TypedDict, total=False):
    """The keyword arguments of `evaluate`. A setting with several values takes a sequence, or text with commas."""

    # data
    queries: str | None
    corpus: str | None
    qrels: str | None
    split: str | None
    revision: str | None
    query: str | None
    document: str | None
    grade: str | None
    document_id: str | None
    query_id: str | None
    columns: Sequence[str] | None
    encoding: str | None
    delimiter: str | None
    quoting: str | None
    grades: Sequence[str] | None
    positives_only: bool
    split_column: str | None
    max_records: int | None
    threshold: float | None
    grade_range: Sequence[float] | str | None
    conflicts: str
    on_bad_row: str
    # split
    protocol: str
    validation: float | None
    test: float | None
    folds: int | None
    # training
    model: str
    model_sha256: str | None
    query_prompt: str | None
    document_prompt: str | None
    systems: Sequence[str]
    adapt: str
    batch_size: int | None
    learning_rate: float | None
    warmup: float
    dropout: float | None
    accumulate: int
    compute: str
    scale: float | None
    dimension_weights: Sequence[float] | str | None
    validate_every: int | None
    patience: int
    report_to: Sequence[str]
    # graded
    codes: Sequence[str]
    code_share: float
    distil: float
    hard_negatives: int
    negative_margin: float
    mixing: Sequence[float] | str
    # evaluation
    dimensions: Sequence[int] | str | None
    precisions: Sequence[str]
    cutoffs: Sequence[int] | str
    axes_precisions: Sequence[str]
    two_stage: Sequence[str] | None
    shortlist: int
    bigger: str
    language: str | None
    resamples: int
    # recommendation
    metric: str
    margin: float
    max_bytes: int | None
    min_recall: float | None
    # of the whole run
    seed: int


class RunSettings(MeasuringSettings, total=False):
    """The keyword arguments of `run` and `check`: all settings of a run."""

    models: Sequence[str]
    epochs: int


def show_settings(keywords: Any, *others: Any) -> Callable[[_Function], _Function]:  # noqa: ANN401 - classes
    """Make a decorator by which `help()` lists every setting that a function takes as `**settings`.

    Args:
        keywords: the TypedDict of the settings.
        others: dataclasses with the defaults of settings that do not belong to a run.

    Returns:
        The decorator; it changes the function's signature and nothing else.
    """
    owners = (*sections().values(), Settings, *others)
    defaults = {entry.name: entry.default for kind in owners for entry in fields(kind) if entry.default is not MISSING}

    def decorate(function: _Function) -> _Function:
        signature = inspect.signature(function)
        own = [parameter for parameter in signature.parameters.values() if parameter.kind is not parameter.VAR_KEYWORD]
        listed = [
            inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=defaults[name], annotation=annotation)
            for name, annotation in keywords.__annotations__.items()
        ]
        function.__signature__ = signature.replace(parameters=[*own, *listed])  # type: ignore[attr-defined]
        return function

    return decorate
