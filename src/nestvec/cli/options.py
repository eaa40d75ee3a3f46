"""Settings as options of a command."""

from __future__ import annotations

import inspect
from dataclasses import fields
from typing import TYPE_CHECKING, Annotated, Any

import typer

from nestvec.settings import Settings, sections

if TYPE_CHECKING:
    from collections.abc import Callable
    from dataclasses import Field


def options(*stages: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Give a command every setting of some stages as an option; unset ones are left to config file and defaults.

    Args:
        stages: names of `settings.sections`; `seed` belongs to no stage and always comes along.

    Returns:
        A decorator for a function that takes what was typed as keyword arguments.
    """

    def decorated(command: Callable[..., None]) -> Callable[..., None]:
        own = [p for p in inspect.signature(command, eval_str=True).parameters.values() if p.kind is not p.VAR_KEYWORD]
        kinds = [sections()[stage] for stage in stages]
        added = [
            _typed(entry, (kind.__doc__ or "").rstrip("."))
            for kind in kinds
            for entry in fields(kind)
            if entry.name not in {"source", *(parameter.name for parameter in own)}
        ]
        added += [_typed(entry, "The run") for entry in fields(Settings) if entry.name == "seed"]
        parameters = [parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY) for parameter in (*own, *added)]
        command.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
        command.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
        return command

    return decorated


def _typed(entry: Field[Any], panel: str) -> inspect.Parameter:
    """A setting as a parameter that typer makes an option of."""
    kind = next((kind for kind in (int, float) if str(entry.type).startswith(kind.__name__)), str)
    default = ",".join(map(str, entry.default)) if isinstance(entry.default, tuple) else entry.default
    shown = f" ({default})" if default not in (None, "") else ""
    option = typer.Option(help=entry.metadata["help"] + shown, rich_help_panel=panel, show_default=False)
    return inspect.Parameter(
        entry.name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=Annotated[kind | None, option]
    )
