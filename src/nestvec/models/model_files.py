"""Read a model's folder: which modules the model has, and which files hold their weights."""

from __future__ import annotations

from pathlib import Path, PurePosixPath

from nestvec.errors import InputError
from nestvec.files import read_json, read_object

WEIGHTS = "model.safetensors"
SHARDS = "model.safetensors.index.json"
ADAPTER = "adapter_config.json"  # written by PEFT: the weights beside it change those of a base model
CARD = "nestvec.json"  # written by nestvec beside a model: facts, and the sha256 of the weights
_ADAPTER_WEIGHTS = "adapter_model.safetensors"
_MODULES = "modules.json"
_ROUTER = "router_config.json"
_PICKLED = ("pytorch_model*.bin", "adapter_model.bin")
_OURS = "sentence_transformers."  # the package of the modules' classes; others may be code that the model brings
_SHARDED = ("Transformer", "CLIPModel")  # modules that may have their weights in several files
_AS_SAFETENSORS = "weights as safetensors, as `save_pretrained` of sentence-transformers writes them"
_CONVERTED = (
    "weights as safetensors; if you trust the model, SentenceTransformer(folder).save_pretrained(new_folder) "
    "converts them"
)


def list_module_folders(path: Path) -> dict[str, str]:
    """List the folders of a model's modules in order of use, relative to the model's folder, with the class names.

    Without modules.json the model is one transformer in its own folder. Raises InputError for a damaged list, for a
    folder outside the model's folder, and for a class that is not from sentence-transformers.
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
        folders |= _list_routes(path, _inside(path, entry["path"]), _class_name(entry["type"], path / _MODULES))
    return folders


def _list_routes(path: Path, folder: str, kind: str) -> dict[str, str]:
    """List a module's folder; for a Router, the folders of the modules that it chooses from."""
    file = path / folder / _ROUTER
    if not file.exists():
        return {folder: kind}
    types = read_object(file, "the modules of a Router").get("types")
    if not isinstance(types, dict) or not all(name and isinstance(route, str) for name, route in types.items()):
        raise InputError("names no modules", "`types`, a class for each folder", file=file)
    folders: dict[str, str] = {}
    for name, route in types.items():
        inner = _inside(path, str(PurePosixPath(folder) / name))
        folders |= (
            {inner: _class_name(route, file)}
            if inner == folder
            else _list_routes(path, inner, _class_name(route, file))
        )
    return folders


def _class_name(kind: str, file: Path) -> str:
    """Give the last part of a class name; InputError for a class that is not from sentence-transformers."""
    if not kind.startswith(_OURS):
        problem = f"names the class {kind[:80]!r}, and nestvec runs no code that a model brings"
        raise InputError(problem, "only modules of sentence-transformers", file=file)
    return kind.rpartition(".")[2]


def _inside(path: Path, folder: str) -> str:
    """Give the relative name of a folder inside the model's folder; raises InputError for a folder outside."""
    parts = PurePosixPath(folder)
    if parts.is_absolute() or ".." in parts.parts:
        raise InputError(f"names the folder {folder!r}", "a folder inside the model's", file=path / _MODULES)
    return "" if folder in ("", ".") else str(parts)


def list_weight_files(path: Path) -> list[str]:
    """List the files that hold a model's weights, relative to the model's folder, in the order of the model's modules.

    Raises InputError if a module has only pickled weights, or if a transformer has no weights.
    """
    files: dict[str, None] = {}
    for folder, kind in list_module_folders(path).items():
        found = _list_module_weights(path / folder, kind)
        if not found and kind == "Transformer":
            raise InputError("there is no such file", _AS_SAFETENSORS, file=path / folder / WEIGHTS)
        files |= dict.fromkeys(str(PurePosixPath(folder) / name) for name in found)
    if not files:
        raise InputError("there is no such file", _AS_SAFETENSORS, file=path / WEIGHTS)
    return list(files)


def _list_module_weights(folder: Path, kind: str) -> list[str]:
    """List the files in a module's folder that hold the module's weights; empty for a module without weights.

    Raises InputError if the library would read a pickle, because there is no safetensors file.
    """
    is_adapter = (folder / ADAPTER).exists()
    wanted = _ADAPTER_WEIGHTS if is_adapter else WEIGHTS
    found = [wanted] if (folder / wanted).exists() else []
    if kind in _SHARDED and not is_adapter:
        found += _list_shards(folder / SHARDS)
    pickled = sorted(file.name for pattern in _PICKLED for file in folder.glob(pattern))
    if pickled and not found:
        problem = "holds pickled weights, which may run code when they are read, so nestvec does not read them"
        raise InputError(problem, _CONVERTED, file=folder / pickled[0])
    return found


def _list_shards(index: Path) -> list[str]:
    """List the weight files that an index of shards names, each once; empty if the folder has no such index."""
    if not index.exists():
        return []
    shards = read_object(index, "a weight_map of weight names to files").get("weight_map")
    if not isinstance(shards, dict) or not shards or not all(isinstance(name, str) for name in shards.values()):
        raise InputError("lists no shards", "a weight_map of weight names to files", file=index)
    return sorted(set(shards.values()))


def read_shapes(path: Path, files: list[str], name: str) -> dict[str, dict[str, tuple[int, ...]]]:
    """Read the shape of every weight, by file and name, without reading the weights.

    Raises InputError for the first file that is missing, is damaged, or holds no weights.
    """
    from safetensors import SafetensorError, safe_open

    shapes: dict[str, dict[str, tuple[int, ...]]] = {}
    for file in files:
        if not (path / file).is_file():
            raise InputError("there is no such file", _AS_SAFETENSORS, file=path / file)
        try:
            with safe_open(path / file, framework="numpy") as tensors:
                names = list(tensors.keys())
                shapes[file] = {weight: tuple(tensors.get_slice(weight).get_shape()) for weight in names}
        except (SafetensorError, OSError) as error:
            raise InputError(
                f"is damaged ({error})", f"the weights of {name}: fetch the model again", file=path / file
            ) from error
        if not names:
            wanted = "a safetensors file with the weights of a model: fetch the model again"
            raise InputError("holds no weights", wanted, file=path / file)
    return shapes


def read_adapter_base(path: Path) -> tuple[Path, str] | None:
    """Find an adapter's configuration file and the name of its base model; None if the model is not an adapter."""
    files = (path / folder / ADAPTER for folder in list_module_folders(path))
    file = next(filter(Path.exists, files), None)
    if file is None:
        return None
    base = read_object(file, "the configuration of an adapter").get("base_model_name_or_path")
    if not isinstance(base, str) or not base:
        raise InputError("names no base model", "`base_model_name_or_path`", file=file)
    return file, base
