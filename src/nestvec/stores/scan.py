"""The codes of a codec as a faiss index, so that one query is compared with all of them fast, from a mapped file.

faiss serves the very bytes that the codec made. Float32 is a flat index. Float16 and int8 are scalar quantisers; int8
is moved by 128, as faiss counts from 0, and given its steps (faiss's kind for bytes as they are rounds the query, too,
where the width is a multiple of 32). Codes of 4, 2 and 1 bits are a product quantiser with a centroid for every value
that a byte can have: its numbers' levels where it holds numbers, and the lean on the documents' mean where it holds
that. A sum of such centroids lacks the vector's own factor. With the largest factor in its place it is an upper bound
of the score, which `score_bound` makes precise. Whoever searches scores the candidates exactly, and takes more of them
until none that is left out can be better (the threshold algorithm, Fagin et al. 2003).

`_FORMS` has a row for each class of codec; a codec whose class has none is refused.
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

_SIZE = 8  # bytes in which faiss states how many codes follow
_PRODUCT_TAIL = 9  # bytes that a product quantiser's file has after its codes: how it is searched
_MIDDLE = 128  # what faiss adds to a signed byte
_FEW = 8  # a search for more than one in so many looks at the codes as they are
_LONGEST = 2.0  # more than a vector of unit length ever has once decoded


def load_faiss() -> Any:  # noqa: ANN401 - it has no types
    """The faiss library; MissingExtraError where it is not installed."""
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
        """A scan over a copy of (n, …) codes in memory."""
        form = _form_of(codec)
        index = form.make_index(codec)
        stored = np.ascontiguousarray(codes).view(np.uint8).reshape(len(codes), -1)
        load_faiss().copy_array_to_vector((stored ^ form.moved if form.moved else stored).reshape(-1), index.codes)
        index.ntotal = len(codes)
        return cls(codec, index)

    @classmethod
    def open(cls, codec: Codec, path: Path, count: int) -> Scan:
        """A scan over a file that `save` wrote, mapped and not read; InputError where it is another one.

        faiss believes whatever sizes a file states, so all but the codes must be what it would write itself.
        """
        head, tail = _frame_codes(codec, count)
        size = len(head) + count * codec.bytes_per_vector + len(tail)
        with path.open("rb") as stream:
            found = path.stat().st_size == size and stream.read(len(head)) == head
            found = found and stream.seek(size - len(tail)) > 0 and stream.read() == tail
        if not found:
            raise InputError("is damaged or another index's", f"{count} codes as faiss writes them", file=path)
        try:
            return cls(codec, load_faiss().read_index(str(path), load_faiss().IO_FLAG_MMAP_IFC))
        except (RuntimeError, MemoryError) as error:
            raise InputError(f"cannot be read ({str(error)[:200]})", "codes as faiss writes them", file=path) from error

    def save(self, path: Path) -> None:
        """Write faiss's own form; any faiss can search it, given queries as the codec's row of `_FORMS` turns them.

        Args:
            path: where to.

        Raises:
            NestvecError: the disk is full.
        """
        try:
            load_faiss().write_index(self._index, str(path))
        except RuntimeError as error:  # faiss has no other class for it
            why = str(error).rpartition("(")[2].rstrip(")")
            raise NestvecError(f"{path} cannot be written ({why}); what was finished before stays") from error

    def __len__(self) -> int:
        """How many documents there are."""
        return int(self._index.ntotal)

    @property
    def is_fast(self) -> bool:
        """Whether a search takes less than to hand it to another thread."""
        return self._packed is not None

    def codes_at(self, rows: NDArray[np.int64]) -> NDArray[np.generic]:
        """(r, …) codes of (r,) rows, as the codec made them."""
        stored = self._mapped[rows]
        return (stored ^ self._form.moved if self._form.moved else stored).view(self._form.number)

    @cached_property
    def _mapped(self) -> NDArray[np.uint8]:
        """(n, bytes) where faiss has them, which is where this array ends with the scan."""
        width = self._codec.bytes_per_vector
        mapped: NDArray[np.uint8] = load_faiss().rev_swig_ptr(self._index.codes.data(), len(self) * width)
        return mapped.reshape(len(self), width)

    def turn(self, queries: NDArray[np.float32]) -> NDArray[np.float32]:
        """(q, d) queries in the space of the index, for any scan of the same codec."""
        return self._form.turn_queries(self._codec, queries)

    def search(self, queries: NDArray[np.float32], k: int) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        """(q, min(k, n)) rough scores, falling, and rows of the documents nearest to (q, d) queries; k at least 1."""
        return self.search_turned(self.turn(queries), k)

    def search_turned(self, turned: NDArray[np.float32], k: int) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        """The same for queries that are turned already."""
        k = min(k, len(self))
        if not k:
            return np.zeros((len(turned), 0), dtype=np.float32), np.zeros((len(turned), 0), dtype=np.int64)
        packed = self._pack() if k * _FEW < len(self) else None
        scores, rows = packed.search(turned, k) if packed else self._index.search(turned, k)
        return scores, rows

    def _pack(self) -> PackedScan | None:
        """The codes laid out for a fast search, where they are a product quantiser's and were asked before."""
        if self._packed is None and self._is_asked and isinstance(self._index, load_faiss().IndexPQ):
            self._packed = PackedScan(self._index)
        self._is_asked = True  # what is asked only once, as what a filter leaves, is not worth it
        return self._packed


