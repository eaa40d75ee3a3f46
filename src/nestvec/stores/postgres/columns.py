"""Converts the codes of an index to columns of a PostgreSQL table and back.

| precision      | columns of the served stage       | bytes a vector | what the HNSW index is over        |
|----------------|-----------------------------------|----------------|------------------------------------|
| float32        | `embedding vector(d)`             | 4 d + 8        | `embedding::halfvec(d)`            |
| float16, int8  | `embedding halfvec(d)`            | 2 d + 8        | `embedding`                        |
| int4           | `code bytea`, `embedding halfvec` | 2.5 d + 11     | `embedding`                        |
| int2           | `code bytea`, `bits bit(d)`       | 0.375 d + 8    | `bits`, by the signs that differ   |
| binary         | `own bytea`, `bits bit(d)`        | 0.125 d + 8    | `bits`, by the signs that differ   |

pgvector has no 8-bit numbers, so int8 takes two bytes per number: the decoded value in half precision. This is so close
to the decoded value that encoding it again gives the measured code. Below 8 bits, the column holds the code itself; a
binary code is split into its sign `bits` and, in `own`, its two bytes of correction. So scores are always computed from
the measured code. An index over signs needs at least 128 of them to find the right documents; below 128 dimensions,
int2 and binary have the columns of int4.

The sizes are approximate: PostgreSQL saves three bytes on a value of less than 127 bytes, and a `code` that is longer
takes three bytes more. The HNSW index takes further space: about 290 bytes per document, and a copy of the numbers or
bits.

With two stages, the first has its own columns, named `first_…`. It needs none if the second stage is float32 or float16
and at least as wide, and the first has 4 bits or more: then the HNSW index is over
`subvector(embedding, 1, d)::halfvec(d)`, and the first stage's codes are computed from that prefix.

`_KEPT` has a row for each precision; a precision without a row is refused.
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
    """How codes of one precision are stored.

    Attributes:
        numbers: pgvector's type for the decoded numbers; None if the column holds the code itself.
        prefixes: whether encoding a prefix of these numbers gives the measured codes of that prefix.
        signs: whether the approximate index is over the signs of the numbers.
        whole: whether the code consists of the signs and the two bytes of correction, with nothing else.
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
    """The SQL expression that the approximate index covers.

    Attributes:
        expression: SQL expression over the table's columns.
        form: SQL type of the query that the expression is compared with.
        operators: operator class of the index.
        sign: operator that computes the distance.
    """

    expression: str
    form: str
    operators: str
    sign: str


