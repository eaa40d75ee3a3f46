"""Keeps codes (encoded vectors) as a faiss index in a memory-mapped file, to compare a query with all codes fast.

faiss searches the bytes that the codec made; the type of faiss index depends on the precision:

- float32: a flat index.
- float16 and int8: a scalar quantiser. int8 codes are shifted by 128, because faiss counts from 0, and the codec's step
  sizes are set. (faiss's own type for plain bytes is not used: it also rounds the query if the width is a multiple
  of 32.)
- int4, int2 and binary: a product quantiser with a centroid for every value of a byte. The centroid has the levels of
  the numbers that are packed in the byte. One byte of each code is different: its centroid is the vector's component
  along the documents' mean (the lean).

Below 8 bits, the codec multiplies the levels by a factor of each vector, which faiss cannot do. faiss uses the largest
factor of all vectors instead. This makes its scores approximate; `score_bound` computes an upper bound of the exact
score. The caller scores candidates exactly and takes more candidates until no other document can score higher (the
threshold algorithm, Fagin et al. 2003).

`_FORMS` has a row for each class of codec; other classes raise TypeError.
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
    """A faiss index of the codes (encoded vectors) of some documents.

    Args:
        codec: the codec that made the codes.
        index: the faiss index that holds the codes.

    Raises:
        TypeError: faiss cannot search this class of codec, because `_FORMS` has no row for it.
    """

    def __init__(self, codec: Codec, index: Any) -> None:  # noqa: ANN401 - faiss has no types
        self._codec = codec
        self._form = _form_of(codec)
        self._index = index
        self._packed: PackedScan | None = None
        self._is_asked = False

    @classmethod
    def of(cls, codec: Codec, codes: NDArray[np.generic]) -> Scan:
        """Make a faiss index in memory that holds a copy of n codes."""
        form = _form_of(codec)
        index = form.make_index(codec)
        stored = np.ascontiguousarray(codes).view(np.uint8).reshape(len(codes), -1)
        load_faiss().copy_array_to_vector((stored ^ form.moved if form.moved else stored).reshape(-1), index.codes)
        index.ntotal = len(codes)
        return cls(codec, index)

    @classmethod
    def open(cls, codec: Codec, path: Path, count: int) -> Scan:
        """Memory-map a file of `count` codes that `save` wrote; raises InputError if its structure is different.

        faiss trusts the sizes that a file states, so everything except the codes must equal what faiss would write.
        """
        head, tail = _frame_codes(codec, count)
        size = len(head) + count * codec.bytes_per_vector + len(tail)
        with path.open("rb") as stream:
            found = path.stat().st_size == size and stream.read(len(head)) == head
            found = found and stream.seek(size - len(tail)) > 0 and stream.read() == tail
        if not found:
            wanted = f"{count} codes as faiss writes them: build the index again"
            raise InputError("is damaged or another index's file", wanted, file=path)
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
        """Number of codes in the faiss index."""
        return int(self._index.ntotal)

    @property
    def is_fast(self) -> bool:
        """Whether a search is so fast that it is not worth running in another thread."""
        return self._packed is not None

    def codes_at(self, rows: NDArray[np.int64]) -> NDArray[np.generic]:
        """Return the codes at r positions of the index, in the form in which the codec made them."""
        stored = self._mapped[rows]
        return (stored ^ self._form.moved if self._form.moved else stored).view(self._form.number)

    @cached_property
    def _mapped(self) -> NDArray[np.uint8]:
        """The codes in faiss's own memory, as (n, bytes) uint8; don't use this array after the faiss index is freed."""
        width = self._codec.bytes_per_vector
        mapped: NDArray[np.uint8] = load_faiss().rev_swig_ptr(self._index.codes.data(), len(self) * width)
        return mapped.reshape(len(self), width)

    def turn(self, queries: NDArray[np.float32]) -> NDArray[np.float32]:
        """Transform q query vectors into the space of the faiss index; the result fits any index of the same codec."""
        return self._form.turn_queries(self._codec, queries)

    def search(self, queries: NDArray[np.float32], k: int) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        """Find the k codes with the highest approximate scores for each of q query vectors; k is at least 1.

        Returns (q, k) scores in descending order, and the codes' positions in the index; fewer if it has fewer codes.
        """
        return self.search_turned(self.turn(queries), k)

    def search_turned(self, turned: NDArray[np.float32], k: int) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        """Find the k codes with the highest approximate scores for each query that `turn` transformed; see `search`."""
        k = min(k, len(self))
        if not k:
            return np.zeros((len(turned), 0), dtype=np.float32), np.zeros((len(turned), 0), dtype=np.int64)
        packed = self._pack() if k * _FEW < len(self) else None
        scores, rows = packed.search(turned, k) if packed else self._index.search(turned, k)
        return scores, rows

    def _pack(self) -> PackedScan | None:
        """Return a copy of the codes in a faster layout; None at the first search, or if faiss has no such layout."""
        if self._packed is None and self._is_asked and isinstance(self._index, load_faiss().IndexPQ):
            self._packed = PackedScan(self._index)
        self._is_asked = True  # packing does not pay for codes that are searched only once, such as a filter's
        return self._packed


def score_bound(codec: Codec, query: NDArray[np.float32], rough: float) -> float:
    """Return an upper bound of the exact score of documents whose approximate score is at most `rough`.

    The bound allows for rounding errors. `query` is a (d,) vector.
    """
    return rough + _form_of(codec).excess(codec, query, rough) + _rounding_error(codec, query)


def find_possible(codec: Codec, query: NDArray[np.float32], codes: NDArray[np.generic], k: int) -> NDArray[np.bool_]:
    """Return for each of n codes whether it can be among the k best for a query; this needs no decoding."""
    near = _form_of(codec).near
    if near is None or len(codes) <= k:
        return np.ones(len(codes), dtype=np.bool_)
    scores = near(codec, query, codes)
    least = np.partition(scores, len(scores) - k)[len(scores) - k]
    return np.asarray(scores >= least - 2 * _rounding_error(codec, query))


def _rounding_error(codec: Codec, query: NDArray[np.float32]) -> float:
    """Return the most by which two float32 computations of the same score can differ through rounding."""
    rounded = 2 * (len(query) + 8) * float(np.finfo(np.float32).eps) * float(np.linalg.norm(query))
    return rounded * _form_of(codec).longest(codec)


@dataclass(frozen=True)
class _Form:
    """How faiss holds and searches the codes of one class of codec.

    Attributes:
        make_index: makes an empty faiss index for a codec.
        number: NumPy type of a code's numbers.
        moved: bit mask: the bits of every byte that are inverted in the faiss index.
        turn_queries: transforms (q, d) float32 queries into the space of a codec's index.
        excess: takes a codec, a (d,) query and an approximate score; returns how much higher the exact score can be.
        longest: takes a codec; returns the largest possible sum of the absolute terms in the dot product of a query of
            unit length and a vector, divided by the square root of the number of terms. Rounding errors grow with it.
        near: takes a codec, a (d,) query and n codes; returns their (n,) scores without rounding to float32, much
            faster than decoding would. None if decoding is fast.
        unit: number of bytes per item; a faiss file states its number of such items, not of codes.
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
    """Return the bytes that a faiss file has before and after its `count` codes."""
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
    """Make a faiss scalar quantiser with an int8 codec's steps; it decodes byte c as low + width (c + 1/2) / 255."""
    library = load_faiss()
    kind = library.ScalarQuantizer.QT_8bit
    index = library.IndexScalarQuantizer(len(codec.scale), kind, library.METRIC_INNER_PRODUCT)
    ranges = np.concatenate([-(_MIDDLE + 0.5) * codec.scale, 255 * codec.scale]).astype(np.float32)
    library.copy_array_to_vector(ranges, index.sq.trained)
    index.is_trained = True
    return index


