"""Holds a codec's codes as a faiss index in a memory-mapped file, to compare a query with all codes fast.

faiss searches the bytes that the codec made. Float32 codes are a flat index. Float16 and int8 codes are scalar
quantisers. int8 is shifted by 128, because faiss counts from 0, and its step sizes are set. (faiss's own kind for plain
bytes is not used: it also rounds the query if the width is a multiple of 32.) Codes of 4, 2 and 1 bits are a product
quantiser with a centroid for every value of a byte: the levels of the numbers packed in the byte, or, for the byte of
the lean, the vector's component along the documents' mean. The sum of these centroids lacks the vector's own factor;
the largest factor is used in its place, which makes the sum an approximate score from which `score_bound` computes an
upper bound of the exact score. The caller scores candidates exactly and takes more candidates until no other document
can score higher (the threshold algorithm, Fagin et al. 2003).

`_FORMS` has a row for each class of codec; a class without a row is refused.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from nestvec.errors import InputError, MissingExtraError, NestvecError
from nestvec.point import CORRECTION
from nestvec.stores.packed_scan import PackedScan
from nestvec.vectors.codecs import Float16, Float32, Int8
from nestvec.vectors.learned_signs import LearnedSigns
from nestvec.vectors.rabitq import Rotated

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from numpy.typing import NDArray

    from nestvec.vectors.codecs import Codec

_SIZE = 8  # bytes of the field in which faiss states how many codes follow
_PRODUCT_TAIL = 9  # bytes after the codes in a product quantiser's file: search settings
_MIDDLE = 128  # offset between a signed byte and faiss's unsigned byte
_FEW = 8  # a search for more than one in eight codes does not use the packed layout
_LONGEST = 2.0  # bound on the length of a decoded vector of unit length


def load_faiss() -> Any:  # noqa: ANN401 - it has no types
    """Import the faiss library; raises MissingExtraError if it is not installed."""
    try:
        import faiss as library
    except ImportError as error:
        raise MissingExtraError("faiss", "index") from error
    return library


class Scan:
    """Vector codes of some documents in a faiss index, which finds the codes with the highest scores.

    Args:
        codec: the codec that made the codes.
        index: the faiss index that holds the codes.

    Raises:
        TypeError: `_FORMS` has no row for the codec's class.
    """

    def __init__(self, codec: Codec, index: Any) -> None:  # noqa: ANN401 - faiss has no types
        self._codec = codec
        self._form = _form_of(codec)
        self._index = index
        self._packed: PackedScan | None = None
        self._is_asked = False

    @classmethod
    def of(cls, codec: Codec, codes: NDArray[np.generic]) -> Scan:
        """Make a scan over a copy of (n, …) codes in memory."""
        form = _form_of(codec)
        index = form.make_index(codec)
        stored = np.ascontiguousarray(codes).view(np.uint8).reshape(len(codes), -1)
        load_faiss().copy_array_to_vector((stored ^ form.moved if form.moved else stored).reshape(-1), index.codes)
        index.ntotal = len(codes)
        return cls(codec, index)

    @classmethod
    def open(cls, codec: Codec, path: Path, count: int) -> Scan:
        """Open a file of `count` codes that `save` wrote, memory-mapped; raises InputError if its content differs.

        faiss trusts the sizes that a file states, so everything except the codes must equal what faiss would write.
        """
        head, tail = _frame_codes(codec, count)
        size = len(head) + count * codec.bytes_per_vector + len(tail)
        with path.open("rb") as stream:
            found = path.stat().st_size == size and stream.read(len(head)) == head
            found = found and stream.seek(size - len(tail)) > 0 and stream.read() == tail
        if not found:
            wanted = f"{count} codes as faiss writes them: build the index again"
            raise InputError("is damaged or another index's", wanted, file=path)
        try:
            return cls(codec, load_faiss().read_index(str(path), load_faiss().IO_FLAG_MMAP_IFC))
        except (RuntimeError, MemoryError) as error:
            wanted = "codes as faiss writes them: build the index again"
            raise InputError(f"cannot be read ({str(error)[:200]})", wanted, file=path) from error

    def save(self, path: Path) -> None:
        """Write the index in faiss's file format.

        Other programs with faiss can search the file, if they transform queries as this codec's `turn_queries` does.

        Args:
            path: the file to write.

        Raises:
            NestvecError: the disk is full.
        """
        try:
            load_faiss().write_index(self._index, str(path))
        except RuntimeError as error:  # what faiss raises for every failed write
            why = str(error).rpartition("(")[2].rstrip(")")
            raise NestvecError(f"{path} cannot be written ({why}); finished work is kept") from error

    def __len__(self) -> int:
        """Number of codes in the index."""
        return int(self._index.ntotal)

    @property
    def is_fast(self) -> bool:
        """Whether a search of these codes is so fast that handing it to another thread would take longer."""
        return self._packed is not None

    def codes_at(self, rows: NDArray[np.int64]) -> NDArray[np.generic]:
        """Return the (r, …) codes of (r,) rows, as the codec made them."""
        stored = self._mapped[rows]
        return (stored ^ self._form.moved if self._form.moved else stored).view(self._form.number)

    @cached_property
    def _mapped(self) -> NDArray[np.uint8]:
        """The codes of n documents in faiss's own memory; do not use this array after the `Scan` object is deleted."""
        width = self._codec.bytes_per_vector
        mapped: NDArray[np.uint8] = load_faiss().rev_swig_ptr(self._index.codes.data(), len(self) * width)
        return mapped.reshape(len(self), width)

    def turn(self, queries: NDArray[np.float32]) -> NDArray[np.float32]:
        """Transform (q, d) queries into the space of the index; the result fits any scan of the same codec."""
        return self._form.turn_queries(self._codec, queries)

    def search(self, queries: NDArray[np.float32], k: int) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        """Find the k best codes for each of (q, d) queries; k is at least 1.

        Gives (q, min(k, n)) approximate scores in descending order, and the rows.
        """
        return self.search_turned(self.turn(queries), k)

    def search_turned(self, turned: NDArray[np.float32], k: int) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        """Find the k best codes for queries that `turn` has transformed; see `search` for the result."""
        k = min(k, len(self))
        if not k:
            return np.zeros((len(turned), 0), dtype=np.float32), np.zeros((len(turned), 0), dtype=np.int64)
        packed = self._pack() if k * _FEW < len(self) else None
        scores, rows = packed.search(turned, k) if packed else self._index.search(turned, k)
        return scores, rows

    def _pack(self) -> PackedScan | None:
        """Return the codes laid out for fast search; None at the first search, or for 8 bits per number and more."""
        if self._packed is None and self._is_asked and isinstance(self._index, load_faiss().IndexPQ):
            self._packed = PackedScan(self._index)
        self._is_asked = True  # packing does not pay for codes that are searched only once, such as a filter's
        return self._packed


