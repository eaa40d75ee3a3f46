"""`--help` as plain text: one line per option, grouped by topic, the most used topics first."""

from __future__ import annotations

from textwrap import fill, indent
from typing import TYPE_CHECKING, Any

from typer.core import TyperCommand, TyperGroup

if TYPE_CHECKING:
    from collections.abc import Iterable

    from typer.core import TyperOption

GENERAL = "Options"
AS_RUN = "Settings of a run, see `nestvec run --help`"  # below this heading only names are listed
DEFAULTS = "Values in parentheses are defaults."


class Command(TyperCommand):
    """A command with a plain-text help page; options that name no heading are listed below the page's first heading."""

    def get_help_option(self, ctx: Any) -> TyperOption | None:  # noqa: ANN401 - click's, or typer's copy of click
        """Return the option `--help`, which is listed without a type because it takes no value."""
        return _without_type(super().get_help_option(ctx))

    def format_options(self, ctx: Any, formatter: Any) -> None:  # noqa: ANN401 - see `get_help_option`
        """Write a command's options in sections, below a line which says that values in parentheses are defaults."""
        formatter.write_paragraph()
        with formatter.indentation():
            formatter.write_text(DEFAULTS)
        _write_sections(self.get_params(ctx), formatter)


class Group(TyperGroup):
    """The group of all nestvec commands, whose help page shows the whole help text of each command."""

    def get_help_option(self, ctx: Any) -> TyperOption | None:  # noqa: ANN401 - as for `Command`
        """Return the option `--help`, which is listed without a type because it takes no value."""
        return _without_type(super().get_help_option(ctx))

    def format_options(self, ctx: Any, formatter: Any) -> None:  # noqa: ANN401 - as for `Command`
        """Write the options of plain `nestvec`, then the list of commands with their help texts."""
        _write_sections(self.get_params(ctx), formatter)
        with formatter.section("Commands"):
            formatter.write_dl([(name, command.help or "") for name, command in self.commands.items()])


def _without_type(option: TyperOption | None) -> TyperOption | None:
    """Make the help page list an option without the type of its value; changes and returns the given option."""
    if option is not None:
        option.metavar = ""
    return option


def _write_sections(parameters: Iterable[Any], formatter: Any) -> None:  # noqa: ANN401 - click's, or typer's copy
    """Write options under their headings, in the order of the options; under the heading `AS_RUN` only option names."""
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
    """Return how help names a parameter: an option with a placeholder, `--epochs N`; an argument in capitals."""
    if parameter.param_type_name == "argument":
        return str(parameter.metavar or parameter.name.upper())
    return f"{parameter.opts[0]} {parameter.metavar or ''}".rstrip()
