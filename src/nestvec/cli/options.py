"""Make command-line options from settings dataclasses: one option per field, with the field's help text."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from dataclasses import MISSING, fields
from functools import wraps
from pathlib import Path
from types import UnionType
from typing import TYPE_CHECKING, Annotated, Any, TypeVar, get_args, get_origin, get_type_hints

import typer

from nestvec.cli.app import catch_interrupt, console, show_log
from nestvec.cli.help_page import AS_RUN
from nestvec.errors import InputError
from nestvec.progress import make_reporter
from nestvec.settings import (
    DataSettings,
    EvaluationSettings,
    GradedSettings,
    RecommendationSettings,
    Settings,
    SplitSettings,
    TrainingSettings,
    option_name,
    sections,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Mapping
    from dataclasses import Field

    Command = Callable[..., None]

THE_RUN = "The run"
ALL_SETTINGS = (*sections().values(), Settings)  # of a run
_DATA, _FORMS, _DETAIL = "Your data", "Other data formats", "Training details"
_HEADINGS = {  # headings in `--help`, by settings dataclass; the fields of other dataclasses name their own
    Settings: THE_RUN,
    DataSettings: _DATA,
    SplitSettings: "Split",
    TrainingSettings: "Training",
    EvaluationSettings: "Evaluation",
    RecommendationSettings: "Recommendation",
    GradedSettings: _DETAIL,
}
_ORDER = (*dict.fromkeys((*_HEADINGS.values(), _FORMS, _DETAIL)),)  # of the headings: the most used ones first
_RARE = {  # settings that few people need, and their heading
    **dict.fromkeys(("queries", "corpus", "qrels", "split", "revision"), _FORMS),
    **dict.fromkeys(("columns", "encoding", "delimiter", "quoting"), _FORMS),
    **dict.fromkeys(("model_sha256", "query_prompt", "document_prompt", "warmup", "dropout", "accumulate"), _DETAIL),
    **dict.fromkeys(("scale", "dimension_weights", "validate_every", "patience"), _DETAIL),
}
_VALUES = {int: "N", float: "X", Path: "PATH"}  # what help shows for a value of the type; "…" for other types
_MANY = (tuple, Sequence)  # types of fields that hold several values
_Kind = TypeVar("_Kind")


def options(
    *kinds: type, headings: Mapping[type, str] | None = None, named_only: Collection[type] = ()
) -> Callable[[Command], Command]:
    """Give a command an option for every dataclass field that has a help text, and `--quiet` and `--verbose`.

    The command receives None for an option that the user does not give, or False for a flag; `build_settings` and
    `select_given` read these values. A field becomes no option if the command has a parameter of the same name. A
    command with a parameter `reporter` receives a reporter of progress.

    Args:
        kinds: settings dataclasses, whose fields are made by `nestvec.settings.option`.
        headings: by dataclass, the heading in `--help` for fields that name no heading themselves.
        named_only: dataclasses whose options `--help` lists by name only, without a help text.

    Returns:
        A decorator for a function that takes the options as keyword arguments.
    """

    def decorate(command: Command) -> Command:
        own = [p for p in inspect.signature(command, eval_str=True).parameters.values() if p.kind is not p.VAR_KEYWORD]
        names = [parameter.name for parameter in own]
        reports = "reporter" in names
        panels = {**_HEADINGS, **(headings or {})}
        panels |= dict.fromkeys(named_only, AS_RUN)
        made = [parameter for kind in kinds for parameter in _create_options(kind, panels.get(kind))]
        made.sort(key=_rank_heading)  # stable: options of one heading keep their order
        added = [parameter for parameter in made if parameter.name not in names]
        parameters = [
            parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY)
            for parameter in (*own, *added, *_VERBOSITY)
            if parameter.name != "reporter"
        ]

        @wraps(command)
        def run_command(*, quiet: bool, verbose: bool, **typed: Any) -> None:  # noqa: ANN401 - whatever was typed
            if quiet and verbose:
                raise InputError("--quiet and --verbose are both given", "at most one of the two")
            if reports:
                typed["reporter"] = make_reporter(not quiet, console)
            with catch_interrupt(), show_log(verbose):
                command(**typed)

        run_command.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
        run_command.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
        return run_command

    return decorate


def select_given(typed: Mapping[str, Any]) -> dict[str, Any]:
    """Select the command-line options that the user gave: those whose value is neither None nor False."""
    return {name: value for name, value in typed.items() if value is not None and value is not False}


def build_settings(kind: type[_Kind], typed: Mapping[str, Any]) -> _Kind:
    """Build a settings dataclass from those command-line options that are its fields and are not None."""
    hints = get_type_hints(kind)
    given = {entry.name: typed[entry.name] for entry in _list_fields(kind) if typed.get(entry.name) is not None}
    for name, value in given.items():
        if get_origin(_drop_none(hints[name])) in _MANY:
            given[name] = tuple(value.split(",") if isinstance(value, str) else value)
    return kind(**given)


def _create_options(kind: type, heading: str | None) -> Iterator[inspect.Parameter]:
    """Make a parameter for each field of a dataclass; typer turns the parameters into options."""
    hints = get_type_hints(kind)
    for entry in _list_fields(kind):
        if "help" not in entry.metadata or (kind is DataSettings and entry.name == "source"):  # source is an argument
            continue
        annotation, panel = _read_type(hints[entry.name], entry), entry.metadata.get("panel", heading)
        if kind in _HEADINGS and heading != AS_RUN:
            panel = _RARE.get(entry.name, panel)
        default = False if annotation is bool else None
        if annotation is bool:
            option = create_flag(entry.name, entry.metadata["help"], panel)
        else:
            text = entry.metadata["help"] + _show_default(entry)
            metavar = _VALUES.get(annotation, "…")
            option = typer.Option(help=text, rich_help_panel=panel, show_default=False, metavar=metavar)
            annotation = annotation | None
        yield inspect.Parameter(
            entry.name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=Annotated[annotation, option]
        )


def _rank_heading(parameter: inspect.Parameter) -> int:
    """Return a number by which options are sorted on the help page: the place of the option's heading."""
    panel = parameter.annotation.__metadata__[0].rich_help_panel
    return _ORDER.index(panel) if panel in _ORDER else len(_ORDER) if panel == AS_RUN else -1