def score_bound(codec: Codec, query: NDArray[np.float32], rough: float) -> float:
    """Bound the exact score of documents whose approximate score for a (d,) query is at most `rough`.

    The bound includes rounding errors.
    """
    return rough + _form_of(codec).excess(codec, query, rough) + _rounding_error(codec, query)


def find_possible(codec: Codec, query: NDArray[np.float32], codes: NDArray[np.generic], k: int) -> NDArray[np.bool_]:
    """Return (n,) whether each of (n, …) codes can be among the k best for a (d,) query, without decoding them."""
    near = _form_of(codec).near
    if near is None or len(codes) <= k:
        return np.ones(len(codes), dtype=np.bool_)
    scores = near(codec, query, codes)
    least = np.partition(scores, len(scores) - k)[len(scores) - k]
    return np.asarray(scores >= least - 2 * _rounding_error(codec, query))


def _rounding_error(codec: Codec, query: NDArray[np.float32]) -> float:
    """Bound the rounding error: how much two ways to compute a float32 score for a (d,) query can differ."""
    rounded = 2 * (len(query) + 8) * float(np.finfo(np.float32).eps) * float(np.linalg.norm(query))
    return rounded * _form_of(codec).longest(codec)


@dataclass(frozen=True)
class _Form:
    """How faiss holds and searches the codes of one class of codec.

    Attributes:
        make_index: makes an empty faiss index for a codec.
        number: NumPy type of a code's numbers.
        moved: bits of every byte that faiss holds inverted.
        turn_queries: transforms (q, d) float32 queries into the space of a codec's index.
        excess: for a codec, a (d,) query and an approximate score: how far the exact score can lie above it.
        longest: for a codec: the largest possible sum of the absolute terms in the product of a query of unit length
            and a vector, divided by the square root of their number. Rounding errors grow with this value.
        near: for a codec, a (d,) query and (n, …) codes: their (n,) scores without rounding to float32, computed much
            faster than by decoding; None if decoding is fast.
        unit: size in bytes of the items in which a faiss file counts the codes.
        tail: number of bytes after the codes in a faiss file.
    """

    make_index: Callable[[Any], Any]
    number: type[np.generic]
    moved: int = 0
    turn_queries: Callable[[Any, NDArray[np.float32]], NDArray[np.float32]] = lambda _, q: np.ascontiguousarray(q)
    excess: Callable[[Any, NDArray[np.float32], float], float] = lambda *_: 0.0
    longest: Callable[[Any], float] = lambda _: _LONGEST
    near: Callable[[Any, NDArray[np.float32], NDArray[Any]], NDArray[np.float64]] | None = None
    unit: int = 1
    tail: int = 0


