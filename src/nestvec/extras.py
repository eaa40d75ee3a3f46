"""The libraries of each extra (`pip install nestvec[EXTRA]`), and the error for libraries that are not installed."""

from __future__ import annotations

from importlib.util import find_spec
from typing import TYPE_CHECKING

from nestvec.errors import MissingExtraError

if TYPE_CHECKING:
    from collections.abc import Iterable

LIBRARIES: dict[str, tuple[str, ...]] = {  # by extra: the modules that nestvec imports
    "train": (
        "torch",
        "sentence_transformers",
        "transformers",
        "accelerate",
        "datasets",
        "tokenizers",
        "huggingface_hub",
    ),
    "evaluate": ("bm25s", "Stemmer", "py3langid", "symspellpy"),
    "report": ("jinja2", "markupsafe", "matplotlib"),
    "index": ("faiss",),
    "postgres": ("psycopg",),
    "onnx": ("onnx", "onnxruntime"),
    "openvino": ("openvino", "nncf"),
    "ray": ("ray",),
    "serve": (
        "fastapi",
        "uvicorn",
        "httptools",
        "prometheus_client",
        "fastapi_swagger",
        "cachetools",
        "threadpoolctl",
        "pydantic",
        "pydantic_core",
        "starlette",
    ),
    "tune": ("optuna", "sqlalchemy", "sklearn"),
}


def require_extras(*extras: str) -> None:
    """Raise MissingExtraError, naming all missing extras, if a library of these extras is not installed."""
    missing = {extra: library for extra in extras if (library := _find_missing(LIBRARIES[extra]))}
    if missing:
        raise MissingExtraError(next(iter(missing.values())), *missing)


def explain_import(error: ImportError) -> MissingExtraError | None:
    """Make the error that names the extra to install for a missing library; None if no extra has the library."""
    library = (error.name or "").partition(".")[0]
    extra = next((extra for extra, libraries in LIBRARIES.items() if library in libraries), None)
    return None if extra is None or find_spec(library) else MissingExtraError(library, extra)


def _find_missing(libraries: Iterable[str]) -> str | None:
    return next((library for library in libraries if find_spec(library) is None), None)
