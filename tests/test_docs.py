"""Oracle: what the documents speak of: the command line, the Makefile, the package's files, layers and messages."""

from __future__ import annotations

import ast
import re
import shlex
import tomllib
from itertools import product
from pathlib import Path

import pytest
import typer

import nestvec
from nestvec.cli import app
from nestvec.data.find_columns import find_columns
from nestvec.data.readers import READERS
from nestvec.data.source import Source
from nestvec.data.streams import PACKED
from nestvec.settings import CONFLICTS, PROTOCOLS, DataSettings, Settings

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "src" / "nestvec"
DOCUMENTS = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")])
README = (ROOT / "README.md").read_text(encoding="utf-8")
ARCHITECTURE = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
RUN = (ROOT / "docs" / "run.md").read_text(encoding="utf-8")
DATA = (ROOT / "docs" / "data.md").read_text(encoding="utf-8")
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))

COMMANDS = typer.main.get_command(app).commands


def blocks(text, language):
    """The fenced code blocks of a language."""
    return re.findall(rf"^```{language}\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)


def without_blocks(text):
    return re.sub(r"^```.*?^```$", "", text, flags=re.DOTALL | re.MULTILINE)


def table(text, heading):
    """The rows below the head of the one table whose first column has a heading; cells as written."""
    [rows] = re.findall(rf"^\| {heading} \|.*\n\|[-|]+\|\n((?:\|.*\n)+)", text, re.MULTILINE)
    return [[cell.strip() for cell in row.strip("|").split("|")] for row in rows.splitlines()]


def test_the_documents_are_there():
    names = {str(path.relative_to(ROOT)) for path in DOCUMENTS}
    assert names >= {"README.md", "CHANGELOG.md", "CONTRIBUTING.md", "docs/architecture.md", "docs/decisions.md"}


# --- the command line


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_is_in_the_readme_is_explained_and_has_help(command):
    assert f"nestvec {command}" in README
    explained = [name for row in table(RUN, "command") for name in re.findall(r"`nestvec (\w+)", row[0])]
    assert explained.count(command) == 1
    assert COMMANDS[command].help


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.name)
def test_no_document_types_a_command_that_is_not_there(path):
    typed = set(re.findall(r"`nestvec ([a-z]+)", path.read_text(encoding="utf-8")))
    assert typed <= set(COMMANDS)


def test_no_document_names_an_option_that_is_not_there():
    known = {name for command in COMMANDS.values() for option in command.params for name in option.opts}
    known |= {"--help", "--version", "--install-completion"}
    known |= {"--nproc-per-node", "--index-url"}  # torchrun's and pip's
    for path in (ROOT / "README.md", ROOT / "CHANGELOG.md", *(ROOT / "docs").glob("*.md")):
        text = re.sub(r"`[a-z_]+\.py [^`]*`", "", path.read_text(encoding="utf-8"))  # commands of benchmarks/
        named = set(re.findall(r"(?<![\w-])--[a-z][a-z0-9-]*", text))
        assert named <= known, path.name


TYPED = [
    line
    for path in DOCUMENTS
    for block in blocks(path.read_text(encoding="utf-8"), "sh")
    for line in block.replace("\\\n", " ").splitlines()
    if re.match(r"(\.venv/bin/)?nestvec ", line)
]


@pytest.mark.parametrize("line", TYPED)
def test_every_command_shown_is_one_that_can_be_typed(line):
    _, name, *arguments = shlex.split(line, comments=True)
    context = COMMANDS[name].make_context(name, arguments)  # fails on an option that this command does not have
    given = {option: value for option, value in context.params.items() if value is not None}
    settings = {option: value for option, value in given.items() if option in Settings.from_flat({}).flat()}
    if name != "reproduce":
        Settings.from_flat(settings)


# --- the Makefile


def test_every_make_target_named_is_there():
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    for path in DOCUMENTS:
        text = path.read_text(encoding="utf-8")
        # in a line of code, or between backticks; "make sense" is no target
        named = set(re.findall(r"`make ([a-z-]+)`", text))
        named |= {name for block in blocks(text, "sh") for name in re.findall(r"^make ([a-z-]+)", block, re.MULTILINE)}
        assert named <= targets, path.name
    for target in ("setup", "demo", "test", "check", "docs"):
        assert f"\nmake {target} " in README