def _frame_codes(codec: Codec, count: int) -> tuple[bytes, bytes]:
    """Return the bytes that faiss writes before and after `count` codes."""
    form = _form_of(codec)
    index = form.make_index(codec)
    index.ntotal = count
    empty = load_faiss().serialize_index(index).tobytes()
    place = len(empty) - form.tail - _SIZE
    size = count * codec.bytes_per_vector // form.unit
    return empty[:place] + size.to_bytes(_SIZE, "little"), empty[place + _SIZE :]


def _form_of(codec: Codec) -> _Form:
    form = _FORMS.get(type(codec))
    if form is None:
        name = type(codec).__name__
        raise TypeError(f"faiss cannot search codes of {name}; add {name} to _FORMS in stores/scan.py")
    return form


def _make_flat(codec: Float32) -> Any:  # noqa: ANN401 - faiss has no types
    return load_faiss().IndexFlatIP(codec.dimension)


def _make_halves(codec: Float16) -> Any:  # noqa: ANN401 - faiss has no types
    library = load_faiss()
    kind = library.ScalarQuantizer.QT_fp16
    return library.IndexScalarQuantizer(codec.dimension, kind, library.METRIC_INNER_PRODUCT)


def _make_steps(codec: Int8) -> Any:  # noqa: ANN401 - faiss has no types
    """Make a scalar quantiser with the codec's steps; faiss decodes a byte c as low + width (c + 1/2) / 255."""
    library = load_faiss()
    kind = library.ScalarQuantizer.QT_8bit
    index = library.IndexScalarQuantizer(len(codec.scale), kind, library.METRIC_INNER_PRODUCT)
    ranges = np.concatenate([-(_MIDDLE + 0.5) * codec.scale, 255 * codec.scale]).astype(np.float32)
    library.copy_array_to_vector(ranges, index.sq.trained)
    index.is_trained = True
    return index


def _make_product(codec: Rotated) -> Any:  # noqa: ANN401 - faiss has no types
    """Make a product quantiser with a centroid for each value of each byte of a code."""
    library = load_faiss()
    numbers, parts = 8 // codec.bits, codec.bytes_per_vector
    index = library.IndexPQ(parts * numbers, parts, 8, library.METRIC_INNER_PRODUCT)
    library.copy_array_to_vector(_make_centroids(codec).reshape(-1), index.pq.centroids)
    index.is_trained = True
    return index