def _make_product(codec: Rotated) -> Any:  # noqa: ANN401 - faiss has no types
    """Make a faiss product quantiser with a centroid for each value of each byte of a code."""
    library = load_faiss()
    numbers, parts = 8 // codec.bits, codec.bytes_per_vector
    index = library.IndexPQ(parts * numbers, parts, 8, library.METRIC_INNER_PRODUCT)
    library.copy_array_to_vector(_make_centroids(codec).reshape(-1), index.pq.centroids)
    index.is_trained = True
    return index


def _make_centroids(codec: Rotated) -> NDArray[np.float32]:
    """Compute the product quantiser's centroids, as (bytes of a code, 256, numbers per byte).

    The byte that holds the vector's factor has centroids of 0.
    """
    numbers, parts = 8 // codec.bits, codec.bytes_per_vector
    centroids = np.zeros((parts, 256, numbers), dtype=np.float32)
    centroids[: parts - CORRECTION] = _levels_of_bytes(codec.bits) * codec.factor.high
    centroids[parts - CORRECTION, :, 0] = codec.lean.decode(np.arange(256, dtype=np.uint8))
    return centroids


def _levels_of_bytes(bits: int) -> NDArray[np.float64]:
    """Return the levels of the numbers packed in each of the 256 values of a byte, as odd integers around 0."""
    shifts = np.arange(8 - bits, -1, -bits, dtype=np.uint8)
    levels: NDArray[np.uint8] = (np.arange(256, dtype=np.uint8)[:, None] >> shifts) & np.uint8(2**bits - 1)
    return np.asarray(2 * levels.astype(np.float64) + 1 - 2**bits)


