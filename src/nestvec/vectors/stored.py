"""Codecs and codes as safetensors files: what was measured can be decoded by any other process, bit for bit."""

from __future__ import annotations

import json
import zlib
from dataclasses import fields
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from nestvec.errors import InputError
from nestvec.vectors.codecs import Float16, Float32, Int8
from nestvec.vectors.rabitq import Range, Rotated
from nestvec.vectors.rotation import SEED

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from numpy.typing import NDArray

    from nestvec.vectors.codecs import Codec

_KINDS = {kind.__name__.lower(): kind for kind in (Float32, Float16, Int8, Rotated)}
_ABOUT = {"format": "nestvec codes 2", "rotation": f"seed {SEED}"}  # both are part of what a code means
_KEY = "nestvec"  # of the metadata, all of it in one: of several, the library changes the order from file to file
_CODES = "codes"


def save_codecs(path: Path, codecs: Mapping[str, Codec]) -> None:
    """Write codecs to one file.

    Args:
        path: where to.
        codecs: by name, such as `384.int8`.
    """
    _write(path, {name: value for key, codec in codecs.items() for name, value in _tensors(key, codec).items()})


def load_codecs(path: Path) -> dict[str, Codec]:
    """Read what `save_codecs` wrote.

    Args:
        path: the file.

    Returns:
        Name to codec.

    Raises:
        InputError: the file is missing, damaged, or of another form.
    """
    return _codecs(path, _read(path))


def save_codes(path: Path, codec: Codec, codes: NDArray[np.generic]) -> None:
    """Write documents' codes with their codec.

    Args:
        path: where to.
        codec: what made them.
        codes: (n, …) codes.
    """
    _write(path, {_CODES: np.ascontiguousarray(codes), **_tensors("", codec)})


def load_codes(path: Path) -> tuple[Codec, NDArray[np.generic]]:
    """Read what `save_codes` wrote.

    Args:
        path: the file.

    Returns:
        The codec, and (n, …) codes.

    Raises:
        InputError: the file is missing, damaged, or of another form.
    """
    tensors = _read(path)
    codes = tensors.pop(_CODES, None)
    codecs = _codecs(path, tensors)
    if codes is None or list(codecs) != [""]:
        raise InputError("is damaged: it lacks codes or codec", "codes that nestvec saved", file=path)
    if codes.nbytes != len(codes) * codecs[""].bytes_per_vector:
        raise InputError("is damaged: its codes are not of its codec", "codes that nestvec saved", file=path)
    return codecs[""], codes


def _tensors(key: str, codec: Codec) -> dict[str, NDArray[Any]]:
    """A codec's numbers as arrays, named `key/class/field`; a range is an array of two."""
    kind = type(codec).__name__.lower()
    found = {}
    for entry in fields(cast("Any", codec)):  # every codec is a dataclass
        value = getattr(codec, entry.name)
        value = [value.low, value.high] if isinstance(value, Range) else value
        found[f"{key}/{kind}/{entry.name}"] = np.asarray(value)
    return found


def _codecs(path: Path, tensors: Mapping[str, NDArray[Any]]) -> dict[str, Codec]:
    """Codecs from arrays, back to the types of their fields."""
    parts: dict[tuple[str, str], dict[str, NDArray[Any]]] = {}
    try:
        for name, value in tensors.items():
            key, kind, entry = name.split("/")
            parts.setdefault((key, kind), {})[entry] = value
        return {key: _KINDS[kind](**_typed(values)) for (key, kind), values in parts.items()}
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(f"is damaged: {error}", "codecs that nestvec saved", file=path) from error


def _typed(values: Mapping[str, NDArray[Any]]) -> dict[str, Any]:
    """A number where there is one, a range where there are two named so, else the array."""
    ranges = {entry.name for entry in fields(Rotated) if entry.type == Range.__name__}
    return {
        name: value.item() if value.ndim == 0 else Range(*value.tolist()) if name in ranges else value
        for name, value in values.items()
    }


def _write(path: Path, tensors: Mapping[str, NDArray[Any]]) -> None:
    """A safetensors file that says what it is."""
    from safetensors.numpy import save

    about = {**_ABOUT, "crc32": _checksum(tensors)}
    path.write_bytes(save(dict(tensors), metadata={_KEY: json.dumps(about)}))


def _read(path: Path) -> dict[str, NDArray[Any]]:
    """Its arrays."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="numpy") as stored:
            about = _parsed((stored.metadata() or {}).get(_KEY, ""))
            tensors = {name: stored.get_tensor(name) for name in stored.keys()}  # noqa: SIM118 - not a dictionary
    except (OSError, SafetensorError) as error:
        raise InputError(f"cannot be read ({error})", "codes that nestvec saved", file=path) from error
    if {name: about.get(name) for name in _ABOUT} != _ABOUT:
        raise InputError("is of another form", "codes that nestvec saved", file=path)
    if about.get("crc32") != _checksum(tensors):
        raise InputError("is damaged: its checksum is another", "codes that nestvec saved", file=path)
    return tensors


def _parsed(about: str) -> dict[str, Any]:
    """The metadata; nothing where it is of another form."""
    try:
        found = json.loads(about)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _checksum(tensors: Mapping[str, NDArray[Any]]) -> str:
    """Of names and bytes: the format itself notices a file cut short, but no changed bits."""
    found = 0
    for name in sorted(tensors):
        found = zlib.crc32(np.ascontiguousarray(tensors[name]).data, zlib.crc32(name.encode(), found))
    return f"{found:08x}"
