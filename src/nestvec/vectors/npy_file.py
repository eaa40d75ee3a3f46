"""Memory-maps .npy files from untrusted sources, after checking their header."""

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
    """Memory-map the array of an .npy file, read-only.

    Args:
        path: the file.
        kind: the dtype that the array must have.
        expected: what the file should contain, for error messages.

    Returns:
        The memory-mapped array, in C order.

    Raises:
        InputError: the file is missing or damaged, or its dtype or memory order is wrong.
    """
    require_file(path, expected)
    try:
        with path.open("rb") as stream:
            is_plain = npy.read_magic(stream) == (1, 0)
            shape, is_turned, found = (npy.read_array_header_1_0 if is_plain else npy.read_array_header_2_0)(stream)
            start = stream.tell()
    except Exception as error:  # a crafted header can make NumPy's parser raise any exception
        raise InputError(f"cannot be read ({error})", expected, file=path) from error
    if found != kind or is_turned:
        order = " in Fortran order" if is_turned else ""
        problem = f"is damaged: it holds {' by '.join(map(str, shape))} numbers of {found}{order}"
        raise InputError(problem, f"{expected}, with numbers of type {np.dtype(kind)}", file=path)
    if min(shape, default=0) < 0 or start + prod(shape) * found.itemsize != path.stat().st_size:
        problem = f"is damaged: its size does not match its header, {' by '.join(map(str, shape))} numbers of {found}"
        raise InputError(problem, expected, file=path)
    return np.memmap(path, kind, "r", start, shape)