def _turn_queries(codec: Rotated, queries: NDArray[np.float32]) -> NDArray[np.float32]:
    """Rotate q query vectors and arrange each in groups of numbers, one group for each byte of a code.

    For the byte of the vector's component along the documents' mean, the group has the query's dot product with the
    mean's direction. For the byte of the vector's factor, the group is 0.
    """
    numbers, packed = 8 // codec.bits, codec.bytes_per_vector - CORRECTION
    parts = np.zeros((len(queries), packed + CORRECTION, numbers), dtype=np.float32)
    turned = np.zeros((len(queries), packed * numbers))
    turned[:, : codec.dimension] = codec.turn(queries)
    parts[:, :packed] = turned.reshape(len(queries), packed, numbers)
    parts[:, packed, 0] = queries.astype(np.float64) @ codec.axis
    return parts.reshape(len(queries), -1)


def _rotated_excess(codec: Rotated, query: NDArray[np.float32], rough: float) -> float:
    """Compute by how much an exact score can exceed the approximate score `rough`.

    Let s be the query's dot product with the levels, l the score of the vector's component along the documents' mean,
    and f the vector's factor, from f0 to f1. Then the exact score is f s + l, and `rough` is f1 s + l. For s >= 0,
    rough is at least the score; for s < 0, the score is at most rough + (f1 - f0) |s|, where f1 |s| = l - rough.
    """
    leaning = float(query.astype(np.float64) @ codec.axis)
    lean = max(leaning * codec.lean.low, leaning * codec.lean.high)
    share = 1 - codec.factor.low / codec.factor.high if codec.factor.high > 0 else 0.0
    return share * max(0.0, lean - rough)


def _rotated_scores(codec: Rotated, query: NDArray[np.float32], codes: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Compute the (n,) scores of n codes for a query, without decoding the codes.

    A score is the query's dot product with the levels, times the vector's factor, plus the score of the vector's
    component along the documents' mean. faiss computes the same with the largest factor of all vectors.
    """
    turned = _turn_queries(codec, query[None]).reshape(codec.bytes_per_vector, -1).astype(np.float64)
    tables = turned[:-CORRECTION] @ _levels_of_bytes(codec.bits).T  # (packed bytes, 256)
    sums = tables[np.arange(len(tables)), codes[:, :-CORRECTION]].sum(axis=1) * codec.factor.decode(codes[:, -1])
    near: NDArray[np.float64] = sums + codec.lean.decode(codes[:, -2]) * turned[-CORRECTION, 0]
    return near


def _longest_sum(codec: LearnedSigns) -> float:
    """Compute the value `_Form.longest` for learned directions, which, unlike a rotation, can lengthen a query."""
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
