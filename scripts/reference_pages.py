"""The reference pages of the documents' site, made from the code when the site is built, so that they cannot drift."""

from __future__ import annotations

import re
from itertools import groupby
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import typer
from rich.text import Text

import nestvec
from nestvec.cli import app

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

ROOT = Path(__file__).parents[1]
_TYPES = {int: "NUMBER", float: "NUMBER", Path: "PATH"}  # how an option's value is shown; others are texts
_ERRORS = ("NestvecError", "InputError", "MissingExtraError", "GateClosedError")


def make_pages() -> dict[str, str]:
    """Every page of the reference: its path on the site, and its Markdown."""
    return {
        "reference/commands.md": commands_page(),
        "reference/python.md": python_page(),
        "reference/files.md": files_page(),
        "reference/http.md": http_page(),
    }


# --- the command line


def commands_page() -> str:
    """Every command with its arguments and options, from the parser itself."""
    intro = (
        "# Commands\n\nWhat `nestvec COMMAND --help` says. Options of `run`, `check`, `evaluate` and `tune` can also "
        "stand in a TOML file that `--config` names, without the two dashes; the command line wins.\n"
    )
    commands = typer.main.get_command(app).commands  # type: ignore[attr-defined]
    return "\n".join([intro, *(_describe_command(name, command) for name, command in commands.items())])


def _describe_command(name: str, command: Any) -> str:  # noqa: ANN401 - typer's own copy of click
    arguments = [param for param in command.params if param.param_type_name == "argument"]
    options = [param for param in command.params if param.param_type_name == "option"]
    usage = " ".join(["nestvec", name, *(_name_argument(argument) for argument in arguments), "[OPTIONS]"])
    parts = [f"## nestvec {name}\n\n{_plain(command.help)}\n\n```text\n{usage}\n```\n"]
    if arguments:
        rows = [(f"`{_name_argument(argument)}`", _plain(argument.help)) for argument in arguments]
        parts.append(_table(("argument", "what it is"), rows))
    by_panel = sorted(options, key=lambda option: _panels(options).index(_panel(option)))
    for panel, shown in groupby(by_panel, key=_panel):
        rows = [(f"`{_name_option(option)}`", _plain(option.help)) for option in shown]
        parts.append(_table((panel, "what it does (what holds unless it is given)"), rows))
    return "\n".join(parts)


def _name_argument(argument: Any) -> str:  # noqa: ANN401 - typer's own copy of click
    shown = argument.name.upper() + ("…" if argument.nargs == -1 else "")
    return shown if argument.required else f"[{shown}]"


def _name_option(option: Any) -> str:  # noqa: ANN401 - typer's own copy of click
    """The option as it is typed; flags, whose metavar is empty here, take no value."""
    value = "" if option.metavar == "" else f" {_TYPES.get(option.type_descriptor.annotation, 'TEXT')}"
    return ", ".join(option.opts) + value


def _panel(option: Any) -> str:  # noqa: ANN401 - typer's own copy of click
    return option.rich_help_panel or "Output"


def _panels(options: Iterable[Any]) -> list[str]:
    """The headings in the order of `--help`."""
    return list(dict.fromkeys(map(_panel, options)))


def _plain(text: str | None) -> str:
    """A help text as Markdown: without the marks that it has for the terminal."""
    return Text.from_markup(" ".join((text or "").split())).plain


def _table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    cells = [head, ("---",) * len(head), *rows]
    return "".join(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in row)} |\n" for row in cells)


# --- Python


def python_page() -> str:
    """Every public name, for mkdocstrings to fill in from its docstring."""
    names = [name for name in nestvec.__all__ if not name.startswith("_")]
    functions = [name for name in names if name.islower()]
    classes = [name for name in names if name not in functions and name not in _ERRORS]
    intro = (
        "# Python\n\n`import nestvec` offers the names below and loads nothing heavy. Settings are keyword arguments: "
        "the options of the [command](commands.md) of the same name, with underscores for dashes "
        "(`--max-records 5000` is `max_records=5000`).\n"
    )
    parts = {"Functions": functions, "What they return and take": classes, "Errors": _ERRORS}
    return "\n".join([intro, *(f"## {title}\n\n{''.join(map(_ask_for, named))}" for title, named in parts.items())])


