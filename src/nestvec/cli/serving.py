"""The command `serve`."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from nestvec.cli.app import Command, app
from nestvec.cli.delivering import RunFolder
from nestvec.cli.options import build_settings, options
from nestvec.progress import Reporter
from nestvec.serving.serving_options import ServingOptions, read_key


@app.command(cls=Command)
@options(ServingOptions)
def serve(run: RunFolder, reporter: Reporter, **typed: Any) -> None:  # noqa: ANN401 - see `options`
    """Serve a finished run: a search page and an HTTP API."""
    settings = build_settings(ServingOptions, typed)
    settings = replace(settings, api_key=read_key(settings.api_key))
    from nestvec.serving.server import serve as serve_run

    serve_run(run, settings, reporter)
