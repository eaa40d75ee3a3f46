"""NumPy's own files, mapped and not read, whoever wrote them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

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
        array = np.lib.format.open_memmap(path, mode="r")
    except (OSError, ValueError, EOFError, OverflowError) as error:
        raise InputError(f"cannot be read ({error})", expected, file=path) from error
    if array.dtype != kind or not array.flags.c_contiguous:
        problem = f"is damaged: it holds {' by '.join(map(str, array.shape))} numbers of {array.dtype}"
        raise InputError(problem, f"{expected}, of {np.dtype(kind)}", file=path)
    return array