def score_bound(codec: Codec, query: NDArray[np.float32], rough: float) -> float:
    """The highest score of a document whose rough score for a (d,) query is at most `rough`, rounding included."""
    return rough + _form_of(codec).excess(codec, query, rough) + _rounding_error(codec, query)


def find_possible(codec: Codec, query: NDArray[np.float32], codes: NDArray[np.generic], k: int) -> NDArray[np.bool_]:
    """(n,) which of (n, …) codes can be among the k best for a (d,) query, as far as is known without decoding them."""
    near = _form_of(codec).near
    if near is None or len(codes) <= k:
        return np.ones(len(codes), dtype=np.bool_)
    scores = near(codec, query, codes)
    least = np.partition(scores, len(scores) - k)[len(scores) - k]
    return np.asarray(scores >= least - 2 * _rounding_error(codec, query))


def _rounding_error(codec: Codec, query: NDArray[np.float32]) -> float:
    """How far a float32 product of a decoded vector with a (d,) query can be from another way to compute it."""
    rounded = 2 * (len(query) + 8) * float(np.finfo(np.float32).eps) * float(np.linalg.norm(query))
    return rounded * _form_of(codec).longest(codec)


@dataclass(frozen=True)
class _Form:
    """How faiss holds and searches the codes of one class of codec.

    Attributes:
        make_index: gives a codec an empty index.
        number: numpy's type of a code's numbers.
        moved: bits of every byte that are the other way round in faiss.
        turn_queries: gives a codec and (q, d) float32 queries these in the space of the index.
        excess: gives a codec, a (d,) query and a rough score how far a score can lie above its rough one.
        longest: gives a codec what the terms of a product with a query of unit length add up to at most, whatever
            their signs, over the square root of their number: their roundings grow with it.
        near: gives a codec, a (d,) query and (n, …) codes their (n,) scores but for rounding, in much less time than
            decoding takes; None where that takes little.
        unit: bytes in which a file of faiss states the codes' size.
        tail: bytes that follow the codes in such a file.
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
    """What faiss writes before and after so many codes."""
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
        raise TypeError(f"faiss is not told how to search codes of {name}; add {name} to _FORMS in stores/scan.py")
    return form


def _make_flat(codec: Float32) -> Any:  # noqa: ANN401 - faiss has no types
    return load_faiss().IndexFlatIP(codec.dimension)


def _make_halves(codec: Float16) -> Any:  # noqa: ANN401 - faiss has no types
    library = load_faiss()
    kind = library.ScalarQuantizer.QT_fp16
    return library.IndexScalarQuantizer(codec.dimension, kind, library.METRIC_INNER_PRODUCT)


def _make_steps(codec: Int8) -> Any:  # noqa: ANN401 - faiss has no types
    """An index of whole steps: faiss reads a byte c as low + width (c + 1/2) / 255."""
    library = load_faiss()
    kind = library.ScalarQuantizer.QT_8bit
    index = library.IndexScalarQuantizer(len(codec.scale), kind, library.METRIC_INNER_PRODUCT)
    ranges = np.concatenate([-(_MIDDLE + 0.5) * codec.scale, 255 * codec.scale]).astype(np.float32)
    library.copy_array_to_vector(ranges, index.sq.trained)
    index.is_trained = True
    return index


def _make_product(codec: Rotated) -> Any:  # noqa: ANN401 - faiss has no types
    """An index with a centroid for each value of each byte."""
    library = load_faiss()
    numbers, parts = 8 // codec.bits, codec.bytes_per_vector
    index = library.IndexPQ(parts * numbers, parts, 8, library.METRIC_INNER_PRODUCT)
    library.copy_array_to_vector(_make_centroids(codec).reshape(-1), index.pq.centroids)
    index.is_trained = True
    return index


def _make_centroids(codec: Rotated) -> NDArray[np.float32]:
    """(bytes, 256, numbers a byte) what each value of each byte of a code stands for; the factor's byte for nothing."""
    numbers, parts = 8 // codec.bits, codec.bytes_per_vector
    centroids = np.zeros((parts, 256, numbers), dtype=np.float32)
    centroids[: parts - CORRECTION] = _levels_of_bytes(codec.bits) * codec.factor.high
    centroids[parts - CORRECTION, :, 0] = codec.lean.decode(np.arange(256, dtype=np.uint8))
    return centroids