def test_the_readme_is_one_screen():
    assert len(README.splitlines()) <= 100


# --- links and pictures


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.name)
def test_relative_links_and_pictures_exist(path):
    text = without_blocks(path.read_text(encoding="utf-8"))
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if re.match(r"[a-z]+:", target):
            continue
        file, _, anchor = target.partition("#")
        linked = path.parent / file if file else path
        assert linked.exists(), target
        if anchor:
            headings = re.findall(r"^#+ (.*)$", linked.read_text(encoding="utf-8"), re.MULTILINE)
            assert anchor in {re.sub(r"[^\w\- ]", "", heading).lower().replace(" ", "-") for heading in headings}


def test_every_picture_says_what_it_shows():
    for path in DOCUMENTS:
        for described in re.findall(r"!\[(.*?)\]\(", path.read_text(encoding="utf-8"), re.DOTALL):
            assert len(described.split()) > 5, path.name


# --- the tree


def named_files():
    """Paths below the package that the tree of architecture.md names; a folder stands for its `__init__.py`."""
    [tree] = [block for block in blocks(ARCHITECTURE, "text") if block.startswith("src/nestvec/")]
    folder, found = "", set()
    for line in tree.splitlines()[1:]:
        indent, name, _ = re.fullmatch(r"( *)(\S+) {2,}(\S.*)", line).groups()
        folder = folder if len(indent) > 2 else ""
        if name.endswith("/"):
            folder = name
            name = "__init__.py"
        found.add(folder + name)
    return found


def test_the_tree_is_the_package():
    files = [path for path in PACKAGE.rglob("*") if path.is_file() and "__pycache__" not in path.parts]
    there = {path.relative_to(PACKAGE).as_posix() for path in files}
    named = named_files()
    assert named - there == set(), "named, but not there"
    assert there - named == set(), "there, but not named"


def test_the_layers_are_those_that_are_enforced():
    [layers] = [block for block in blocks(ARCHITECTURE, "text") if block.startswith("__main__")]
    [contract] = [entry for entry in PYPROJECT["tool"]["importlinter"]["contracts"] if entry["type"] == "layers"]
    assert re.findall(r"\w+", layers) == [name for layer in contract["layers"] for name in layer.split(" | ")]


# --- code


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.name)
def test_python_in_documents_parses_and_asks_for_what_is_public(path):
    found = blocks(path.read_text(encoding="utf-8"), "python")
    assert found or path.name not in ("README.md", "start.md", "python.md")
    for block in found:
        tree = ast.parse(block)
        used = {
            node.attr
            for node in ast.walk(tree)
            if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "nestvec"
        }
        assert used <= set(nestvec.__all__)


def test_toml_of_a_run_is_settings():
    found = blocks(RUN, "toml")
    assert found
    for block in found:
        values = tomllib.loads(block)
        values.pop("out")
        assert Settings.from_flat(values).data.source == values["source"]


# --- data.md


def make_table(*columns):
    """A source with columns and no rows."""
    return Source("judgements.parquet", "", columns, lambda columns, rejects: iter(()))


ROLES = {
    "query": lambda found: found.query,
    "document, headline": lambda found: found.documents[0],
    "document, body": lambda found: found.documents[0],
    "grade": lambda found: found.grade,
    "query id": lambda found: found.query_id,
    "document id": lambda found: found.document_id,
}


@pytest.mark.parametrize(
    ("role", "name"), [(row[0], name) for row in table(DATA, "role") for name in row[2].split(", ")], ids=str
)
def test_columns_are_found_by_the_names_that_are_documented(role, name):
    others = {"query": "query", "document, headline": "name", "grade": "grade"}
    if role.startswith("document,"):
        others.pop("document, headline")
    columns = [*(column for other, column in others.items() if other != role), name.upper()]
    found = find_columns(make_table(*columns), DataSettings())
    assert ROLES[role](found) == name.upper()


TREES = [ast.parse(path.read_text(encoding="utf-8")) for path in sorted(PACKAGE.rglob("*.py"))]


