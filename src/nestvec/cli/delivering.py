"""Commands that hand over what was measured: the model, vectors of any texts, an index, answers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from nestvec.cli.app import Terminal, app, stoppable
from nestvec.errors import InputError, NestvecError

_Run = Annotated[Path, typer.Argument(metavar="DIR", help="The folder of a finished run.", show_default=False)]
_System = Annotated[
    str | None, typer.Option(help="The system; must be named where the run recommends none.", show_default=False)
]
_Dimension = Annotated[int | None, typer.Option(help="The width (as recommended).", show_default=False)]
_Precision = Annotated[str | None, typer.Option(help="The precision (as recommended).", show_default=False)]
_Store = Annotated[
    str | None,
    typer.Option(help="`embedded`, or postgresql://user@host:port/database.", show_default=False),
]
_Name = Annotated[str | None, typer.Option(help="The index's name in a database (the folder's).", show_default=False)]


@app.command()
def export(
    run: _Run,
    out: Annotated[Path | None, typer.Option(help="The folder to write.", show_default=False)] = None,
    to: Annotated[str, typer.Option(help="sentence-transformers, onnx or openvino.")] = "sentence-transformers",
    system: _System = None,
    dimension: _Dimension = None,
    precision: _Precision = None,
    weights: Annotated[
        str, typer.Option(help="float32, int8 (calibrated on training documents) or int8-dynamic (onnx).")
    ] = "float32",
) -> None:
    """The recommended model, whole: pooling, prefix and normalisation inside, compared with what was measured."""
    if out is None:
        raise InputError("--out is missing", "a folder to write")
    from nestvec.exporting import export as export_model

    with stoppable(), Terminal() as terminal:
        made = export_model(run, out, to, system, dimension, precision, weights, terminal)
    typer.echo(made.summary)


@app.command()
def encode(
    model: Annotated[
        str,
        typer.Argument(help="A finished run, an export, or any sentence-transformers model.", show_default=False),
    ],
    source: Annotated[str, typer.Argument(metavar="INPUT", help="A file of texts.", show_default=False)],
    out: Annotated[Path | None, typer.Option(help="The Parquet file to write.", show_default=False)] = None,
    column: Annotated[str | None, typer.Option(help="The text's column.", show_default=False)] = None,
    id_column: Annotated[str | None, typer.Option(help="The id's column (row numbers).", show_default=False)] = None,
    system: _System = None,
    dimension: _Dimension = None,
    precision: _Precision = None,
    backend: Annotated[str, typer.Option(help="torch, onnx, openvino, or auto.")] = "auto",
    compute: Annotated[str, typer.Option(help="float32, bfloat16, or auto.")] = "auto",
    engine: Annotated[str, typer.Option(help="local, or ray for a cluster.")] = "local",
) -> None:
    """Vectors or codes of any number of texts; continues where it was killed."""
    if out is None:
        raise InputError("--out is missing", "a Parquet file to write")
    from nestvec.encoding import encode as encode_texts

    with stoppable(), Terminal() as terminal:
        made = encode_texts(
            model, source, out, column=column, id_column=id_column, system=system, dimension=dimension,
            precision=precision, backend=backend, compute=compute, engine=engine, reporter=terminal,
        )  # fmt: skip
    rate = made.rows / max(made.seconds, 1e-9)
    typer.echo(
        f"{made.out}: {made.rows:,} rows ({made.texts:,} distinct texts) in {made.dimension} dimensions, "
        f"{made.precision}, {made.bytes_per_vector:,} bytes each; by {made.encoder}, {rate:,.0f} rows a second"
    )


@app.command()
def index(
    run: _Run,
    store: _Store = None,
    name: _Name = None,
    system: _System = None,
    dimension: _Dimension = None,
    precision: _Precision = None,
    shortlist: Annotated[
        str | None, typer.Option(help="A first stage's dimension and precision: 48.int8.", show_default=False)
    ] = None,
    candidates: Annotated[int, typer.Option(help="Documents that the first stage hands on.")] = 100,
    documents: Annotated[
        Path | None, typer.Option(help="A file to index in place of the run's documents.", show_default=False)
    ] = None,
    upsert: Annotated[
        Path | None, typer.Option(help="A file of documents to add or replace in the index.", show_default=False)
    ] = None,
    delete: Annotated[
        Path | None, typer.Option(help="A file of ids to remove from the index, one a line.", show_default=False)
    ] = None,
    document: Annotated[
        str | None, typer.Option(help="Column(s) of the text in such a file.", show_default=False)
    ] = None,
    document_id: Annotated[str | None, typer.Option(help="Its id's column.", show_default=False)] = None,
    fields: Annotated[
        str | None, typer.Option(help="Its columns to filter by, with commas (all others).", show_default=False)
    ] = None,
    verify: Annotated[bool, typer.Option("--verify", help="Ask the test queries again and compare recall.")] = False,
    exact: Annotated[bool, typer.Option("--exact", help="Verify without an approximate index.")] = False,
) -> None:
    """Build an index of what was measured, keep it up to date, or verify it."""
    from nestvec.indexing.document_batches import Columns
    from nestvec.indexing.index import build_index, is_built, open_index
    from nestvec.indexing.location import EMBEDDED

    columns = Columns(document, document_id, fields.split(",") if fields else None)
    building = not (upsert or delete or verify) or bool(system or dimension or precision or shortlist or documents)
    with stoppable(), Terminal() as terminal:
        if building or not is_built(run):
            opened = build_index(
                run, store or EMBEDDED, name=name, system=system, dimension=dimension, precision=precision,
                shortlist=shortlist, candidates=candidates, documents=documents, columns=columns, reporter=terminal,
            )  # fmt: skip
        else:
            opened = open_index(run, store, name)
        with opened:
            if upsert:
                typer.echo(f"{opened.upsert(upsert, columns, terminal):,} documents added or replaced")
            if delete:
                typer.echo(f"{opened.delete(_ids(delete)):,} documents removed")
            about = opened.about
            stages = " → ".join(stage.name for stage in about.stages)
            size = f"{len(opened.store):,} documents, {opened.store.size():,} bytes on disk"
            typer.echo(f"The index serves {about.system} at {stages}: {size}")
            found = opened.verify(exact, terminal) if verify else None
    if found is not None:
        said = (
            f"recall@10 of {found.queries:,} test queries: {found.found:.4f} here, {found.measured:.4f} as "
            f"{found.point} was measured; the same ten documents for {found.same:.1%} of them"
        )
        if not found.holds:
            raise NestvecError(f"the index loses more than a hundredth: {said}")
        typer.echo(said)


@app.command()
def search(
    run: _Run,
    query: Annotated[str, typer.Argument(help="What to search for.", show_default=False)],
    top: Annotated[int, typer.Option(help="How many documents.")] = 10,
    where: Annotated[
        list[str] | None,
        typer.Option(help="A condition on a field, such as 'price<=20'; may be given again.", show_default=False),
    ] = None,
    store: _Store = None,
    name: _Name = None,
    exact: Annotated[bool, typer.Option("--exact", help="Without an approximate index.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object a line.")] = False,
) -> None:
    """The best documents of a query in a run's index."""
    from nestvec.indexing.index import open_index
    from nestvec.stores.store import Condition

    conditions = [Condition.parse(each) for each in where or []]
    with open_index(run, store, name) as opened:
        hits = opened.search(query, top, conditions, exact)
    if as_json:
        for hit in hits:
            typer.echo(json.dumps({"id": hit.id, "score": hit.score, "text": hit.text, "fields": dict(hit.fields)}))
        return
    from nestvec.cli.output import print_hits

    print_hits(hits, Console(highlight=False))


def _ids(path: Path) -> list[str]:
    """Ids in a file, one a line, as the files of a run write them."""
    from nestvec.data.text import trec_id

    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"cannot be read ({error})", "ids, one a line, in UTF-8", file=path) from error
    return [trec_id(line.strip()) for line in lines if line.strip()]
