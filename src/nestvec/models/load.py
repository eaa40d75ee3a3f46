"""Load a model that was found and checked, give it other weights, and save it."""

from __future__ import annotations

import contextlib
import logging
import warnings
from typing import TYPE_CHECKING

from nestvec.errors import InputError, MissingExtraError, NestvecError
from nestvec.files import sha256, write_json
from nestvec.models.compute import use_processors
from nestvec.models.find import CARD, WEIGHTS, find_model, list_weight_files
from nestvec.models.prompts import apply_prompts, model_prompts

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from sentence_transformers import SentenceTransformer

    from nestvec.models.find import ModelFolder

_LIBRARIES = ("accelerate", "sentence_transformers")


def load_model(folder: ModelFolder) -> SentenceTransformer:
    """Load a checked model: safetensors only, no code from the folder, float32 weights, the device PyTorch prefers.

    Its `encode_query` and `encode_document` apply the prompts that `folder` states, also once the model was saved.
    InputError is raised where the folder is damaged in a way that only loading shows.
    """
    try:
        import torch
        from sentence_transformers import SentenceTransformer
    except ImportError as error:
        raise MissingExtraError("sentence-transformers", "train") from error
    use_processors()
    try:
        with quiet_libraries():
            model = SentenceTransformer(
                str(folder.path),
                trust_remote_code=False,
                local_files_only=True,
                model_kwargs={"use_safetensors": True, "dtype": torch.float32},
            )
    except Exception as error:  # the loaders raise whatever the damage makes them raise
        raise InputError(f"cannot be loaded ({error})", "a sentence-transformers model", file=folder.path) from error
    _refuse_missing_weights(model, folder.path)
    if not all(bool(torch.isfinite(weights).all()) for weights in model.parameters()):
        raise InputError("holds weights that are not finite numbers", "an undamaged model", file=folder.path)
    apply_prompts(model, folder.prompts)
    return model


def load_weights(model: SentenceTransformer, path: Path) -> None:
    """Give a model the weights of a folder that the same model was saved to, such as a checkpoint."""
    model.load_state_dict(load_model(find_model(str(path))).state_dict())


def save_model(model: SentenceTransformer, path: Path, facts: dict[str, object]) -> None:
    """Save to a new folder in sentence-transformers' form, with a card: the facts, and what the weights hash to.

    The model's prompts are saved with it, and stand in the card where it has any.
    """
    from safetensors import SafetensorError

    try:
        with quiet_libraries():
            model.save_pretrained(str(path), create_model_card=False, safe_serialization=True)
    except SafetensorError as error:
        raise NestvecError(f"{path} cannot be written ({error}); what was finished before stays") from error
    prompts = model_prompts(model)
    stated = {"query_prompt": prompts.query, "document_prompt": prompts.document} if prompts else {}
    write_json(path / CARD, {**facts, **stated, "sha256": sha256(path / WEIGHTS)})


@contextlib.contextmanager
def quiet_libraries() -> Iterator[None]:
    """Keep the libraries' loading bars and notices off the terminal; nestvec shows its own progress."""
    from transformers.utils import logging as transformers_logging

    bars = transformers_logging.is_progress_bar_enabled()
    transformers_logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    try:
        with quiet_loggers("transformers", "sentence_transformers"), warnings.catch_warnings():
            for library in _LIBRARIES:  # about each other's next version; a user can do nothing about it
                warnings.filterwarnings("ignore", category=FutureWarning, module=library)
            yield
    finally:
        if bars:
            transformers_logging.enable_progress_bar()  # type: ignore[no-untyped-call]


@contextlib.contextmanager
def quiet_loggers(*names: str) -> Iterator[None]:
    """Let these loggers tell errors only; the root logger's name is empty."""
    levels = {logger: logger.level for logger in map(logging.getLogger, names)}
    for logger in levels:
        logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        for logger, level in levels.items():
            logger.setLevel(level)


def _refuse_missing_weights(model: SentenceTransformer, path: Path) -> None:
    """Raise if the transformer has a weight that no file holds: the library would fill it with random numbers."""
    import torch
    from safetensors import safe_open

    stored: set[str] = set()
    for file in list_weight_files(path):
        with safe_open(path / file, framework="numpy") as tensors:
            stored.update(tensors.keys())
    endings = {name[at + 1 :] for name in stored for at in (-1, name.find(".")) if at != len(name)}
    missing = [
        name
        for module in model
        if isinstance(transformer := getattr(module, "auto_model", None), torch.nn.Module)
        for name, _ in transformer.named_parameters()
        if name not in endings and not name.startswith("pooler.")  # that is not used for vectors
    ]
    if missing:
        problem = f"lacks {len(missing)} weights, {missing[0]} first"
        raise InputError(problem, "all weights that config.json calls for", file=path / WEIGHTS)