def templates(node, known):
    """The strings that a piece of code may make; … stands for whatever is put in when it runs."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return [node.value]
    if isinstance(node, ast.JoinedStr):
        return ["".join(parts) for parts in product(*(templates(part, known) for part in node.values))]
    if isinstance(node, ast.FormattedValue):
        return templates(node.value, known)
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
        return ["".join(parts) for parts in product(templates(node.left, known), templates(node.right, known))]
    if isinstance(node, ast.IfExp):
        return templates(node.body, known) + templates(node.orelse, known)
    return known.get(getattr(node, "id", None), ["…"])


def messages_of(function):
    """Every message that a function makes an error of, whole: the problem and what was expected."""
    nodes, known = list(ast.walk(function)), {}
    for node in nodes:
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
            name = node.targets[0].id
            known[name] = known.get(name, []) + templates(node.value, {})
    for node in nodes:
        if isinstance(node, ast.Call) and ast.unparse(node.func).endswith("Error"):
            for parts in product(*(templates(part, known) for part in node.args[:2])):
                yield "; expected ".join(parts)


MESSAGES = [
    message
    for tree in TREES
    for function in ast.walk(tree)
    if isinstance(function, ast.FunctionDef)
    for message in messages_of(function)
]


def is_given(message):
    """Whether some error says this, from one end to the other of what is written: … may be anything."""
    pattern = re.compile(rf"(?<!\w){'.+?'.join(map(re.escape, message.split('…')))}(?!\w)")
    return any(pattern.search(given) for given in MESSAGES)


@pytest.mark.parametrize("message", [row[0].strip("`") for row in table(DATA, "message")])
def test_messages_explained_are_messages_given(message):
    assert is_given(message)


@pytest.mark.parametrize(
    "message",
    [
        "holds one column",  # "has one column" is one
        "is empty; expected a grade",  # both are said, but not together
        "the hub cannot be reached",  # stands in a docstring
        "expected tex",
        "is in …-16; expected UTF-16",
    ],
)
def test_a_message_that_no_error_gives_is_noticed(message):
    assert not is_given(message)


STRINGS = {
    node.value
    for tree in TREES
    for node in ast.walk(tree)
    if isinstance(node, ast.Constant) and isinstance(node.value, str)
}


@pytest.mark.parametrize("row", table(DATA, "finding"), ids=lambda row: row[0])
def test_findings_explained_are_findings_made(row):
    assert row[0] in STRINGS
    assert any(action.startswith(re.split(r"[.;]", row[1])[0]) for action in STRINGS)


def test_findings_made_while_reading_are_explained():
    from nestvec.data.load_records import _NOTES

    explained = {row[0] for row in table(DATA, "finding")}
    assert explained >= {*_NOTES, "bad rows"}


def test_formats_protocols_and_conflicts_are_explained():
    for word in (*READERS, *PROTOCOLS, *CONFLICTS):
        assert f"`{word}`" in DATA, word
    for packing in PACKED:
        assert packing in DATA, packing


def test_what_the_audit_counts_is_explained():
    from nestvec.data import audit

    [returned] = [
        node.value
        for node in ast.walk(ast.parse(Path(audit.__file__).read_text(encoding="utf-8")))
        if isinstance(node, ast.Return) and isinstance(node.value, ast.Dict) and len(node.value.keys) > 5
    ]
    explained = [name for row in table(DATA, "key") for name in re.findall(r"`(\w+)`", row[0])]
    assert explained == [key.value for key in returned.keys]


def test_the_columns_of_rejected_rows_are_explained():
    from dataclasses import fields

    from nestvec.data.source import Rejected

    [rows] = re.findall(r"^\| column \| what it holds \|\n\|[-|]+\|\n((?:\|.*\n)+)", DATA, re.MULTILINE)
    named = [name for row in rows.splitlines() for name in re.findall(r"`(\w+)`", row.split("|")[1])]
    assert named == [field.name for field in fields(Rejected)]


def test_the_run_folder_is_documented():
    from nestvec.runs.folder import LAYOUT

    [tree] = [block for block in blocks(RUN, "text") if block.startswith("runs/mine/")]
    for path in LAYOUT.values():
        assert path in DATA, path
        first = path.split("/")[0]
        assert first in tree or first.startswith("."), path


# --- prose


def test_lines_are_at_most_120_wide():
    for path in DOCUMENTS:
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
            assert len(line) <= 120 or line.startswith("|"), f"{path.name}:{number}"
