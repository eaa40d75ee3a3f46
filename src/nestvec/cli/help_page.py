"""`--help` as plain text: a line an option, options below what they are about, those used most first."""

from __future__ import annotations

from textwrap import fill, indent
from typing import TYPE_CHECKING, Any

from typer.core import TyperCommand, TyperGroup

if TYPE_CHECKING:
    from collections.abc import Iterable

    from typer.core import TyperOption

GENERAL = "Options"
AS_RUN = "Settings of a run, see `nestvec run --help`"  # of which the names alone are listed


class Command(TyperCommand):
    """A command: arguments and options without a heading of their own stand below the first heading."""

    def get_help_option(self, ctx: Any) -> TyperOption | None:  # noqa: ANN401 - click's, or typer's copy of click
        """The option `--help`, which takes no value."""
        return _without_type(super().get_help_option(ctx))

    def format_options(self, ctx: Any, formatter: Any) -> None:  # noqa: ANN401 - see `get_help_option`
        """Write the sections of options."""
        _write_sections(self.get_params(ctx), formatter)


class Group(TyperGroup):
    """All commands, each with its whole sentence."""

    def get_help_option(self, ctx: Any) -> TyperOption | None:  # noqa: ANN401 - as for `Command`
        """The option `--help`, which takes no value."""
        return _without_type(super().get_help_option(ctx))

    def format_options(self, ctx: Any, formatter: Any) -> None:  # noqa: ANN401 - as for `Command`
        """Write the options, then the commands."""
        _write_sections(self.get_params(ctx), formatter)
        with formatter.section("Commands"):
            formatter.write_dl([(name, command.help or "") for name, command in self.commands.items()])


def _without_type(option: TyperOption | None) -> TyperOption | None:
    """The same option; help shows nothing where the type of its value would stand."""
    if option is not None:
        option.metavar = ""
    return option


def _write_sections(parameters: Iterable[Any], formatter: Any) -> None:  # noqa: ANN401 - click's, or typer's copy
    """Write a section for each heading, in the order in which the headings come; of `AS_RUN` the names alone."""
    listed = list(parameters)
    first = next((parameter for parameter in listed if parameter.param_type_name == "option"), None)
    general = getattr(first, "rich_help_panel", None) or GENERAL
    sections: dict[str, list[tuple[str, str]]] = {}
    for parameter in listed:
        heading = parameter.rich_help_panel or general
        sections.setdefault(heading, []).append((_name(parameter), parameter.help or ""))
    for heading, lines in sections.items():
        with formatter.section(heading):
            if heading == AS_RUN:
                names = ", ".join(name.partition(" ")[0] for name, _ in lines)
                formatter.write(indent(fill(names, formatter.width - 2, break_on_hyphens=False), "  ") + "\n")
            else:
                formatter.write_dl(lines, col_max=32)


def _name(parameter: Any) -> str:  # noqa: ANN401 - click's, or typer's copy of click
    """An option and a hint at its value: `--epochs N`; of an argument what stands for it."""
    if parameter.param_type_name == "argument":
        return str(parameter.metavar or parameter.name.upper())
    return f"{parameter.opts[0]} {parameter.metavar or ''}".rstrip()
