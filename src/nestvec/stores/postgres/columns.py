"""Converts encoded vectors (codes) to columns of a PostgreSQL table and back.

| precision      | columns for the vector            | bytes a vector | what the HNSW index is built on    |
|----------------|-----------------------------------|----------------|------------------------------------|
| float32        | `embedding vector(d)`             | 4 d + 8        | `embedding::halfvec(d)`            |
| float16, int8  | `embedding halfvec(d)`            | 2 d + 8        | `embedding`                        |
| int4           | `code bytea`, `embedding halfvec` | 2.5 d + 11     | `embedding`                        |
| int2           | `code bytea`, `bits bit(d)`       | 0.375 d + 8    | `bits`, by the signs that differ   |
| binary         | `own bytea`, `bits bit(d)`        | 0.125 d + 8    | `bits`, by the signs that differ   |

Scores are always computed from the codes that nestvec measured:

- int8: pgvector has no 8-bit numbers, so the decoded numbers are stored in half precision. Encoding them again gives
  the measured code.
- int4 and int2: the column `code` holds the code.
- binary: the code is split into `bits`, the signs, and `own`, its two bytes of correction.

Below 128 dimensions an HNSW index on signs misses too many documents, so int2 and binary then have the columns of int4.

The sizes are approximate: PostgreSQL saves three bytes on a value of less than 127 bytes, and a `code` that is longer
takes three bytes more. The HNSW index takes further space: about 290 bytes per document, and a copy of the numbers or
bits.

An index with two vector formats finds a shortlist with the first and re-ranks it with the second. The first has columns
of its own, named `first_…`, unless its codes can be computed from the second's column `embedding`: then the second is
float32 or float16 and at least as wide, the first is not searched by signs, and neither is on principal axes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from nestvec.errors import InputError
from nestvec.point import CORRECTION
from nestvec.vectors.cut import prefix

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from nestvec.point import VectorFormat
    from nestvec.stores.store import About
    from nestvec.vectors.codecs import Codec
    from nestvec.vectors.rabitq import Rotated

    Raw = Sequence[bytes]  # a document's columns in PostgreSQL's binary format

WIDEST = 4000  # greatest dimension of a halfvec in pgvector's HNSW index; bits may be more
_FIRST = "first_"  # prefix of columns that only the first of two stages needs
_NUMBERS = {"vector": ">f4", "halfvec": ">f2"}  # pgvector's types to NumPy's types of their numbers
_FEWEST = 128  # least signs for an index over signs: with 64, the nearest 100 lack a tenth of the best 10


@dataclass(frozen=True)
class _Kept:
    """How PostgreSQL stores vectors of one precision.

    Attributes:
        numbers: pgvector's type for the decoded numbers; None if the column holds the encoded vector (code) instead.
        prefixes: whether the codes of a smaller dimension can be computed from the first of these numbers.
        signs: whether the HNSW index compares the signs of the numbers.
        whole: whether a code consists only of the signs and two bytes of correction.
    """

    numbers: str | None = None
    prefixes: bool = False
    signs: bool = False
    whole: bool = False


_KEPT = {
    "float32": _Kept("vector", prefixes=True),
    "float16": _Kept("halfvec", prefixes=True),
    "int8": _Kept("halfvec"),
    "int4": _Kept(),
    "int2": _Kept(signs=True),
    "binary": _Kept(signs=True, whole=True),
}


@dataclass(frozen=True)
class IndexTarget:
    """The SQL expression on which the HNSW index is built, and how a query is compared with it.

    Attributes:
        expression: SQL expression over the columns of the table of documents.
        form: SQL type of the query's vector.
        operators: pgvector's operator class for the HNSW index.
        sign: SQL operator that computes the distance between the expression and the query's vector.
    """

    expression: str
    form: str
    operators: str
    sign: str


@dataclass(frozen=True, eq=False)
class Columns:
    """The columns of the table of documents that hold the vectors of an index.

    Attributes:
        about: description of the index: its system, vector formats and search settings.
        codecs: one codec for each vector format of the index.
    """

    about: About
    codecs: tuple[Codec, ...]

    @property
    def shares_embedding(self) -> bool:
        """Whether the index has two vector formats and the first uses the second's column `embedding`, not its own."""
        first, last = self.about.stages[0], self.about.served
        fits = _kept(last).prefixes and first.dimension <= last.dimension and not (first.axes or last.axes)
        return len(self.about.stages) > 1 and fits and not _searched_by_signs(first)

    @property
    def by_signs(self) -> bool:
        """Whether the HNSW index compares only the signs of numbers, so that it needs more candidates."""
        return _searched_by_signs(self.about.stages[0])

    @property
    def types(self) -> dict[str, str]:
        """The names of the columns that hold vectors, in the order in which `pack_rows` fills them, with SQL types."""
        return {name: form for stage in self._own_stages for name, form in self._types_of(stage).items()}

    def pack_rows(self, vectors: NDArray[np.float32]) -> Iterator[tuple[bytes, ...]]:
        """Encode vectors of the system's full dimension, a row for each document.

        Yields each document's column values in PostgreSQL's binary format.
        """
        parts = []
        for stage in self._own_stages:
            form, codec = self.about.stages[stage], self.codecs[stage]
            codes = codec.encode(codec.cut(vectors))
            parts += [_pack_column(name.removeprefix(_FIRST), form, codec, codes) for name in self._types_of(stage)]
        return zip(*([bytes(row) for row in part] for part in parts), strict=True)

    def needed_columns(self, stage: int) -> list[str]:
        """Return the names of the columns from which `parse_codes` reads the vectors of format number `stage`."""
        if stage == 0 and self.shares_embedding:
            return self.needed_columns(1)
        types = [name.removeprefix(_FIRST) for name in self._types_of(stage)]
        if _kept(self.about.stages[stage]).numbers:
            names = ["embedding"]
        else:
            names = ["own", "bits"] if "own" in types else ["code"]
        return [self._column_name(stage, name) for name in names]

    def parse_codes(self, stage: int, raws: Sequence[Raw]) -> NDArray[np.generic]:
        """Convert column values back to encoded vectors (codes).

        Args:
            stage: number of the vector format: 0 for the first, 1 for the one that re-ranks.
            raws: for each document, the values of the columns that `needed_columns` names, in PostgreSQL's binary
                format.

        Returns:
            The codes, a row for each document.
        """
        if stage == 0 and self.shares_embedding:
            wide = self.codecs[1].decode(self.parse_codes(1, raws))
            return self.codecs[0].encode(prefix(wide, self.about.stages[0].dimension))
        if numbers := _kept(self.about.stages[stage]).numbers:
            return self.codecs[stage].encode(_parse_numbers(raws, numbers))
        parts = [
            np.frombuffer(b"".join(part), dtype=np.uint8).reshape(len(raws), -1) for part in zip(*raws, strict=True)
        ]
        if len(parts) == 1:
            return parts[0]
        own, bits = parts
        return np.concatenate([bits[:, 4:], own], axis=1)  # the first 4 bytes are the number of bits

    @property
    def index_target(self) -> IndexTarget:
        """The SQL expression on which the HNSW index is built, and how a query is compared with it."""
        first = self.about.stages[0]
        if _searched_by_signs(first):
            return IndexTarget(self._column_name(0, "bits"), f"bit({first.dimension})", "bit_hamming_ops", "<~>")
        form, column = f"halfvec({first.dimension})", self._column_name(0, "embedding")
        if self.shares_embedding and first.dimension < self.about.served.dimension:
            column = f"subvector({column}, 1, {first.dimension})::{form}"
        elif _kept(self.about.served if self.shares_embedding else first).numbers == "vector":
            column = f"{column}::{form}"
        return IndexTarget(column, form, "halfvec_cosine_ops", "<=>")

    def format_query(self, query: NDArray[np.float32]) -> str:
        """Format a query's vector as text for pgvector's HNSW index: a list of numbers, or the signs as 0 and 1."""
        first, codec = self.about.stages[0], self.codecs[0]
        cut = codec.cut(query[None])
        if _searched_by_signs(first):
            return "".join("1" if number >= 0 else "0" for number in cast("Rotated", codec).turn(cut)[0].tolist())
        return f"[{','.join(map(str, cut[0].tolist()))}]"

    def check_width(self) -> None:
        """Raise InputError if the vectors to search have more dimensions than pgvector's HNSW index accepts."""
        first = self.about.stages[0]
        if not _searched_by_signs(first) and first.dimension > WIDEST:
            problem = f"{first.dimension} dimensions are too many for pgvector's HNSW index"
            raise InputError(problem, f"at most {WIDEST} dimensions: choose a lower --dimension")

    @property
    def _own_stages(self) -> range:
        """The numbers of the vector formats that have columns of their own: 0 for the first, 1 for the second."""
        return range(self.shares_embedding, len(self.about.stages))

    def _column_name(self, stage: int, name: str) -> str:
        """Return a column's full name; columns of the first of two vector formats have the prefix `first_`."""
        return name if self.shares_embedding or stage == len(self.about.stages) - 1 else _FIRST + name

    def _types_of(self, stage: int) -> dict[str, str]:
        types = _column_types(self.about.stages[stage], searched=stage == 0)
        return {self._column_name(stage, name): form for name, form in types.items()}


