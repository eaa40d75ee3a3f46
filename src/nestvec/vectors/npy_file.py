"""NumPy's own files, mapped and not read, whoever wrote them."""

from __future__ import annotations

from math import prod
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.lib import format as npy

from nestvec.errors import InputError
from nestvec.files import require_file

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import DTypeLike, NDArray


def map_array(path: Path, kind: DTypeLike, expected: str) -> NDArray[Any]:
    """Map the array of a file.

    Args:
        path: the file.
        kind: of its numbers.
        expected: what the file should be, for a message.

    Returns:
        The array, in C's order, memory-mapped.

    Raises:
        InputError: the file is missing or damaged, or of other numbers.
    """
    require_file(path, expected)
    try:
        with path.open("rb") as stream:
            is_plain = npy.read_magic(stream) == (1, 0)
            shape, is_turned, found = (npy.read_array_header_1_0 if is_plain else npy.read_array_header_2_0)(stream)
            start = stream.tell()
    except Exception as error:  # NumPy's parser raises whatever a header makes it raise
        raise InputError(f"cannot be read ({error})", expected, file=path) from error
    if found != kind or is_turned:
        problem = f"is damaged: it holds {' by '.join(map(str, shape))} numbers of {found}"
        raise InputError(problem, f"{expected}, of {np.dtype(kind)}", file=path)
    if min(shape, default=0) < 0 or start + prod(shape) * found.itemsize != path.stat().st_size:
        raise InputError("is damaged: it has another size than it states", expected, file=path)
    return np.memmap(path, kind, "r", start, shape)
