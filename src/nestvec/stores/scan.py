"""Keeps stored vectors as a faiss index in a memory-mapped file, to compare a query with all of them fast.

faiss searches the codes as the codec made them:

- float32: a flat index.
- float16 and int8: a scalar quantiser. int8 is shifted by 128, because faiss counts from 0. (faiss's kind for plain
  bytes is not used: it also rounds the query if the dimension is a multiple of 32.)
- int4, int2 and binary: a product quantiser with a centroid for each value of each byte of a code. A code's bytes hold
  packed numbers, then the lean (the vector's component along the documents' mean), then a factor for the numbers.
  faiss cannot multiply by each vector's factor, so the largest one is used, and the scores are approximate.

`score_bound` computes an upper bound of the exact score from an approximate score. The caller scores candidates exactly
and takes more candidates until no other document can score higher (the threshold algorithm, Fagin et al. 2003).
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
    """The stored vectors of some documents in a faiss index, which finds those most similar to a query.

    Args:
        codec: the codec that encoded the vectors.
        index: the faiss index that holds the encoded vectors (codes).

    Raises:
        TypeError: faiss cannot search the codes of this class of codec.
    """

    def __init__(self, codec: Codec, index: Any) -> None:  # noqa: ANN401 - faiss has no types
        self._codec = codec
        self._form = _form_of(codec)
        self._index = index
        self._packed: PackedScan | None = None
        self._is_asked = False

    @classmethod
    def of(cls, codec: Codec, codes: NDArray[np.generic]) -> Scan:
        """Make a faiss index in memory from a copy of encoded vectors (`codes`, one row for each vector)."""
        form = _form_of(codec)
        index = form.make_index(codec)
        stored = np.ascontiguousarray(codes).view(np.uint8).reshape(len(codes), -1)
        load_faiss().copy_array_to_vector((stored ^ form.moved if form.moved else stored).reshape(-1), index.codes)
        index.ntotal = len(codes)
        return cls(codec, index)

    @classmethod
    def open(cls, codec: Codec, path: Path, count: int) -> Scan:
        """Memory-map a file with `count` encoded vectors that `save` wrote; raises InputError if the file is damaged.

        faiss trusts the sizes that a file states, so everything except the codes must equal what faiss would write.
        """
        head, tail = _frame_codes(codec, count)
        size = len(head) + count * codec.bytes_per_vector + len(tail)
        with path.open("rb") as stream:
            found = path.stat().st_size == size and stream.read(len(head)) == head
            found = found and stream.seek(size - len(tail)) > 0 and stream.read() == tail
        if not found:
            wanted = f"a faiss file of {count} vectors: build the index again"
            raise InputError("is damaged or from another index", wanted, file=path)
        try:
            return cls(codec, load_faiss().read_index(str(path), load_faiss().IO_FLAG_MMAP_IFC))
        except (RuntimeError, MemoryError) as error:
            wanted = "a file that faiss can read: build the index again"
            raise InputError(f"cannot be read ({str(error)[:200]})", wanted, file=path) from error

    def save(self, path: Path) -> None:
        """Write the vectors to a file in faiss's format.

        Other programs can search the file with faiss, if they transform queries as `turn` does.

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
        """Number of stored vectors."""
        return int(self._index.ntotal)

    @property
    def is_fast(self) -> bool:
        """Whether a search is so fast that starting it in another thread would cost more than it saves."""
        return self._packed is not None

    def codes_at(self, rows: NDArray[np.int64]) -> NDArray[np.generic]:
        """Return the encoded vectors (codes) of the given rows, as the codec made them."""
        stored = self._mapped[rows]
        return (stored ^ self._form.moved if self._form.moved else stored).view(self._form.number)

    @cached_property
    def _mapped(self) -> NDArray[np.uint8]:
        """The bytes of all stored vectors, a row for each vector, in faiss's memory.

        Don't use this array after the `Scan` is gone: its memory is freed then.
        """
        width = self._codec.bytes_per_vector
        mapped: NDArray[np.uint8] = load_faiss().rev_swig_ptr(self._index.codes.data(), len(self) * width)
        return mapped.reshape(len(self), width)

    def turn(self, queries: NDArray[np.float32]) -> NDArray[np.float32]:
        """Transform q query vectors, (q, d) float32, into the form that faiss compares with the stored vectors.

        The result can be used to search every `Scan` with the same codec.
        """
        return self._form.turn_queries(self._codec, queries)

    def search(self, queries: NDArray[np.float32], k: int) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        """Find the k stored vectors that are most similar to each of q query vectors, by approximate scores.

        Returns (q, k) scores, highest first, and the vectors' rows; fewer than k if fewer vectors are stored.
        """
        return self.search_turned(self.turn(queries), k)

    def search_turned(self, turned: NDArray[np.float32], k: int) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        """Find the k stored vectors most similar to each query, for queries that `turn` has transformed already.

        Returns the same as `search`.
        """
        k = min(k, len(self))
        if not k:
            return np.zeros((len(turned), 0), dtype=np.float32), np.zeros((len(turned), 0), dtype=np.int64)
        packed = self._pack() if k * _FEW < len(self) else None
        scores, rows = packed.search(turned, k) if packed else self._index.search(turned, k)
        return scores, rows

    def _pack(self) -> PackedScan | None:
        """Return the codes rearranged for fast scan; None at the first search, or if a code has 8 bits or more.

        Rearranging is not worth its time for codes that are searched only once.
        """
        if self._packed is None and self._is_asked and isinstance(self._index, load_faiss().IndexPQ):
            self._packed = PackedScan(self._index)
        self._is_asked = True  # packing does not pay for codes that are searched only once, such as a filter's
        return self._packed