def _kept(stage: VectorFormat) -> _Kept:
    if stage.precision not in _KEPT:
        raise TypeError(
            f"nestvec has no PostgreSQL columns for codes of {stage.precision}; "
            f"add {stage.precision} to _KEPT in stores/postgres/columns.py"
        )
    return _KEPT[stage.precision]


def _searched_by_signs(stage: VectorFormat) -> bool:
    return _kept(stage).signs and stage.dimension >= _FEWEST


def _column_types(stage: VectorFormat, searched: bool) -> dict[str, str]:
    """Return the names and SQL types of the columns for one vector format.

    If the HNSW index searches vectors of this format (`searched`), there is a column that it can be built on.
    """
    width, kept = stage.dimension, _kept(stage)
    if kept.numbers:
        return {"embedding": f"{kept.numbers}({width})"}
    if not searched:
        return {"code": "bytea"}
    if not _searched_by_signs(stage):
        return {"code": "bytea", "embedding": f"halfvec({width})"}
    return {"own" if kept.whole else "code": "bytea", "bits": f"bit({width})"}


def _pack_column(name: str, stage: VectorFormat, codec: Codec, codes: NDArray[np.generic]) -> NDArray[np.uint8]:
    """Convert n codes to the values of one column in PostgreSQL's binary format, a row of bytes for each code."""
    if name == "embedding":
        numbers = codec.decode(codes).astype(_NUMBERS[_kept(stage).numbers or "halfvec"])
        head = np.array([stage.dimension, 0], dtype=">i2")
        return _prepend_header(head, numbers)
    if name == "bits":
        bits = _sign_bits(cast("Rotated", codec), codes)
        return _prepend_header(np.array([stage.dimension], dtype=">i4"), np.packbits(bits, axis=1))
    code = codes.astype(np.uint8, copy=False)
    return code[:, -CORRECTION:] if name == "own" else code