def _make_centroids(codec: Rotated) -> NDArray[np.float32]:
    """Compute the (bytes, 256, numbers per byte) centroids of each byte's values; 0 for the byte of the factor."""
    numbers, parts = 8 // codec.bits, codec.bytes_per_vector
    centroids = np.zeros((parts, 256, numbers), dtype=np.float32)
    centroids[: parts - CORRECTION] = _levels_of_bytes(codec.bits) * codec.factor.high
    centroids[parts - CORRECTION, :, 0] = codec.lean.decode(np.arange(256, dtype=np.uint8))
    return centroids


def _levels_of_bytes(bits: int) -> NDArray[np.float64]:
    """Return the (256, numbers per byte) levels that each value of a byte holds, as odd integers around 0."""
    shifts = np.arange(8 - bits, -1, -bits, dtype=np.uint8)
    levels: NDArray[np.uint8] = (np.arange(256, dtype=np.uint8)[:, None] >> shifts) & np.uint8(2**bits - 1)
    return np.asarray(2 * levels.astype(np.float64) + 1 - 2**bits)


def _turn_queries(codec: Rotated, queries: NDArray[np.float32]) -> NDArray[np.float32]:
    """Rotate (q, d) queries and arrange them in a part for each byte of a code.

    The part of the lean's byte holds the query's product with the axis; the part of the factor's byte is 0.
    """
    numbers, packed = 8 // codec.bits, codec.bytes_per_vector - CORRECTION
    parts = np.zeros((len(queries), packed + CORRECTION, numbers), dtype=np.float32)
    turned = np.zeros((len(queries), packed * numbers))
    turned[:, : codec.dimension] = codec.turn(queries)
    parts[:, :packed] = turned.reshape(len(queries), packed, numbers)
    parts[:, packed, 0] = queries.astype(np.float64) @ codec.axis
    return parts.reshape(len(queries), -1)


def _rotated_excess(codec: Rotated, query: NDArray[np.float32], rough: float) -> float:
    """Compute how far an exact score can lie above the approximate score `rough`.

    With the levels' sum s, lean l and factor f in [f0, f1], the score is f s + l and rough is f1 s + l. For s >= 0,
    rough is at least the score; for s < 0, the score is at most rough + (f1 - f0) |s|, where f1 |s| = l - rough.
    """
    leaning = float(query.astype(np.float64) @ codec.axis)
    lean = max(leaning * codec.lean.low, leaning * codec.lean.high)
    share = 1 - codec.factor.low / codec.factor.high if codec.factor.high > 0 else 0.0
    return share * max(0.0, lean - rough)


def _rotated_scores(codec: Rotated, query: NDArray[np.float32], codes: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Compute (n,) scores: the sum of levels times each vector's own factor, plus its lean.

    faiss computes the same sum with the largest factor in place of the vector's own.
    """
    turned = _turn_queries(codec, query[None]).reshape(codec.bytes_per_vector, -1).astype(np.float64)
    tables = turned[:-CORRECTION] @ _levels_of_bytes(codec.bits).T  # (packed bytes, 256)
    sums = tables[np.arange(len(tables)), codes[:, :-CORRECTION]].sum(axis=1) * codec.factor.decode(codes[:, -1])
    near: NDArray[np.float64] = sums + codec.lean.decode(codes[:, -2]) * turned[-CORRECTION, 0]
    return near


def _longest_sum(codec: LearnedSigns) -> float:
    """Bound the sum of terms for learned directions: they are not a rotation, so a transformed query is longer."""
    return max(_LONGEST, 1.0 + codec.stretch * math.sqrt(codec.dimension) * codec.factor.high)  # 1.0 for the lean


_FORMS: dict[type, _Form] = {
    Float32: _Form(_make_flat, np.float32, unit=4),
    Float16: _Form(_make_halves, np.float16),
    Int8: _Form(_make_steps, np.int8, _MIDDLE),
    Rotated: _Form(
        _make_product,
        np.uint8,
        turn_queries=_turn_queries,
        excess=_rotated_excess,
        near=_rotated_scores,
        tail=_PRODUCT_TAIL,
    ),
    LearnedSigns: _Form(
        _make_product,
        np.uint8,
        turn_queries=_turn_queries,
        excess=_rotated_excess,
        longest=_longest_sum,
        near=_rotated_scores,
        tail=_PRODUCT_TAIL,
    ),
}