@dataclass(frozen=True, eq=False)
class Columns:
    """The columns that hold the vectors of an index.

    Attributes:
        about: what the index serves.
        codecs: one codec for each stage.
    """

    about: About
    codecs: tuple[Codec, ...]

    @property
    def shares_embedding(self) -> bool:
        """Whether the first of two stages takes its numbers from the second stage's column `embedding`."""
        first, last = self.about.stages[0], self.about.served
        fits = _kept(last).prefixes and first.dimension <= last.dimension and not (first.axes or last.axes)
        return len(self.about.stages) > 1 and fits and not _searched_by_signs(first)

    @property
    def by_signs(self) -> bool:
        """Whether the approximate index is over signs, which are less exact than the codes."""
        return _searched_by_signs(self.about.stages[0])

    @property
    def types(self) -> dict[str, str]:
        """SQL types of the columns by name, in the order of `pack_rows`."""
        return {name: form for stage in self._own_stages for name, form in self._types_of(stage).items()}

    def pack_rows(self, vectors: NDArray[np.float32]) -> Iterator[tuple[bytes, ...]]:
        """Encode (n, full dimension) vectors; yields each vector's column values in PostgreSQL's binary format."""
        parts = []
        for stage in self._own_stages:
            form, codec = self.about.stages[stage], self.codecs[stage]
            codes = codec.encode(codec.cut(vectors))
            parts += [_pack_column(name.removeprefix(_FIRST), form, codec, codes) for name in self._types_of(stage)]
        return zip(*([bytes(row) for row in part] for part in parts), strict=True)

    def needed_columns(self, stage: int) -> list[str]:
        """Return the names of the columns from which `parse_codes` reads the codes of one vector format."""
        if stage == 0 and self.shares_embedding:
            return self.needed_columns(1)
        types = [name.removeprefix(_FIRST) for name in self._types_of(stage)]
        if _kept(self.about.stages[stage]).numbers:
            names = ["embedding"]
        else:
            names = ["own", "bits"] if "own" in types else ["code"]
        return [self._column_name(stage, name) for name in names]

    def parse_codes(self, stage: int, raws: Sequence[Raw]) -> NDArray[np.generic]:
        """Read vector codes from column values, for the index's first or second vector format.

        Args:
            stage: 0 for the first stage, 1 for the second.
            raws: n documents' values of the `needed_columns`, in PostgreSQL's binary format.

        Returns:
            (n, …) codes.
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
        """The expression that the approximate index covers."""
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
        """Format a (full dimension,) query for the approximate index: a list of numbers, or the signs as bits."""
        first, codec = self.about.stages[0], self.codecs[0]
        cut = codec.cut(query[None])
        if _searched_by_signs(first):
            return "".join("1" if number >= 0 else "0" for number in cast("Rotated", codec).turn(cut)[0].tolist())
        return f"[{','.join(map(str, cut[0].tolist()))}]"

    def check_width(self) -> None:
        """Raise InputError if the first stage has more dimensions than pgvector's index can hold."""
        first = self.about.stages[0]
        if not _searched_by_signs(first) and first.dimension > WIDEST:
            problem = f"{first.dimension} dimensions are too many for pgvector's HNSW index"
            raise InputError(problem, f"at most {WIDEST}: choose a lower --dimension")

    @property
    def _own_stages(self) -> range:
        """The vector formats of the index that are stored in columns of their own."""
        return range(self.shares_embedding, len(self.about.stages))

    def _column_name(self, stage: int, name: str) -> str:
        """Return a column's full name, which has a prefix if the column belongs to the first of two stages."""
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
    """Return names and types of a stage's columns; a stage that is `searched` needs a column for the index."""
    width, kept = stage.dimension, _kept(stage)
    if kept.numbers:
        return {"embedding": f"{kept.numbers}({width})"}
    if not searched:
        return {"code": "bytea"}
    if not _searched_by_signs(stage):
        return {"code": "bytea", "embedding": f"halfvec({width})"}
    return {"own" if kept.whole else "code": "bytea", "bits": f"bit({width})"}


def _pack_column(name: str, stage: VectorFormat, codec: Codec, codes: NDArray[np.generic]) -> NDArray[np.uint8]:
    """Pack a column's values as (n, bytes) in PostgreSQL's binary format, which is big-endian."""
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
    """Put the same bytes before each row of a byte array."""
    body = np.ascontiguousarray(rows).view(np.uint8).reshape(len(rows), -1)
    return np.concatenate([np.tile(head.view(np.uint8), (len(rows), 1)), body], axis=1)


def _sign_bits(codec: Rotated, codes: NDArray[np.generic]) -> NDArray[np.uint8]:
    """Return the highest bit of each number's quantised level, for n vectors of d numbers, as zeros and ones."""
    bits = np.unpackbits(codes[:, :-CORRECTION].astype(np.uint8, copy=False), axis=1)
    return bits[:, :: codec.bits][:, : codec.dimension]


def _parse_numbers(raws: Sequence[Raw], numbers: str) -> NDArray[np.float32]:
    """Parse n embeddings in the binary format of pgvector's type `numbers` into an (n, d) array."""
    together = np.frombuffer(b"".join(raw[0] for raw in raws), dtype=np.uint8).reshape(len(raws), -1)
    stored = np.ascontiguousarray(together[:, 4:]).view(_NUMBERS[numbers])  # the first 4 bytes are the dimension
    return stored.astype(np.float32)
