"""The files of a model's folder: which modules it names, which files hold their weights, and what those hash to."""

from __future__ import annotations

import hashlib
from pathlib import Path, PurePosixPath

from nestvec.errors import InputError
from nestvec.files import read_json, read_object, sha256

WEIGHTS = "model.safetensors"
SHARDS = "model.safetensors.index.json"
ADAPTER = "adapter_config.json"  # of PEFT: the weights beside it are a change to those of another model
CARD = "nestvec.json"  # beside the weights of a model that nestvec saved: what it is and what its weights hash to
_ADAPTER_WEIGHTS = "adapter_model.safetensors"
_MODULES = "modules.json"
_COUNTS = {"max_seq_length", "model_max_length", "truncate_dim", "hidden_size", "max_position_embeddings"} | {
    "embedding_dimension", "word_embedding_dimension", "in_features", "out_features"
}  # fmt: skip
_SETTINGS = ("config.json", "config_sentence_transformers.json", "sentence_*config.json", "tokenizer_config.json")
_ROUTER = "router_config.json"
_PICKLED = ("pytorch_model*.bin", "adapter_model.bin")
_AS_SAFETENSORS = "weights as safetensors, as `save_pretrained` of sentence-transformers writes them"


def list_module_folders(path: Path) -> dict[str, str]:
    """Folders of a model's modules, relative to its own, with the name of each one's class, in the order of use.

    Without modules.json the model is one transformer in its own folder. InputError is raised for a damaged list, and
    for a folder outside the model's.
    """
    if not (path / _MODULES).exists():
        return {"": "Transformer"}
    listed = read_json(path / _MODULES)
    wanted = "a list of modules, each with `type` and `path`"
    if not isinstance(listed, list) or not listed:
        raise InputError("lists no modules", wanted, file=path / _MODULES)
    folders: dict[str, str] = {}
    for entry in listed:
        if not isinstance(entry, dict) or not all(isinstance(entry.get(key), str) for key in ("path", "type")):
            raise InputError(f"lists {str(entry)[:80]}", wanted, file=path / _MODULES)
        folders |= _list_routes(path, _inside(path, entry["path"]), entry["type"].rpartition(".")[2])
    return folders


def _list_routes(path: Path, folder: str, kind: str) -> dict[str, str]:
    """A module's folder; of one that chooses among modules, theirs."""
    file = path / folder / _ROUTER
    if not file.exists():
        return {folder: kind}
    types = read_object(file, "the modules of a Router").get("types")
    if not isinstance(types, dict) or not all(isinstance(name, str) for name in types.values()):
        raise InputError("names no modules", "`types`, a class for each folder", file=file)
    return {_inside(path, str(PurePosixPath(folder) / name)): route.rpartition(".")[2] for name, route in types.items()}


def _inside(path: Path, folder: str) -> str:
    """The name of a folder below the model's own; raises InputError for one that is elsewhere."""
    parts = PurePosixPath(folder)
    if parts.is_absolute() or ".." in parts.parts:
        raise InputError(f"names the folder {folder!r}", "a folder inside the model's", file=path / _MODULES)
    return "" if folder in ("", ".") else str(parts)


def check_model_settings(path: Path) -> None:
    """Read the configurations of a model's modules; raises InputError for one that is damaged, or an unusable number.

    What only the libraries know of is left to them: they say what is wrong when the model is loaded.
    """
    for folder in dict.fromkeys(["", *list_module_folders(path)]):
        for file in sorted(file for name in _SETTINGS for file in (path / folder).glob(name)):
            values = read_object(file, "the configuration of a model")
            for key in _COUNTS & values.keys():
                if (value := values[key]) is not None and not (_is_number(value) and value >= 1):
                    raise InputError(f"{key} is {str(value)[:40]!r}", "a number, 1 or more", file=file)


def _is_number(value: object) -> bool:
    """Whether a value is a whole number, or a float so large that it stands for none."""
    return not isinstance(value, bool) and (isinstance(value, int) or (isinstance(value, float) and value.is_integer()))


