"""The command that serves a run."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from nestvec.cli.app import Terminal, app, stoppable
from nestvec.serving.options import ServingOptions, read_key

_Run = Annotated[Path, typer.Argument(metavar="DIR", help="The folder of a finished run.", show_default=False)]
_LIMITS = "Limits"


@app.command()
def serve(
    run: _Run,
    host: Annotated[str, typer.Option(help="The address to bind; 0.0.0.0 is all.")] = ServingOptions.host,
    port: Annotated[int, typer.Option(help="0 takes any free one.")] = ServingOptions.port,
    api_key: Annotated[
        str | None,
        typer.Option(help="A file with the key to ask for, or env:NAME (NESTVEC_API_KEY).", show_default=False),
    ] = None,
    cors: Annotated[
        list[str] | None,
        typer.Option(help="An origin whose pages may call the API; may be given again.", show_default=False),
    ] = None,
    store: Annotated[
        str | None, typer.Option(help="The index's store, as for `nestvec index`.", show_default=False)
    ] = None,
    name: Annotated[str | None, typer.Option(help="The index's name in a database.", show_default=False)] = None,
    backend: Annotated[str, typer.Option(help="torch, onnx, openvino, or auto.")] = "torch",
    compute: Annotated[str, typer.Option(help="float32, bfloat16, or auto.")] = "float32",
    batch: Annotated[
        int, typer.Option(help="Texts that go through a model together.", rich_help_panel=_LIMITS)
    ] = ServingOptions.batch,
    wait: Annotated[
        float, typer.Option(help="Seconds that a first text waits for others.", rich_help_panel=_LIMITS)
    ] = ServingOptions.wait,
    queue: Annotated[
        int, typer.Option(help="Texts that may wait before others are turned away.", rich_help_panel=_LIMITS)
    ] = ServingOptions.queue,
    connections: Annotated[
        int, typer.Option(help="Open at once.", rich_help_panel=_LIMITS)
    ] = ServingOptions.connections,
    max_body: Annotated[
        int, typer.Option(help="Bytes of a request.", rich_help_panel=_LIMITS)
    ] = ServingOptions.max_body,
    header_seconds: Annotated[
        float, typer.Option(help="For a request's head.", rich_help_panel=_LIMITS)
    ] = ServingOptions.header_seconds,
    body_seconds: Annotated[
        float, typer.Option(help="For its body.", rich_help_panel=_LIMITS)
    ] = ServingOptions.body_seconds,
    drain_seconds: Annotated[
        float, typer.Option(help="For what is being answered when the server is to stop.", rich_help_panel=_LIMITS)
    ] = ServingOptions.drain_seconds,
) -> None:
    """A search page and an HTTP API of a finished run."""
    options = ServingOptions(
        host=host, port=port, api_key=read_key(api_key), cors=tuple(cors or ()), batch=batch, wait=wait, queue=queue,
        connections=connections, max_body=max_body, header_seconds=header_seconds, body_seconds=body_seconds,
        drain_seconds=drain_seconds,
    )  # fmt: skip
    from nestvec.serving.server import serve as serve_run

    with stoppable(), Terminal() as terminal:
        serve_run(run, options, backend=backend, compute=compute, store=store, name=name, reporter=terminal)