def score_bound(codec: Codec, query: NDArray[np.float32], rough: float) -> float:
    """Compute an upper bound of a document's exact score, if its approximate score for the query is at most `rough`.

    The bound allows for rounding errors.
    """
    return rough + _form_of(codec).excess(codec, query, rough) + _rounding_error(codec, query)


def find_possible(codec: Codec, query: NDArray[np.float32], codes: NDArray[np.generic], k: int) -> NDArray[np.bool_]:
    """Find which of n encoded vectors can be among the k best for a query, without decoding them; returns booleans."""
    near = _form_of(codec).near
    if near is None or len(codes) <= k:
        return np.ones(len(codes), dtype=np.bool_)
    scores = near(codec, query, codes)
    least = np.partition(scores, len(scores) - k)[len(scores) - k]
    return np.asarray(scores >= least - 2 * _rounding_error(codec, query))


def _rounding_error(codec: Codec, query: NDArray[np.float32]) -> float:
    """Compute an upper bound of the rounding error: how much two float32 computations of a score can differ."""
    rounded = 2 * (len(query) + 8) * float(np.finfo(np.float32).eps) * float(np.linalg.norm(query))
    return rounded * _form_of(codec).longest(codec)


@dataclass(frozen=True)
class _Form:
    """How faiss stores and searches the vectors that one class of codec encoded.

    Attributes:
        make_index: makes an empty faiss index for a codec.
        number: NumPy type of a code's numbers.
        moved: bits that are inverted in every byte of a code before faiss gets it; 0 for none.
        turn_queries: transforms query vectors into the form that the faiss index compares with its vectors.
        excess: computes how far an exact score can lie above a given approximate score.
        longest: computes a factor that bounds rounding errors: the largest possible sum of the absolute terms in a dot
            product of a query and a vector, divided by the square root of their number.
        near: computes scores in float64 from codes, much faster than by decoding them; None if decoding is fast.
        unit: bytes of one item, if a faiss file states its size as a number of items.
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
    """Return the bytes that a faiss file of `count` vectors has before and after the codes."""
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
    """Make a faiss scalar quantiser that decodes bytes with the same step sizes as the int8 codec.

    faiss decodes a byte c as low + width (c + 1/2) / 255, so low and width are set accordingly.
    """
    library = load_faiss()
    kind = library.ScalarQuantizer.QT_8bit
    index = library.IndexScalarQuantizer(len(codec.scale), kind, library.METRIC_INNER_PRODUCT)
    ranges = np.concatenate([-(_MIDDLE + 0.5) * codec.scale, 255 * codec.scale]).astype(np.float32)
    library.copy_array_to_vector(ranges, index.sq.trained)
    index.is_trained = True
    return index


def _make_product(codec: Rotated) -> Any:  # noqa: ANN401 - faiss has no types
    """Make a faiss product quantiser that has a centroid for each of the 256 values of each byte of a code."""
    library = load_faiss()
    numbers, parts = 8 // codec.bits, codec.bytes_per_vector
    index = library.IndexPQ(parts * numbers, parts, 8, library.METRIC_INNER_PRODUCT)
    library.copy_array_to_vector(_make_centroids(codec).reshape(-1), index.pq.centroids)
    index.is_trained = True
    return index


def _make_centroids(codec: Rotated) -> NDArray[np.float32]:
    """Compute the centroids for the 256 values of each byte of a code; the factor's byte has centroids of 0.

    Returns an array of shape (bytes of a code, 256, numbers per byte).
    """
    numbers, parts = 8 // codec.bits, codec.bytes_per_vector
    centroids = np.zeros((parts, 256, numbers), dtype=np.float32)
    centroids[: parts - CORRECTION] = _levels_of_bytes(codec.bits) * codec.factor.high
    centroids[parts - CORRECTION, :, 0] = codec.lean.decode(np.arange(256, dtype=np.uint8))
    return centroids


def _levels_of_bytes(bits: int) -> NDArray[np.float64]:
    """Return the numbers that each of the 256 values of a byte encodes, as odd integers such as -3, -1, 1 and 3."""
    shifts = np.arange(8 - bits, -1, -bits, dtype=np.uint8)
    levels: NDArray[np.uint8] = (np.arange(256, dtype=np.uint8)[:, None] >> shifts) & np.uint8(2**bits - 1)
    return np.asarray(2 * levels.astype(np.float64) + 1 - 2**bits)


def _turn_queries(codec: Rotated, queries: NDArray[np.float32]) -> NDArray[np.float32]:
    """Transform query vectors and arrange their numbers to match the bytes of a code, for faiss's product quantiser.

    A code ends with the bytes of lean and factor: for the lean, the query's dot product with the mean's axis follows,
    and zeros for the factor.
    """
    numbers, packed = 8 // codec.bits, codec.bytes_per_vector - CORRECTION
    parts = np.zeros((len(queries), packed + CORRECTION, numbers), dtype=np.float32)
    turned = np.zeros((len(queries), packed * numbers))
    turned[:, : codec.dimension] = codec.turn(queries)
    parts[:, :packed] = turned.reshape(len(queries), packed, numbers)
    parts[:, packed, 0] = queries.astype(np.float64) @ codec.axis
    return parts.reshape(len(queries), -1)


def _rotated_excess(codec: Rotated, query: NDArray[np.float32], rough: float) -> float:
    """Compute how far a document's exact score can lie above its approximate score `rough`.

    With s the dot product of the transformed query and the code's levels, l what the lean adds to the score, and
    f the vector's factor, from f0 to f1, the score is f s + l and rough is f1 s + l. For s >= 0, rough is at least the
    score; for s < 0, the score is at most rough + (f1 - f0) |s|, where f1 |s| = l - rough.
    """
    leaning = float(query.astype(np.float64) @ codec.axis)
    lean = max(leaning * codec.lean.low, leaning * codec.lean.high)
    share = 1 - codec.factor.low / codec.factor.high if codec.factor.high > 0 else 0.0
    return share * max(0.0, lean - rough)


def _rotated_scores(codec: Rotated, query: NDArray[np.float32], codes: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Compute the scores of n encoded vectors for a query from their bytes, without decoding the vectors.

    Unlike faiss, which uses the largest factor for all vectors, this uses the factor stored with each vector.
    """
    turned = _turn_queries(codec, query[None]).reshape(codec.bytes_per_vector, -1).astype(np.float64)
    tables = turned[:-CORRECTION] @ _levels_of_bytes(codec.bits).T  # (packed bytes, 256)
    sums = tables[np.arange(len(tables)), codes[:, :-CORRECTION]].sum(axis=1) * codec.factor.decode(codes[:, -1])
    near: NDArray[np.float64] = sums + codec.lean.decode(codes[:, -2]) * turned[-CORRECTION, 0]
    return near


def _longest_sum(codec: LearnedSigns) -> float:
    """Compute `_Form.longest` for binary codes with learned directions, which can make a transformed query longer."""
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
