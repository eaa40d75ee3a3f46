"""The codes of a codec as a faiss index, so that one query is compared with all of them fast, from a mapped file.

faiss serves the very bytes that the codec made. Float32 is a flat index. Float16 and int8 are scalar quantisers; int8
is moved by 128, as faiss counts from 0, and given its steps (faiss's kind for bytes as they are rounds the query, too,
where the width is a multiple of 32). Codes of 4, 2 and 1 bits are a product quantiser with a centroid for every value
that a byte can have: its numbers' levels where it holds numbers, and the lean on the documents' mean where it holds
that. A sum of such centroids lacks the vector's own factor. With the largest factor in its place it is an upper bound
of the score, which `bound` makes precise. Whoever searches scores the candidates exactly, and takes more of them until
none that is left out can be better (the threshold algorithm, Fagin et al. 2003).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from nestvec.errors import MissingExtraError, NestvecError
from nestvec.vectors.codecs import Float16, Float32, Int8
from nestvec.vectors.rotation import rotate

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from nestvec.vectors.codecs import Codec
    from nestvec.vectors.rabitq import Rotated

_MIDDLE = np.uint8(128)  # what faiss adds to a signed byte
_LONGEST = 2.0  # more than a decoded vector of unit length ever has


def faiss() -> Any:  # noqa: ANN401 - it has no types
    """The faiss library.

    Returns:
        The module.

    Raises:
        MissingExtraError: it is not installed.
    """
    try:
        import faiss as library
    except ImportError as error:
        raise MissingExtraError("faiss", "index") from error
    return library


class Scan:
    """Some documents' codes, searched by faiss.

    Args:
        codec: what made the codes.
        index: of faiss, holding them.
    """

    def __init__(self, codec: Codec, index: Any) -> None:  # noqa: ANN401 - faiss has no types
        self._codec = codec
        self._index = index

    @classmethod
    def of(cls, codec: Codec, codes: NDArray[np.generic]) -> Scan:
        """Codes in memory.

        Args:
            codec: what made them.
            codes: (n, …) codes.

        Returns:
            A scan over a copy of them.
        """
        index = _empty(codec)
        held = np.ascontiguousarray(codes).view(np.uint8).reshape(len(codes), -1)
        faiss().copy_array_to_vector((held ^ _MIDDLE if isinstance(codec, Int8) else held).reshape(-1), index.codes)
        index.ntotal = len(codes)
        return cls(codec, index)

    @classmethod
    def open(cls, codec: Codec, path: Path) -> Scan:
        """Codes in a file that `save` wrote, mapped and not read.

        Args:
            codec: what made them.
            path: the file.

        Returns:
            A scan over the file.

        Raises:
            RuntimeError: faiss cannot read it.
        """
        return cls(codec, faiss().read_index(str(path), faiss().IO_FLAG_MMAP_IFC))

    def save(self, path: Path) -> None:
        """Write faiss's own form; any faiss can search it, given queries as `_asked` turns them.

        Args:
            path: where to.

        Raises:
            NestvecError: the disk is full.
        """
        try:
            faiss().write_index(self._index, str(path))
        except RuntimeError as error:  # faiss has no other class for it
            why = str(error).rpartition("(")[2].rstrip(")")
            raise NestvecError(f"{path} cannot be written ({why}); what was finished before stays") from error

    def __len__(self) -> int:
        """How many documents there are."""
        return int(self._index.ntotal)

    def codes(self, rows: NDArray[np.int64]) -> NDArray[np.generic]:
        """(r, …) codes of (r,) rows, as the codec made them."""
        width, kinds = self._codec.bytes_per_vector, {Float32: np.float32, Float16: np.float16, Int8: np.int8}
        mapped = faiss().rev_swig_ptr(self._index.codes.data(), len(self) * width)
        held: NDArray[np.uint8] = mapped.reshape(len(self), width)[rows]
        return (held ^ _MIDDLE if isinstance(self._codec, Int8) else held).view(kinds.get(type(self._codec), np.uint8))

    def search(self, queries: NDArray[np.float32], k: int) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        """The k documents with the highest rough scores.

        Args:
            queries: (q, d) float32.
            k: at least 1; at most n are returned.

        Returns:
            (q, min(k, n)) rough scores, falling, and rows.
        """
        k = min(k, len(self))
        if not k:
            return np.zeros((len(queries), 0), dtype=np.float32), np.zeros((len(queries), 0), dtype=np.int64)
        scores, rows = self._index.search(_asked(self._codec, queries), k)
        return scores, rows


def bound(codec: Codec, query: NDArray[np.float32], rough: float) -> float:
    """The highest score that a document can have whose rough one is at most `rough`.

    With levels' sum s, lean l and factor f in [f0, f1], the score is f s + l and the rough one f1 s + l. For s >= 0 the
    rough one is higher; for s < 0 the score is at most the rough one plus (f1 - f0) |s|, where f1 |s| = l - rough.

    Args:
        codec: what made the codes.
        query: (d,) float32.
        rough: the lowest rough score among the candidates.

    Returns:
        The bound, with room for what float32 rounds.
    """
    width = len(query)
    room = 2 * (width + 8) * float(np.finfo(np.float32).eps) * float(np.linalg.norm(query)) * _LONGEST
    if isinstance(codec, Float32 | Float16 | Int8):
        return rough + room
    rotated: Rotated = codec  # type: ignore[assignment]
    leaning = float(query.astype(np.float64) @ rotated.axis)
    lean = max(leaning * rotated.lean.low, leaning * rotated.lean.high)
    share = 1 - rotated.factor.low / rotated.factor.high if rotated.factor.high > 0 else 0.0
    return rough + share * max(0.0, lean - rough) + room


def _asked(codec: Codec, queries: NDArray[np.float32]) -> NDArray[np.float32]:
    """Queries in the space of the index: below 8 bits rotated, with one part for each byte."""
    if isinstance(codec, Float32 | Float16 | Int8):
        return np.ascontiguousarray(queries)
    rotated: Rotated = codec  # type: ignore[assignment]
    each, packed = 8 // rotated.bits, rotated.bytes_per_vector - 2
    parts = np.zeros((len(queries), packed + 2, each), dtype=np.float32)
    turned = np.zeros((len(queries), packed * each))
    turned[:, : rotated.dimension] = rotate(queries)
    parts[:, :packed] = turned.reshape(len(queries), packed, each)
    parts[:, packed, 0] = queries.astype(np.float64) @ rotated.axis
    return parts.reshape(len(queries), -1)


def _empty(codec: Codec) -> Any:  # noqa: ANN401 - faiss has no types
    """An index of faiss that holds nothing yet."""
    library = faiss()
    product = library.METRIC_INNER_PRODUCT
    if isinstance(codec, Float32):
        return library.IndexFlatIP(codec.dimension)
    if isinstance(codec, Float16):
        return library.IndexScalarQuantizer(codec.dimension, library.ScalarQuantizer.QT_fp16, product)
    if isinstance(codec, Int8):
        index = library.IndexScalarQuantizer(len(codec.scale), library.ScalarQuantizer.QT_8bit, product)
        # faiss reads a byte c as low + width (c + 1/2) / 255
        ranges = np.concatenate([-(_MIDDLE + 0.5) * codec.scale, 255 * codec.scale]).astype(np.float32)
        library.copy_array_to_vector(ranges, index.sq.trained)
        index.is_trained = True
        return index
    rotated: Rotated = codec  # type: ignore[assignment]
    each, parts = 8 // rotated.bits, rotated.bytes_per_vector
    index = library.IndexPQ(parts * each, parts, 8, product)
    library.copy_array_to_vector(_centroids(rotated).reshape(-1), index.pq.centroids)
    index.is_trained = True
    return index


def _centroids(codec: Rotated) -> NDArray[np.float32]:
    """(bytes, 256, numbers a byte) what each value of each byte of a code stands for; the factor's byte for nothing."""
    each, parts = 8 // codec.bits, codec.bytes_per_vector
    values = np.arange(256, dtype=np.uint8)
    shifts = np.arange(8 - codec.bits, -1, -codec.bits, dtype=np.uint8)
    levels = (values[:, None] >> shifts) & np.uint8(2**codec.bits - 1)
    found = np.zeros((parts, 256, each), dtype=np.float32)
    found[: parts - 2] = (2 * levels.astype(np.float64) + 1 - 2**codec.bits) * codec.factor.high
    found[parts - 2, :, 0] = codec.lean.decode(values)
    return found
