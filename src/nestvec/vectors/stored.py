"""Saves and loads codecs as safetensors files, so that any other process decodes the measured codes bit for bit.

`_KINDS` names each class of codec; a codec of an unlisted class is refused before anything is written.
"""

from __future__ import annotations

import json
import zlib
from contextlib import suppress
from dataclasses import Field, fields
from typing import TYPE_CHECKING, Any

import numpy as np

from nestvec.errors import InputError
from nestvec.files import require_file
from nestvec.point import VectorFormat
from nestvec.vectors.codecs import Float16, Float32, Int8
from nestvec.vectors.learned_signs import LearnedSigns
from nestvec.vectors.principal_axes import Axes
from nestvec.vectors.rabitq import Range, Rotated
from nestvec.vectors.rotation import SEED

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from numpy.typing import NDArray

    from nestvec.vectors.codecs import Codec

_KINDS = {kind.__name__.lower(): kind for kind in (Float32, Float16, Int8, Rotated, LearnedSigns)}
_ABOUT = {"format": "nestvec codes 2", "rotation": f"seed {SEED}"}  # decoding a code depends on both
_EXPECTED = "codecs that nestvec saved"
_FIELDS: dict[str, tuple[Any, Any]] = {  # types of a codec's fields in Python and NumPy; other fields are arrays
    "int": (int, np.int64),
    "float": (float, np.float64),
    "Range": (Range, np.float64),
}
_BITS = (1, 2, 4)  # allowed bits per number of a rotated vector
_AXES = "axes"  # name of the field that every codec has, and the middle part of the names of its tensors
_KEY = "nestvec"  # the only metadata key: with several keys, safetensors would write them in varying order


def save_codecs(path: Path, codecs: Mapping[str, Codec]) -> None:
    """Write codecs to one safetensors file, with format and checksum in its metadata.

    Args:
        path: the file to write.
        codecs: codecs by name, such as `384.int8`.

    Raises:
        TypeError: a codec's class is not in `_KINDS`, so the file could not be read again.
    """
    from safetensors.numpy import save

    tensors = {name: value for key, codec in codecs.items() for name, value in _codec_tensors(key, codec).items()}
    about = {**_ABOUT, "crc32": _tensor_checksum(tensors)}
    path.write_bytes(save(tensors, metadata={_KEY: json.dumps(about)}))


def load_codecs(path: Path) -> dict[str, Codec]:
    """Read the codecs of a file that `save_codecs` wrote, by names such as `384.int8`.

    Raises InputError if the file is missing, damaged, or in another format.
    """
    parts: dict[tuple[str, str], dict[str, NDArray[Any]]] = {}
    try:
        for name, value in _read_tensors(path).items():
            key, kind, entry = name.split("/")
            parts.setdefault((key, kind), {})[entry] = value
        turned = {key: Axes(**parts.pop((key, kind))) for key, kind in list(parts) if kind == _AXES}
        codecs: dict[str, Codec] = {
            key: _KINDS[kind](**_parse_fields(values), axes=turned.pop(key, None))
            for (key, kind), values in parts.items()
        }
        if turned:
            raise ValueError(f"the file has principal axes but no codec for {', '.join(turned)}")
        for key, codec in codecs.items():
            _check_codec(key, codec)
        return codecs
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise InputError(f"is damaged: {error}", _EXPECTED, file=path) from error


def _codec_tensors(key: str, codec: Codec) -> dict[str, NDArray[Any]]:
    """Convert a codec's fields to arrays with names such as `384.int8/int8/scale`; a range becomes two numbers."""
    name = type(codec).__name__
    if _KINDS.get(name.lower()) is not type(codec):
        raise TypeError(f"a codec of {name} cannot be saved; add {name} to _KINDS in vectors/stored.py")
    tensors: dict[str, NDArray[Any]] = {}
    if codec.axes is not None:
        axes = {entry.name: getattr(codec.axes, entry.name) for entry in fields(Axes)}
        tensors |= {f"{key}/{_AXES}/{name}": np.ascontiguousarray(value) for name, value in axes.items()}
    for entry in _own_fields(codec):
        value = getattr(codec, entry.name)
        value = [value.low, value.high] if isinstance(value, Range) else value
        tensors[f"{key}/{name.lower()}/{entry.name}"] = np.asarray(value)
    return tensors


def _own_fields(codec: Any) -> list[Field[Any]]:  # noqa: ANN401 - every codec is a dataclass
    """Return the dataclass fields of a codec, without `axes`, which are stored under names of their own."""
    return [entry for entry in fields(codec) if entry.name != _AXES]


