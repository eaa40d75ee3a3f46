"""Finds which columns hold the query, the document, the grade and more: as the user says, else by well-known names."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from nestvec.data.click_columns import find_click_columns
from nestvec.data.column_names import BODY, DOCUMENT_ID, GRADE, HEADLINE, QUERY, QUERY_ID, SPLIT, plain_name
from nestvec.data.columns import Columns, as_template, template_columns
from nestvec.data.own_split import NO_SPLIT, judge_split
from nestvec.data.source import Finding
from nestvec.data.streams import suffix
from nestvec.errors import InputError

if TYPE_CHECKING:
    from nestvec.data.click_columns import ClickColumns
    from nestvec.data.source import Source
    from nestvec.settings import DataSettings

COLUMNS_READ = "columns read"  # the name of a finding
_NAME_COLUMNS = "--columns query,document,grade or --columns query,positive,negative"
_DELIMITED = (".csv", ".tsv")
_SHOWN = 20  # columns that are named
_NOT_ONLY_GRADES = ("score", "rating")  # may say something else of a relevant pair
_OWN_NAME_DECIDES = {"query", "query-id", "document-id"}  # of several well-known names, the role's own is taken


def find_columns(source: Source, settings: DataSettings) -> Columns:
    """Find the columns of a table of judgements.

    Args:
        source: an opened table.
        settings: the columns as the user named them; for None, well-known names are looked for.

    Returns:
        The column of each role.

    Raises:
        InputError: a named column is missing, or a role has no column or several possible ones.
    """
    _refuse_missing_header(source, settings)
    _refuse_unknown_roles(source, settings)
    split, findings = _find_split(source, settings)
    grade, clicks = _find_grade(source, settings)
    columns = Columns(
        query=find_query(source, settings),
        grade=grade,
        template=find_template(source, settings.document),
        document_id=find_column(source, "document-id", settings.document_id, DOCUMENT_ID),
        split=split,
        query_id=find_query_id(source, settings),
        clicks=clicks,
    )
    for name in (columns.query, columns.grade, *columns.id_names):
        if name in source.lists:
            raise InputError("holds lists", "a text or a number in each row", file=source.name, column=name)
    findings = (*_describe_columns(source, columns), *_find_rivals(source, settings), *findings)
    return replace(columns, findings=findings)


def find_query(source: Source, settings: DataSettings) -> str:
    """Find the column of the query's text; InputError if there is none, or several are possible."""
    return _only_column(source, "query", settings.query, QUERY)


def find_query_id(source: Source, settings: DataSettings) -> str | None:
    """Find the column of the query's id, None if there is none; InputError if several are possible."""
    return find_column(source, "query-id", settings.query_id, QUERY_ID)


def _find_grade(source: Source, settings: DataSettings) -> tuple[str | None, ClickColumns | None]:
    """Find the column of the grade, or the columns of clicks; None for both if each row is a relevant pair."""
    if settings.positives_only and settings.grade is None:
        graded = [name for name in well_known(source, GRADE) if name.strip().lower() not in _NOT_ONLY_GRADES]
        log = find_click_columns(source.columns)
        graded += [log.clicks] if log else []
        return (graded[0] if graded else None), None  # read to refuse rows that it calls not relevant
    column = find_column(source, "grade", settings.grade, GRADE)
    clicks = None if column else find_click_columns(source.columns)
    if column is not None or clicks is not None:
        return column, clicks
    others = [name for names in (QUERY, QUERY_ID, DOCUMENT_ID, HEADLINE, BODY) for name in well_known(source, names)]
    error = _unclear_column(source, "grade", [])
    if set(source.columns) <= {*others, settings.query, settings.document, settings.document_id, settings.query_id}:
        wanted = f"{error.expected}, or --positives-only if every row is a query with a relevant document"
        raise InputError(error.problem, wanted, file=source.name)
    raise error


def _refuse_missing_header(source: Source, settings: DataSettings) -> None:
    """Raise InputError if a delimited file seems to have no header: its first line has no known column name."""
    given = (settings.columns, settings.query, settings.document, settings.grade, settings.query_id)
    known = (*QUERY, *QUERY_ID, *GRADE, *DOCUMENT_ID, *HEADLINE, *BODY)
    if any(given) or suffix(Path(source.name)) not in _DELIMITED or well_known(source, known):
        return
    wanted = (
        "--query, --document and --grade to name columns; or, if the first line is no header, the columns' names in "
        f"their order: {_NAME_COLUMNS}"
    )
    raise InputError(f"no column has a known name: {quote_names(source.columns)}", wanted, file=source.name, row=1)


def _refuse_unknown_roles(source: Source, settings: DataSettings) -> None:
    """Raise InputError if two or more roles have no column; one message then names all the missing options."""
    roles = {"query": QUERY, "document": (*HEADLINE, *BODY), "grade": GRADE}
    unknown = [role for role, names in roles.items() if not (getattr(settings, role) or well_known(source, names))]
    if "grade" in unknown and (settings.positives_only or find_click_columns(source.columns)):
        unknown.remove("grade")
    if len(unknown) < 2:
        return
    options = " and ".join(f"--{role}" for role in unknown)
    wanted = f"{options} to name columns, of {quote_names(source.columns)}"
    if source.headerless:
        wanted += f"; or, if the first line is no header, {_NAME_COLUMNS}"
    raise InputError(f"no column is known as the {' and the '.join(unknown)}", wanted, file=source.name)


