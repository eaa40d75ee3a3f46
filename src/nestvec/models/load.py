"""Load a checked model, replace its weights, and save it."""

from __future__ import annotations

import contextlib
import logging
import math
import warnings
from functools import lru_cache
from typing import TYPE_CHECKING

from nestvec.errors import InputError, MissingExtraError, NestvecError
from nestvec.files import sha256, write_json
from nestvec.models.compute import use_processors
from nestvec.models.find import find_model
from nestvec.models.loading_report import ReportedError, refusing_missing_weights
from nestvec.models.model_files import CARD, list_weight_files, read_adapter_base, read_shapes
from nestvec.models.model_hashes import hash_weights
from nestvec.models.prompts import apply_prompts, model_prompts

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from sentence_transformers import SentenceTransformer

    from nestvec.models.find import ModelFolder

_LIBRARIES = ("accelerate", "sentence_transformers")
_WHOLE = "all weights that config.json calls for: fetch the model again"
_LONG = "nail " * 600  # longer than most models read, so that a length limit beyond the model's positions shows
_LONGEST = 400  # most characters of a library's error that a message quotes


def load_model(folder: ModelFolder) -> SentenceTransformer:
    """Load a checked model with float32 weights onto the device that PyTorch prefers.

    Only safetensors are read, and no code from the folder runs. `encode_query` and `encode_document` of the model apply
    the prompts of `folder`, also after the model is saved. Raises InputError for damage that only loading shows.
    """
    try:
        import torch
        from sentence_transformers import SentenceTransformer
    except ImportError as error:
        raise MissingExtraError("sentence-transformers", "train") from error
    use_processors()
    try:
        with quiet_libraries(), refusing_missing_weights(_count_numbers(folder)) as lacking:
            model = SentenceTransformer(
                str(folder.path),
                trust_remote_code=False,
                local_files_only=True,
                model_kwargs={"use_safetensors": True, "dtype": torch.float32},
            )
    except ReportedError as error:
        raise InputError(str(error), _WHOLE, file=folder.path) from error
    except Exception as error:  # the loaders raise whatever the damage makes them raise
        problem = f"cannot be loaded ({_tell_reason(error)})"
        raise InputError(problem, "a sentence-transformers model", file=folder.path) from error
    _refuse_missing_pooler(model, lacking, folder.path)
    if not all(bool(weights.sum().isfinite() or weights.isfinite().all()) for weights in model.parameters()):
        wanted = "finite weights: fetch the model again"
        raise InputError("holds weights that are NaN or infinity", wanted, file=folder.path)
    apply_prompts(model, folder.prompts)
    return model


def _count_numbers(folder: ModelFolder) -> int | None:
    """Count the numbers in a model's files of weights; None for an adapter, whose base model lies elsewhere."""
    names = list_weight_files(folder.path)
    if read_adapter_base(folder.path):
        return None
    shapes = read_shapes(folder.path, names, folder.name)
    return sum(math.prod(shape) for weights in shapes.values() for shape in weights.values())


@lru_cache(maxsize=64)
def read_width(folder: ModelFolder) -> int:
    """Give the width of a checked model's vectors; loads the model, but only once per process."""
    return measure_width(load_model(folder), folder.path)


def measure_width(model: SentenceTransformer, path: Path | None = None) -> int:
    """Measure the width of a loaded model's vectors by encoding a text, whatever the model's files state.

    Raises InputError, naming the folder `path`, if the model cannot encode a text or gives no dense vector.
    """
    import torch

    training = model.training
    try:
        with quiet_libraries():
            vector, _ = model.encode_document(["a", _LONG], convert_to_tensor=True, show_progress_bar=False)
            query = model.encode_query("a", convert_to_tensor=True, show_progress_bar=False)
    except Exception as error:  # each module raises its own kind of error
        problem, wanted = f"cannot encode a text ({_tell_reason(error)})", "a model that encodes texts"
        raise InputError(problem, wanted, file=path) from error
    finally:
        model.train(training)
    if not isinstance(vector, torch.Tensor) or vector.is_sparse or vector.ndim != 1 or not len(vector):
        raise InputError("gives no dense vector for a text", "a model that gives one dense vector per text", file=path)
    if query.shape != vector.shape:
        problem = f"gives vectors of {len(query)} numbers for queries and {len(vector)} for documents"
        raise InputError(problem, "a model whose queries and documents have vectors of the same width", file=path)
    return len(vector)


def _tell_reason(error: Exception) -> str:
    """Give a library's error message on one line, at most `_LONGEST` characters long."""
    return " ".join(str(error).split())[:_LONGEST] or type(error).__name__


def load_weights(model: SentenceTransformer, path: Path) -> None:
    """Load weights into a model from a folder in which the same model was saved, such as a checkpoint."""
    model.load_state_dict(load_model(find_model(str(path))).state_dict())


def save_model(model: SentenceTransformer, path: Path, facts: dict[str, object]) -> None:
    """Save a model to a new folder in sentence-transformers' format, and write `facts` and a hash to nestvec.json.

    The hash is the SHA-256 of the weights. The model's prompts are saved in sentence-transformers' configuration and in
    nestvec.json.
    """
    from safetensors import SafetensorError

    try:
        with quiet_libraries():
            model.save_pretrained(str(path), create_model_card=False, safe_serialization=True)
    except SafetensorError as error:
        raise NestvecError(f"{path} cannot be written ({error}); finished work is kept") from error
    prompts = model_prompts(model)
    stated = {"query_prompt": prompts.query, "document_prompt": prompts.document} if prompts else {}
    files = list_weight_files(path)
    digest = hash_weights({name: sha256(path / name) for name in files}, files)
    write_json(path / CARD, {**facts, **stated, "sha256": digest})


@contextlib.contextmanager
def quiet_libraries() -> Iterator[None]:
    """Hide the libraries' loading bars and notices; nestvec shows its own progress."""
    from transformers.utils import logging as transformers_logging

    bars = transformers_logging.is_progress_bar_enabled()
    transformers_logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    try:
        with quiet_loggers("transformers", "sentence_transformers"), warnings.catch_warnings():
            for library in _LIBRARIES:  # warnings about future versions, which a user cannot act on
                warnings.filterwarnings("ignore", category=FutureWarning, module=library)
            yield
    finally:
        if bars:
            transformers_logging.enable_progress_bar()  # type: ignore[no-untyped-call]


@contextlib.contextmanager
def quiet_loggers(*names: str) -> Iterator[None]:
    """Let these loggers report only errors within the block; the name of the root logger is an empty string."""
    levels = {logger: logger.level for logger in map(logging.getLogger, names)}
    for logger in levels:
        logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        for logger, level in levels.items():
            logger.setLevel(level)


def _refuse_missing_pooler(model: SentenceTransformer, lacking: list[str], path: Path) -> None:
    """Raise InputError if the model's vectors come from a pooler whose weights are missing."""
    for module in model.modules() if lacking else ():
        ways: dict[object, dict[str, object]] = getattr(module, "modality_config", {})
        if any("pooler_output" in str(way.get("method_output_name")) for way in ways.values()):
            raise InputError(f"lacks {len(lacking)} weights, such as {lacking[0]}", _WHOLE, file=path)