def _levels_of_bytes(bits: int) -> NDArray[np.float64]:
    """(256, numbers a byte) levels that each value of a byte holds, as odd whole numbers around 0."""
    shifts = np.arange(8 - bits, -1, -bits, dtype=np.uint8)
    levels: NDArray[np.uint8] = (np.arange(256, dtype=np.uint8)[:, None] >> shifts) & np.uint8(2**bits - 1)
    return np.asarray(2 * levels.astype(np.float64) + 1 - 2**bits)


def _turn_queries(codec: Rotated, queries: NDArray[np.float32]) -> NDArray[np.float32]:
    """(q, d) queries turned, with a part for each byte of a code: its numbers, or the product with the axis."""
    numbers, packed = 8 // codec.bits, codec.bytes_per_vector - CORRECTION
    parts = np.zeros((len(queries), packed + CORRECTION, numbers), dtype=np.float32)
    turned = np.zeros((len(queries), packed * numbers))
    turned[:, : codec.dimension] = codec.turn(queries)
    parts[:, :packed] = turned.reshape(len(queries), packed, numbers)
    parts[:, packed, 0] = queries.astype(np.float64) @ codec.axis
    return parts.reshape(len(queries), -1)


def _rotated_excess(codec: Rotated, query: NDArray[np.float32], rough: float) -> float:
    """How far a score can lie above its rough one.

    With levels' sum s, lean l and factor f in [f0, f1], the score is f s + l and the rough one f1 s + l. For s >= 0 the
    rough one is higher; for s < 0 the score is at most the rough one plus (f1 - f0) |s|, where f1 |s| = l - rough.
    """
    leaning = float(query.astype(np.float64) @ codec.axis)
    lean = max(leaning * codec.lean.low, leaning * codec.lean.high)
    share = 1 - codec.factor.low / codec.factor.high if codec.factor.high > 0 else 0.0
    return share * max(0.0, lean - rough)


def _rotated_scores(codec: Rotated, query: NDArray[np.float32], codes: NDArray[np.uint8]) -> NDArray[np.float64]:
    """(n,) sums of levels times each vector's own factor, plus its lean: what faiss sums up, its factor put right."""
    turned = _turn_queries(codec, query[None]).reshape(codec.bytes_per_vector, -1).astype(np.float64)
    tables = turned[:-CORRECTION] @ _levels_of_bytes(codec.bits).T  # of each byte's 256 values
    sums = tables[np.arange(len(tables)), codes[:, :-CORRECTION]].sum(axis=1) * codec.factor.decode(codes[:, -1])
    near: NDArray[np.float64] = sums + codec.lean.decode(codes[:, -2]) * turned[-CORRECTION, 0]
    return near


def _longest_sum(codec: LearnedSigns) -> float:
    """Learned directions are no rotation: a query grows longer when it is turned."""
    return max(_LONGEST, 1.0 + codec.stretch * math.sqrt(codec.dimension) * codec.factor.high)  # 1: of the lean


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
