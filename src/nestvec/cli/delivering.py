"""Commands that use a finished run: export its model, encode texts, build an index, search."""

from __future__ import annotations

import json
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console

from nestvec.cli.app import Command, app, console
from nestvec.cli.measuring import require_out
from nestvec.cli.options import build_settings, options, select_given
from nestvec.data.source import count_rows
from nestvec.encoding.encode_settings import EncodeSettings
from nestvec.errors import ChangedError, InputError, NestvecError, replace_unprintable
from nestvec.exporting.export_settings import ExportSettings
from nestvec.indexing.index_settings import Columns, IndexSettings, SearchSettings, StoreSettings
from nestvec.progress import Reporter
from nestvec.settings import option

if TYPE_CHECKING:
    from collections.abc import Iterator

    from nestvec.indexing.opened_index import Index
    from nestvec.indexing.verify_index import Verified

RunFolder = Annotated[Path, typer.Argument(metavar="DIR", help="The folder of a finished run.", show_default=False)]
_Out = Annotated[Path | None, typer.Option(help="The folder for the export.", metavar="PATH", show_default=False)]


_NAMED = 5  # ids that a message lists, of those that are not in the index


@dataclass(frozen=True)
class _Upkeep:
    """Options of `nestvec index` for an existing index: add or delete documents, or verify the search results."""

    upsert: Path | None = option(None, "A file of documents to add to the index, or replace in it.")
    delete: Path | None = option(None, "A file with ids of documents to remove, one per line.")
    verify: bool = option(False, "Search for the test queries and compare recall with the run.")
    exact: bool = option(False, "With --verify: search exactly, not approximately.")


@dataclass(frozen=True)
class _Printed:
    """Options of `nestvec search` that say how search results are printed."""

    json: bool = option(False, "Print one JSON object per line.")


@app.command(cls=Command)
@options(ExportSettings)
def export(run: RunFolder, reporter: Reporter, out: _Out = None, **typed: Any) -> None:  # noqa: ANN401 - see `options`
    """Export the recommended model with pooling, truncation and normalisation built in, and check its vectors."""
    folder = require_out(out)
    from nestvec.exporting.export_model import export as export_model

    exported = export_model(run, folder, reporter=reporter, **select_given(typed))
    typer.echo(exported.summary)


@app.command(cls=Command)
@options(EncodeSettings)
def encode(
    model: Annotated[
        str,
        typer.Argument(
            metavar="MODEL", help="A run's folder, an export, or any sentence-transformers model.", show_default=False
        ),
    ],
    source: Annotated[
        str, typer.Argument(metavar="INPUT", help="The texts: CSV, TSV, JSONL, Parquet or .txt.", show_default=False)
    ],
    reporter: Reporter,
    out: Annotated[
        Path | None, typer.Option(help="The Parquet file to write.", metavar="PATH", show_default=False)
    ] = None,
    **typed: Any,  # noqa: ANN401 - see `options`
) -> None:
    """Encode a file of texts as vectors of any precision; after an interruption, the same command continues."""
    path = require_out(out, "--out and a Parquet file to write")
    from nestvec.encoding.encode_file import encode as encode_texts

    encoded = encode_texts(model, source, path, reporter=reporter, **select_given(typed))
    rate = encoded.rows / max(encoded.seconds, 1e-9)
    typer.echo(
        f"{encoded.out}: {encoded.rows:,} rows ({encoded.texts:,} distinct texts) in {encoded.dimension} dimensions, "
        f"{encoded.precision}, {encoded.bytes_per_vector:,} bytes each; encoder {encoded.encoder}, {rate:,.0f} rows/s"
    )
    if encoded.rejected:
        typer.echo(f"{count_rows(encoded.set_aside)} set aside into {encoded.rejected}")


@app.command(cls=Command)
@options(StoreSettings, IndexSettings, _Upkeep, Columns)
def index(run: RunFolder, reporter: Reporter, **typed: Any) -> None:  # noqa: ANN401 - see `options`
    """Build or update an index of a run's documents, or verify that the index finds what the run measured."""
    typed["fields"] = typed["fields"] or None  # an empty text keeps all fields, as if --fields were not given
    columns, upkeep = build_settings(Columns, typed), build_settings(_Upkeep, typed)
    gone = _read_ids(upkeep.delete) if upkeep.delete else []
    telling = _ending_as_verification() if upkeep.verify else nullcontext()
    with telling, _build_or_open(run, typed, columns, reporter) as opened:
        if upkeep.upsert:
            typer.echo(f"{opened.upsert(upkeep.upsert, columns, reporter):,} documents added or replaced")
        if upkeep.delete:
            _delete_documents(opened, gone, upkeep.delete)
        with opened.store.one_state() as about:
            size = f"{len(opened.store):,} documents, {opened.store.size():,} bytes on disk"
        stages = " → ".join(stage.name for stage in about.stages)
        stages += ", without keyword search" if about.hybrid is None else ", with keyword search"
        typer.echo(f"The index serves {about.system} at {stages}: {size}")
        verified = opened.verify(upkeep.exact, reporter) if upkeep.verify else None
    for each in (verified, verified and verified.fused):
        if each is not None:
            _print_verified(each)