def _prepend_header(head: NDArray[Any], rows: NDArray[Any]) -> NDArray[np.uint8]:
    """Put the same header before the bytes of each row; returns a row of bytes for each row."""
    body = np.ascontiguousarray(rows).view(np.uint8).reshape(len(rows), -1)
    return np.concatenate([np.tile(head.view(np.uint8), (len(rows), 1)), body], axis=1)


def _sign_bits(codec: Rotated, codes: NDArray[np.generic]) -> NDArray[np.uint8]:
    """Return the sign bit of each number in n codes of d numbers, as an (n, d) array of zeros and ones."""
    bits = np.unpackbits(codes[:, :-CORRECTION].astype(np.uint8, copy=False), axis=1)
    return bits[:, :: codec.bits][:, : codec.dimension]


def _parse_numbers(raws: Sequence[Raw], numbers: str) -> NDArray[np.float32]:
    """Read n vectors of d numbers from values of pgvector's type `numbers` in binary format; returns (n, d) float32."""
    together = np.frombuffer(b"".join(raw[0] for raw in raws), dtype=np.uint8).reshape(len(raws), -1)
    stored = np.ascontiguousarray(together[:, 4:]).view(_NUMBERS[numbers])  # the first 4 bytes are the dimension
    return stored.astype(np.float32)