def _parse_fields(values: Mapping[str, NDArray[Any]]) -> dict[str, Any]:
    """Convert stored arrays back to a codec's fields: an array of one number to a number, a range to a `Range`."""
    ranges = {entry.name for entry in fields(Rotated) if entry.type == Range.__name__}
    return {
        name: value.item() if value.ndim == 0 else Range(*value.tolist()) if name in ranges else value
        for name, value in values.items()
    }


def _check_codec(name: str, codec: Any) -> None:  # noqa: ANN401 - of any kind
    """Raise ValueError if a codec's fields contradict each other, or the dimension and precision in its name."""
    widths = set()
    for entry in _own_fields(codec):
        value: Any = getattr(codec, entry.name)
        numbers = np.asarray([value.low, value.high] if isinstance(value, Range) else value)
        kind, number = _FIELDS.get(str(entry.type), (np.ndarray, np.float32))
        if not isinstance(value, kind) or numbers.dtype != number or not np.isfinite(numbers).all():
            found = f"{type(value).__name__} of {numbers.dtype}"
            wanted = f"a finite {kind.__name__} of {np.dtype(number).name}"
            raise ValueError(f"{entry.name} of {name} must be {wanted}, not {found}")
        widths |= set(value.shape) if kind is np.ndarray else set()
    widths |= {codec.dimension} if hasattr(codec, "dimension") else set()
    if len(widths) != 1 or getattr(codec, "bits", 1) not in _BITS:
        raise ValueError(f"the fields of {name} differ in dimension, or have an unknown number of bits")
    if codec.axes is not None:
        _check_axes(name, codec.axes, codec.dimension)
    with suppress(ValueError):  # the name is not that of a vector format
        stored, is_turned = VectorFormat.parse(name), codec.axes is not None
        if (widths, codec.bytes_per_vector, is_turned) != ({stored.dimension}, stored.bytes, stored.axes):
            widths.clear()
    if not widths:
        raise ValueError(f"the codec {name} has another dimension or precision than its name says")


def _check_axes(name: str, axes: Axes, dimension: int) -> None:
    """Raise ValueError if a codec's principal axes are not float32, or are not as many as its dimension."""
    are_float32 = axes.matrix.dtype == np.float32 == axes.shift.dtype
    fit = axes.matrix.ndim == 2 and axes.shift.shape == axes.matrix.shape[1:] == (dimension,) <= axes.matrix.shape[:1]
    if not (are_float32 and fit):
        raise ValueError(f"the principal axes of {name} must be {dimension} axes of float32")


def _read_tensors(path: Path) -> dict[str, NDArray[Any]]:
    from safetensors import SafetensorError, safe_open

    require_file(path, _EXPECTED)
    try:
        with safe_open(path, framework="numpy") as stored:
            about = _parse_metadata((stored.metadata() or {}).get(_KEY, ""))
            tensors = {name: stored.get_tensor(name) for name in stored.keys()}  # noqa: SIM118 - not a dictionary
    except (OSError, SafetensorError) as error:
        raise InputError(f"cannot be read ({error})", _EXPECTED, file=path) from error
    if {name: about.get(name) for name in _ABOUT} != _ABOUT:
        found = ", ".join(f"{name} {str(about[name])[:40]!r}" for name in _ABOUT if name in about) or "none stated"
        raise InputError(f"has an unknown format ({found})", _EXPECTED, file=path)
    if about.get("crc32") != _tensor_checksum(tensors):
        raise InputError("is damaged: checksum mismatch", _EXPECTED, file=path)
    if any(np.issubdtype(value.dtype, np.floating) and not np.isfinite(value).all() for value in tensors.values()):
        raise InputError("is damaged: a codec's numbers include NaN or infinity", _EXPECTED, file=path)
    return tensors


def _parse_metadata(about: str) -> dict[str, Any]:
    """Parse the file's metadata; returns an empty dictionary if it is not a JSON object."""
    try:
        metadata = json.loads(about)
    except ValueError:
        return {}
    return metadata if isinstance(metadata, dict) else {}


def _tensor_checksum(tensors: Mapping[str, NDArray[Any]]) -> str:
    """Compute a CRC-32 of all arrays and names, because safetensors detects a file cut short but not changed bits."""
    checksum = 0
    for name in sorted(tensors):
        checksum = zlib.crc32(np.ascontiguousarray(tensors[name]).data, zlib.crc32(name.encode(), checksum))
    return f"{checksum:08x}"
