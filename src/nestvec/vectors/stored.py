"""Codecs as safetensors files: what was measured can be decoded by any other process, bit for bit.

`_KINDS` names each class of codec; a codec whose class it lacks is refused before anything is written.
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
_ABOUT = {"format": "nestvec codes 2", "rotation": f"seed {SEED}"}  # both are part of what a code means
_EXPECTED = "codecs that nestvec saved"
_FIELDS: dict[str, tuple[Any, Any]] = {  # what a codec's fields are in Python and in NumPy; all others are arrays
    "int": (int, np.int64),
    "float": (float, np.float64),
    "Range": (Range, np.float64),
}
_BITS = (1, 2, 4)  # of a number of a rotated vector
_AXES = "axes"  # the field that every codec has, and the part of a name that says whose numbers follow
_KEY = "nestvec"  # of the metadata, all of it in one: of several, the library changes the order from file to file


def save_codecs(path: Path, codecs: Mapping[str, Codec]) -> None:
    """Write codecs to one safetensors file that says what it is.

    Args:
        path: where to.
        codecs: by name, such as `384.int8`.

    Raises:
        TypeError: `_KINDS` lacks a codec's class, so that nothing could read the file.
    """
    from safetensors.numpy import save

    tensors = {name: value for key, codec in codecs.items() for name, value in _codec_tensors(key, codec).items()}
    about = {**_ABOUT, "crc32": _tensor_checksum(tensors)}
    path.write_bytes(save(tensors, metadata={_KEY: json.dumps(about)}))


def load_codecs(path: Path) -> dict[str, Codec]:
    """Read what `save_codecs` wrote, by name; InputError where it is missing, damaged, or of another form."""
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
            raise ValueError(f"it has axes but no codec for {', '.join(turned)}")
        for key, codec in codecs.items():
            _check_codec(key, codec)
        return codecs
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise InputError(f"is damaged: {error}", _EXPECTED, file=path) from error


def _codec_tensors(key: str, codec: Codec) -> dict[str, NDArray[Any]]:
    """A codec's numbers as arrays, named `key/class/field`; a range is an array of two."""
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
    """The fields of a codec but its axes."""
    return [entry for entry in fields(codec) if entry.name != _AXES]


def _parse_fields(values: Mapping[str, NDArray[Any]]) -> dict[str, Any]:
    """Each field's value: a number, a range where the field is one, else the array."""
    ranges = {entry.name for entry in fields(Rotated) if entry.type == Range.__name__}
    return {
        name: value.item() if value.ndim == 0 else Range(*value.tolist()) if name in ranges else value
        for name, value in values.items()
    }


def _check_codec(name: str, codec: Any) -> None:  # noqa: ANN401 - of any kind
    """Raise ValueError where a codec's numbers do not fit together, or not its name where that is a format's."""
    widths = set()
    for entry in _own_fields(codec):
        value: Any = getattr(codec, entry.name)
        numbers = np.asarray([value.low, value.high] if isinstance(value, Range) else value)
        kind, number = _FIELDS.get(str(entry.type), (np.ndarray, np.float32))
        if not isinstance(value, kind) or numbers.dtype != number or not np.isfinite(numbers).all():
            raise ValueError(f"{entry.name} of {name} is not what it should be")
        widths |= set(value.shape) if kind is np.ndarray else set()
    widths |= {codec.dimension} if hasattr(codec, "dimension") else set()
    if len(widths) != 1 or getattr(codec, "bits", 1) not in _BITS:
        raise ValueError(f"the numbers of {name} do not fit together")
    if codec.axes is not None:
        _check_axes(name, codec.axes, codec.dimension)
    with suppress(ValueError):  # a name of another kind
        stored, is_turned = VectorFormat.parse(name), codec.axes is not None
        if (widths, codec.bytes_per_vector, is_turned) != ({stored.dimension}, stored.bytes, stored.axes):
            widths.clear()
    if not widths:
        raise ValueError(f"{name} is of another format")


def _check_axes(name: str, axes: Axes, dimension: int) -> None:
    """Raise ValueError for axes that are not float32, or not one for each number that the codec stores."""
    are_float32 = axes.matrix.dtype == np.float32 == axes.shift.dtype
    fit = axes.matrix.ndim == 2 and axes.shift.shape == axes.matrix.shape[1:] == (dimension,) <= axes.matrix.shape[:1]
    if not (are_float32 and fit):
        raise ValueError(f"the axes of {name} are not float32, or are not as many as its codec stores numbers")


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
        raise InputError("is of another form", _EXPECTED, file=path)
    if about.get("crc32") != _tensor_checksum(tensors):
        raise InputError("is damaged: its checksum is another", _EXPECTED, file=path)
    if any(np.issubdtype(value.dtype, np.floating) and not np.isfinite(value).all() for value in tensors.values()):
        raise InputError("is damaged: it holds NaN or infinities", _EXPECTED, file=path)
    return tensors


def _parse_metadata(about: str) -> dict[str, Any]:
    """The metadata; nothing where it is of another form."""
    try:
        metadata = json.loads(about)
    except ValueError:
        return {}
    return metadata if isinstance(metadata, dict) else {}


def _tensor_checksum(tensors: Mapping[str, NDArray[Any]]) -> str:
    """A CRC-32 of names and bytes: the format itself notices a file cut short, but no changed bits."""
    checksum = 0
    for name in sorted(tensors):
        checksum = zlib.crc32(np.ascontiguousarray(tensors[name]).data, zlib.crc32(name.encode(), checksum))
    return f"{checksum:08x}"