@contextmanager
def _ending_as_verification() -> Iterator[None]:
    """Turn ChangedError into exit code 1: a changed index is the outcome of a verification, not a wrong input."""
    try:
        yield
    except ChangedError as error:
        raise NestvecError(str(error)) from error


def _print_verified(verified: Verified) -> None:
    """Print the recall of a verified index; raise NestvecError if results differ from the run's, or recall is lower."""
    how = f"measured in the run at {verified.point}"
    if verified.by_folds:
        how = "by an exact search with the same model (the run's own figures come from the models of its folds)"
    outcome = (
        f"recall@10 of {verified.queries:,} test queries: {verified.found:.4f} in the index, {verified.measured:.4f} "
        f"{how}; {verified.same:.1%} of the queries find the same ten documents"
    )
    if verified.wrong:
        count = f"{verified.wrong:,} of {verified.queries:,} queries get other results, such as"
        raise NestvecError(f"search results of the index differ from the run's: {count} {verified.example}; {outcome}")
    if not verified.holds:
        raise NestvecError(f"recall@10 of the index is more than 0.01 below the run's: {outcome}")
    typer.echo(outcome)


def _build_or_open(run: Path, typed: dict[str, Any], columns: Columns, reporter: Reporter) -> Index:
    """Open an existing index to update or verify; build an index if none exists, or if options name what to build."""
    from nestvec.indexing.index import build_index, is_built, open_index
    from nestvec.indexing.location import EMBEDDED

    place, settings = build_settings(StoreSettings, typed), build_settings(IndexSettings, typed)
    is_upkeep = typed["upsert"] or typed["delete"] or typed["verify"]
    is_named = replace(settings, candidates=IndexSettings.candidates) != IndexSettings()
    if is_built(run) and is_upkeep and not is_named:
        return open_index(run, place.store, place.name)
    store = place.store or EMBEDDED
    return build_index(run, store, name=place.name, columns=columns, reporter=reporter, **vars(settings))


@app.command(cls=Command)
@options(SearchSettings, StoreSettings, _Printed)
def search(
    run: RunFolder,
    query: Annotated[str, typer.Argument(metavar="QUERY", help="The text to search for.", show_default=False)],
    **typed: Any,  # noqa: ANN401 - see `options`
) -> None:
    """Search a run's index for the documents that match a query best."""
    from nestvec.indexing.index import open_index
    from nestvec.stores.store import Condition

    place, settings = build_settings(StoreSettings, typed), build_settings(SearchSettings, typed)
    conditions = [Condition.parse(text) for text in settings.where]
    with open_index(run, place.store, place.name) as opened:
        answer = opened.ask(query, settings, conditions)
    [hits], [asked] = answer.hits, answer.searched
    if asked != query:
        typer.echo(f"searched for: {replace_unprintable(asked)}", err=typed["json"])
    if typed["json"]:
        for hit in hits:
            typer.echo(json.dumps({"id": hit.id, "score": hit.score, "text": hit.text, "fields": dict(hit.fields)}))
        return
    from nestvec.cli.hits import print_hits

    print_hits(hits, Console(highlight=False))


def _read_ids(path: Path) -> list[str]:
    """Read ids from a file, one per line, without stripping spaces; empty lines are skipped."""
    try:
        lines = path.read_bytes().decode("utf-8-sig").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"cannot be read ({error})", "a UTF-8 file with one id per line", file=path) from error
    ids = [line.removesuffix("\r") for line in lines]
    return [identifier for identifier in ids if identifier]


def _delete_documents(index: Index, ids: list[str], file: Path) -> None:
    """Delete documents from an index and print ids that the index lacks; raise InputError if it has none of the ids."""
    missing = index.find_missing(ids)
    named = ", ".join(map(repr, missing[:_NAMED])) + (" …" if len(missing) > _NAMED else "")
    absent = f"{len(missing):,} {'id is' if len(missing) == 1 else 'ids are'} not in the index: {named}"
    if ids and len(missing) == len(set(ids)):
        raise InputError(
            f"no id of this file is in the index ({named})", "ids of indexed documents, one per line", file=file
        )
    typer.echo(f"{index.delete(ids):,} documents removed")
    if missing:
        console.print(replace_unprintable(absent), markup=False, highlight=False, soft_wrap=True)