def create_flag(name: str, text: str, panel: str | None = None) -> Any:  # noqa: ANN401 - typer's
    """Create a flag `--NAME`, which takes no value and has no second form `--no-NAME`."""
    return typer.Option(option_name(name), help=text, rich_help_panel=panel, metavar="")


def _list_fields(kind: Any) -> tuple[Field[Any], ...]:  # noqa: ANN401 - a dataclass; mypy has no word for it
    return fields(kind)


def _read_type(hint: Any, entry: Field[Any]) -> Any:  # noqa: ANN401 - types are values here
    """Return the type of a setting's option; a tuple is typed as text with commas, or as a repeated option."""
    kind = _drop_none(hint)
    if get_origin(kind) in _MANY:
        return list[str] if entry.metadata.get("repeat") else str
    return kind


def _drop_none(hint: Any) -> Any:  # noqa: ANN401 - types are values here
    """Remove None from a type hint: `int` from `int | None`."""
    return get_args(hint)[0] if isinstance(hint, UnionType) else hint


def _show_default(entry: Field[Any]) -> str:
    """Return an option's default, `(10)`, to append to its help text; empty if the text already states a default."""
    if entry.metadata["help"].endswith(")."):
        return ""
    value = ",".join(map(str, entry.default)) if isinstance(entry.default, tuple) else entry.default
    return "" if value in (None, "", MISSING) else f" ({value})"


_VERBOSITY = tuple(
    inspect.Parameter(
        name, inspect.Parameter.KEYWORD_ONLY, default=False, annotation=Annotated[bool, create_flag(name, text)]
    )
    for name, text in (
        ("quiet", "Show results and errors only."),
        ("verbose", "Also show which files, models and libraries are used."),
    )
)