def _find_split(source: Source, settings: DataSettings) -> tuple[str | None, tuple[Finding, ...]]:
    """Find the column of the source's own split: as given, or one called `split` that names both train and test."""
    given = settings.split_column
    if given is not None and (given != NO_SPLIT or NO_SPLIT in source.columns):
        return _require_column(source, "split-column", given), ()
    candidates = well_known(source, SPLIT) if given is None else []
    if len(candidates) != 1:
        return None, ()
    says_so, finding = judge_split(source, candidates[0])
    return candidates[0] if says_so else None, (finding,)


def _describe_columns(source: Source, columns: Columns) -> list[Finding]:
    """Make the finding that says which columns were read."""
    if source.synthetic:
        return []
    roles = {
        "query": columns.query,
        "query id": columns.query_id,
        "document": columns.template,
        "document id": columns.document_id,
        "grade": columns.grade or (None if columns.clicks else "1 in every row"),
        "clicks": ", ".join(columns.clicks.names) if columns.clicks else None,
        "split": columns.split,
    }
    action = "; ".join(f"{role}: {column}" for role, column in roles.items() if column)
    others = [name for name in source.columns if name not in columns.names]
    examples = ("not read: " + ", ".join(others[:_SHOWN]) + (" …" if len(others) > _SHOWN else ""),) if others else ()
    return [Finding(COLUMNS_READ, len(columns.names), action, examples)]


def _find_rivals(source: Source, settings: DataSettings) -> list[Finding]:
    """Make a finding for each role whose column was chosen although other columns have known names, too."""
    roles = (
        ("query", settings.query, QUERY),
        ("query-id", settings.query_id, QUERY_ID),
        ("document-id", settings.document_id, DOCUMENT_ID),
    )
    findings = []
    for role, given, known in roles:
        candidates = [] if given else well_known(source, known)
        if len(candidates) > 1:
            taken = find_column(source, role, given, known)
            others = quote_names([name for name in candidates if name != taken])
            action = f"Not read; {taken!r} is the {role.replace('-', ' ')}. Name {others} with --{role} if it is meant."
            findings.append(Finding("columns that could be meant as well", len(candidates) - 1, action))
    return findings


def find_document_columns(source: Source, document: str | None, document_id: str | None) -> tuple[str, str]:
    """Find the columns of a table of documents without judgements.

    Args:
        source: an opened table.
        document: the text's columns or template as given; None looks for well-known names.
        document_id: the id's column as given; None looks for well-known names, `id` among them.

    Returns:
        The template of a document's text, and the column of its id.

    Raises:
        InputError: a named column is missing, or none or several could be meant.
    """
    template = find_template(source, document)
    if document_id is None and not well_known(source, DOCUMENT_ID):
        return template, _only_column(source, "document-id", None, ("id", "_id"))
    return template, _only_column(source, "document-id", document_id, DOCUMENT_ID)


def _only_column(source: Source, role: str, given: str | None, known: tuple[str, ...]) -> str:
    column = find_column(source, role, given, known)
    if column is None:
        raise _unclear_column(source, role, [])
    return column


def find_column(source: Source, role: str, given: str | None, known: tuple[str, ...]) -> str | None:
    """Find the column of a role: the one that the user named, else the only one with a well-known name; or None."""
    if given is not None:
        return _require_column(source, role, given)
    candidates = well_known(source, known)
    if len(candidates) > 1 and role in _OWN_NAME_DECIDES:
        candidates = [name for name in candidates if name.strip().lower() == known[0]] or candidates
    if len(candidates) > 1:
        raise _unclear_column(source, role, candidates)
    return candidates[0] if candidates else None


def find_template(source: Source, given: str | None) -> str:
    """Make the template of a document's text; InputError if its columns are missing, or if several could be meant."""
    if given is None:
        parts = [find_column(source, "document", None, names) for names in (HEADLINE, BODY)]
        names = [name for name in parts if name]
        if not names:
            raise _unclear_column(source, "document", [])
        return " ".join(f"{{{name}}}" for name in names)
    template = as_template(given)
    if not template_columns(template):
        raise InputError(f"--document {template!r} names no column", "'name,description' or '{name}. {description}'")
    for name in template_columns(template):
        _require_column(source, "document", name)
    return template


def _require_column(source: Source, role: str, name: str) -> str:
    """Return the name of a column; raises InputError if the source has no column of this name."""
    if name not in source.columns:
        wanted = f"--{role} to be one of " + quote_names(source.columns)
        raise InputError(f"there is no column {name!r}", wanted, file=source.name, column=name)
    return name


def well_known(source: Source, known: tuple[str, ...]) -> list[str]:
    """List the source's columns that have one of the known names, whatever the case.

    If no column has such a name, `Search Term` and `Search-Term` count as `search_term`.
    """
    exact = [name for name in source.columns if name.strip().lower() in known]
    return exact or [name for name in source.columns if plain_name(name) in known]


def _unclear_column(source: Source, role: str, candidates: list[str]) -> InputError:
    """Make the error for a role with no column or with several possible ones."""
    problem = f"no column is known as the {role}"
    if candidates:
        problem = f"more than one column could be the {role}: {quote_names(candidates)}"
    wanted = f"--{role} to name one of {quote_names(source.columns)}"
    if source.headerless:
        wanted += f"; or, if the first line is no header, {_NAME_COLUMNS}"
    return InputError(problem, wanted, file=source.name)


def quote_names(names: tuple[str, ...] | list[str]) -> str:
    """Quote names for a message: at most 20, each cut to 40 characters."""
    shown = ", ".join(repr(name if len(name) <= 40 else name[:39] + "…") for name in names[:20])
    return shown if len(names) <= 20 else f"{shown} … ({len(names)} in all)"
