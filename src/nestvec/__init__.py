"""nestvec: fit retrieval embeddings to your own search, at the smallest vector that holds up.

The functions have the names of the commands: `nestvec.run("sample", "runs/demo")`. Importing this module is quick,
because heavy libraries are imported only when a function needs them.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from nestvec.encoding.embeddings_file import read_encoded
    from nestvec.encoding.encode_file import Encoded, encode
    from nestvec.errors import GateClosedError, InputError, MissingExtraError, NestvecError
    from nestvec.exporting.export_model import Exported, export
    from nestvec.indexing.index import build_index, open_index, search
    from nestvec.indexing.index_settings import Columns
    from nestvec.indexing.opened_index import Index
    from nestvec.pipeline.checking import Check, check
    from nestvec.pipeline.comparing import RunComparison, compare
    from nestvec.pipeline.reproducing import Reproduction, reproduce
    from nestvec.pipeline.run_stages import evaluate, run
    from nestvec.progress import ProgressEvent
    from nestvec.runs.run import Run, load_run
    from nestvec.serving.server import serve
    from nestvec.serving.serving_options import ServingOptions
    from nestvec.settings import Settings
    from nestvec.tuning.study import Tuned, tune

__version__ = "0.1.0"

__all__ = [
    "Check",
    "Columns",
    "Encoded",
    "Exported",
    "GateClosedError",
    "Index",
    "InputError",
    "MissingExtraError",
    "NestvecError",
    "ProgressEvent",
    "Reproduction",
    "Run",
    "RunComparison",
    "ServingOptions",
    "Settings",
    "Tuned",
    "__version__",
    "build_index",
    "check",
    "compare",
    "encode",
    "evaluate",
    "export",
    "load_run",
    "open_index",
    "read_encoded",
    "reproduce",
    "run",
    "search",
    "serve",
    "tune",
]

_MODULES = {
    "encoding.embeddings_file": ("read_encoded",),
    "encoding.encode_file": ("Encoded", "encode"),
    "errors": ("GateClosedError", "InputError", "MissingExtraError", "NestvecError"),
    "exporting.export_model": ("Exported", "export"),
    "indexing.index": ("build_index", "open_index", "search"),
    "indexing.index_settings": ("Columns",),
    "indexing.opened_index": ("Index",),
    "pipeline.checking": ("Check", "check"),
    "pipeline.comparing": ("RunComparison", "compare"),
    "pipeline.reproducing": ("Reproduction", "reproduce"),
    "pipeline.run_stages": ("evaluate", "run"),
    "progress": ("ProgressEvent",),
    "runs.run": ("Run", "load_run"),
    "serving.serving_options": ("ServingOptions",),
    "serving.server": ("serve",),
    "settings": ("Settings",),
    "tuning.study": ("Tuned", "tune"),
}


def __getattr__(name: str) -> object:
    """Import a public name when it is first used; MissingExtraError if a library for it is not installed."""
    module = next((module for module, names in _MODULES.items() if name in names), None)
    if module is None:
        raise AttributeError(f"module 'nestvec' has no attribute {name!r}")
    try:
        return getattr(import_module(f"nestvec.{module}"), name)
    except ModuleNotFoundError as error:
        from nestvec.extras import explain_import

        raise explain_import(error) or error from error


def __dir__() -> list[str]:
    """List the public names."""
    return sorted(__all__)