def _ask_for(name: str) -> str:
    return f"::: {getattr(nestvec, name).__module__}.{name}\n\n"


# --- a run's files


def files_page() -> str:
    """The section of docs/data.md on a run's folder, as a page of its own."""
    text = (ROOT / "docs" / "data.md").read_text(encoding="utf-8")
    [section] = re.findall(r"^## The run's folder\n(.*?)(?=^## |\Z)", text, re.DOTALL | re.MULTILINE)
    return "# Files of a run\n" + re.sub(r"^#(#+ )", r"\1", section, flags=re.MULTILINE)


# --- the HTTP API


def http_page() -> str:
    """Every route of the server with what it takes and gives, from its own OpenAPI description."""
    described = _describe_api()
    schemas = described["components"]["schemas"]
    intro = (
        "# HTTP API\n\n`nestvec serve` answers these; [Serving](../serving.md) says how to use them. A running server "
        "has the same description as a page to try, `/docs`, and for machines, `/openapi.json`.\n"
    )
    parts = [intro]
    for path, methods in described["paths"].items():
        parts += [_describe_route(path, method, route, schemas) for method, route in methods.items()]
    return "\n".join(parts)


def _describe_api() -> dict[str, Any]:
    """The OpenAPI description of a server that has no run."""
    from nestvec.serving.fastapi_app import create_app
    from nestvec.serving.request_guard import Health
    from nestvec.serving.serving_options import ServingOptions

    nobody: Any = SimpleNamespace(systems=())
    guarded: Any = create_app(nobody, ServingOptions(), Health(), nobody)._app  # what the guard stands before
    return guarded.openapi()


def _describe_route(path: str, method: str, route: dict[str, Any], schemas: dict[str, Any]) -> str:
    parts = [f"## {method.upper()} {path}\n\n{route.get('description') or route.get('summary', '')}\n"]
    body = _find_schema(route.get("requestBody", {}), schemas)
    if body:
        parts.append(_table(("field of the request", "type", "meaning"), _list_fields(body)))
    answer = _find_schema(route["responses"].get("200", {}), schemas)
    if answer:
        parts.append(_table(("field of the answer", "type", "meaning"), _list_fields(answer)))
    failures = [(code, said["description"]) for code, said in route["responses"].items() if code != "200"]
    parts.append(_table(("status", "when"), failures))
    return "\n".join(parts)


def _find_schema(part: dict[str, Any], schemas: dict[str, Any]) -> dict[str, Any]:
    """The schema of a request's or an answer's JSON; empty where it is no object."""
    schema = part.get("content", {}).get("application/json", {}).get("schema", {})
    return schemas.get(schema.get("$ref", "").rpartition("/")[2], {})


def _list_fields(schema: dict[str, Any]) -> Iterator[tuple[str, str, str]]:
    for name, field in schema.get("properties", {}).items():
        said = " ".join(field.get("description", "").split())
        yield f"`{name}`", _name_type(field), f"{said}{' (needed)' if name in schema.get('required', ()) else ''}"


def _name_type(field: dict[str, Any]) -> str:
    """A JSON schema's type in a few words."""
    kinds = field.get("anyOf") or field.get("oneOf")
    if kinds:
        return " or ".join(dict.fromkeys(map(_name_type, kinds)))
    if "$ref" in field:
        return field["$ref"].rpartition("/")[2]
    if "enum" in field or "const" in field:
        return ", ".join(f"`{value}`" for value in field.get("enum", [field.get("const")]))
    if field.get("type") == "array":
        return f"list of {_name_type(field.get('items', {}))}"
    return str(field.get("type", "any"))