def list_weight_files(path: Path) -> list[str]:
    """Names of the files that hold a model's weights, relative to its folder, in the order of its modules.

    InputError is raised where a module has pickled weights only, or a transformer has none.
    """
    files: dict[str, None] = {}
    for folder, kind in list_module_folders(path).items():
        found = _list_module_weights(path / folder)
        if not found and kind == "Transformer":
            raise InputError("there is no such file", _AS_SAFETENSORS, file=path / folder / WEIGHTS)
        files |= dict.fromkeys(str(PurePosixPath(folder) / name) for name in found)
    if not files:
        raise InputError("there is no such file", _AS_SAFETENSORS, file=path / WEIGHTS)
    return list(files)


def _list_module_weights(folder: Path) -> list[str]:
    """Names of the files in a module's folder that hold its weights; empty for a module without any."""
    single = [WEIGHTS] if (folder / WEIGHTS).exists() else []
    if (folder / ADAPTER).exists():
        single = [_ADAPTER_WEIGHTS] if (folder / _ADAPTER_WEIGHTS).exists() else []
    found = [*single, *_list_shards(folder / SHARDS)]
    pickled = sorted(file.name for pattern in _PICKLED for file in folder.glob(pattern))
    if pickled and not found:
        problem = "holds pickled weights, which nestvec does not read"
        raise InputError(problem, _AS_SAFETENSORS, file=folder / pickled[0])
    return found


def _list_shards(index: Path) -> list[str]:
    """The files that a list of shards names, each once; empty where there is no such list."""
    if not index.exists():
        return []
    shards = read_object(index, "a weight_map of weight names to files").get("weight_map")
    if not isinstance(shards, dict) or not shards or not all(isinstance(name, str) for name in shards.values()):
        raise InputError("lists no shards", "a weight_map of weight names to files", file=index)
    return sorted(set(shards.values()))


def check_weights(path: Path, files: list[str], name: str) -> None:
    """Make sure that files of weights are there and readable to the end; raises InputError for the first that isn't."""
    from safetensors import SafetensorError, safe_open

    for file in files:
        if not (path / file).is_file():
            raise InputError("there is no such file", _AS_SAFETENSORS, file=path / file)
        try:
            with safe_open(path / file, framework="numpy") as tensors:
                if not list(tensors.keys()):
                    raise InputError("holds no weights", "an undamaged model", file=path / file)
        except (SafetensorError, OSError) as error:
            raise InputError(f"is damaged ({error})", f"the weights of {name}", file=path / file) from error


def hash_weights(path: Path, files: list[str], base: str | None = None) -> str:
    """The SHA-256 in hex of a model's weights.

    Of a single file, as `sha256sum` gives it. Of several, that of the lines that `sha256sum` prints of them; the hash
    of an adapter's base model is a line more.
    """
    if len(files) == 1 and base is None:
        return sha256(path / files[0])
    lines = [f"{sha256(path / file)}  {file}\n" for file in files] + ([f"{base}  base model\n"] if base else [])
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def hash_settings(path: Path) -> str:
    """The SHA-256 in hex of what a model is besides its weights: the JSON files of its modules, and vocabularies."""
    folders = [path, *(path / folder for folder in list_module_folders(path) if folder)]
    files = sorted(
        file for folder in folders for file in folder.glob("*") if file.suffix in (".json", ".txt", ".model")
    )
    lines = [f"{sha256(file)}  {file.relative_to(path)}\n" for file in files if file.name != CARD]
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def hash_first_file(path: Path) -> str | None:
    """What nestvec 0.1 took for the hash of a model: that of the file in its own folder, shards by their list."""
    first = next((path / name for name in (SHARDS, WEIGHTS) if (path / name).is_file()), None)
    return None if first is None else sha256(first)


def read_adapter_base(path: Path) -> tuple[Path, str] | None:
    """The file that says which model an adapter changes, and that model's name; None for a model that is whole."""
    files = (path / folder / ADAPTER for folder in list_module_folders(path))
    file = next(filter(Path.exists, files), None)
    if file is None:
        return None
    base = read_object(file, "the configuration of an adapter").get("base_model_name_or_path")
    if not isinstance(base, str) or not base:
        raise InputError("names no model that the adapter changes", "`base_model_name_or_path`", file=file)
    return file, base
