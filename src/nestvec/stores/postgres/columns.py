"""How the codes of an index become columns of a PostgreSQL table, and codes again.

| precision      | columns of the served stage       | bytes a vector | what the HNSW index is over        |
|----------------|-----------------------------------|----------------|------------------------------------|
| float32        | `embedding vector(d)`             | 4 d + 8        | `embedding::halfvec(d)`            |
| float16, int8  | `embedding halfvec(d)`            | 2 d + 8        | `embedding`                        |
| int4           | `code bytea`, `embedding halfvec` | 2.5 d + 11     | `embedding`                        |
| int2           | `code bytea`, `bits bit(d)`       | 0.375 d + 8    | `bits`, by the signs that differ   |
| binary         | `own bytea`, `bits bit(d)`        | 0.125 d + 8    | `bits`, by the signs that differ   |

pgvector has no 8-bit numbers, so int8 takes two bytes each: what a code decodes to, as the nearest half-precision
number. That lies so close that encoding it again gives the code that was measured. Below 8 bits the column holds the
code itself; a binary code is its `bits` and the two bytes that are its `own`. So a score is always of the very code.
Signs are too few to look by where there are less than 128 numbers: then int2 and binary have the columns of int4.
A part of less than 127 bytes takes three bytes less, and code of more three more. HNSW comes on top: about 290 bytes a
document, and another copy of the numbers or bits.

The first of two stages has columns of its own, named `first_…`. If the second is of float32 or float16 and no narrower,
and the first of 4 bits or more, it has none: the HNSW index is over `subvector(embedding, 1, d)::halfvec(d)`, and its
codes are made from that prefix.

`_KEPT` has a row for each precision; one that has none is refused.
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

    Raw = Sequence[bytes]  # a document's columns, as PostgreSQL sends them in binary

WIDEST = 4000  # numbers that an HNSW index of pgvector takes as halfvec; of bits it takes more
_FIRST = "first_"  # begins the names of what only the first of two stages needs
_NUMBERS = {"vector": ">f4", "halfvec": ">f2"}  # a number of pgvector's types, in numpy's words
_FEWEST = 128  # signs that tell documents apart: of 64, the nearest 100 lack every tenth of the best 10


@dataclass(frozen=True)
class _Kept:
    """How codes of one precision are kept.

    Attributes:
        numbers: pgvector's type of what they decode to; None where the column holds the code itself.
        prefixes: whether a prefix of these numbers has the codes that were measured of it.
        signs: whether documents are looked for by the signs of their numbers.
        whole: whether the signs and the two bytes of correction are the whole code.
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
    """What an approximate index is over.

    Attributes:
        expression: of the table's columns, as SQL has it.
        form: the type of what it is compared with.
        operators: the class of operators that the index is made for.
        sign: the operator that gives the distance.
    """

    expression: str
    form: str
    operators: str
    sign: str


@dataclass(frozen=True, eq=False)
class Columns:
    """The columns of an index.

    Attributes:
        about: what the index serves.
        codecs: one for each stage.
    """

    about: About
    codecs: tuple[Codec, ...]

    @property
    def shares_embedding(self) -> bool:
        """Whether the first of two stages reads its numbers from the embedding that the second keeps."""
        first, last = self.about.stages[0], self.about.served
        fits = _kept(last).prefixes and first.dimension <= last.dimension and not (first.axes or last.axes)
        return len(self.about.stages) > 1 and fits and not _searched_by_signs(first)

    @property
    def by_signs(self) -> bool:
        """Whether the approximate index is over signs, which say less than the codes."""
        return _searched_by_signs(self.about.stages[0])

    @property
    def types(self) -> dict[str, str]:
        """Name to type, in the order in which `pack_rows` gives them."""
        return {name: form for stage in self._own_stages for name, form in self._types_of(stage).items()}

    def pack_rows(self, vectors: NDArray[np.float32]) -> Iterator[tuple[bytes, ...]]:
        """Each of (n, full dimension) vectors as its columns' values, as PostgreSQL receives them in binary."""
        parts = []
        for stage in self._own_stages:
            form, codec = self.about.stages[stage], self.codecs[stage]
            codes = codec.encode(codec.cut(vectors))
            parts += [_pack_column(name.removeprefix(_FIRST), form, codec, codes) for name in self._types_of(stage)]
        return zip(*([bytes(row) for row in part] for part in parts), strict=True)

    def needed_columns(self, stage: int) -> list[str]:
        """Names of the columns that `parse_codes` reads for a stage."""
        if stage == 0 and self.shares_embedding:
            return self.needed_columns(1)
        types = [name.removeprefix(_FIRST) for name in self._types_of(stage)]
        if _kept(self.about.stages[stage]).numbers:
            names = ["embedding"]
        else:
            names = ["own", "bits"] if "own" in types else ["code"]
        return [self._column_name(stage, name) for name in names]

    def parse_codes(self, stage: int, raws: Sequence[Raw]) -> NDArray[np.generic]:
        """The stage's codes.

        Args:
            stage: 0, or 1 for the second.
            raws: n documents' values of the `needed_columns`, as PostgreSQL sends them in binary.

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
        return np.concatenate([bits[:, 4:], own], axis=1)  # 4 bytes say how many bits there are

    @property
    def index_target(self) -> IndexTarget:
        """What the approximate index is over."""
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
        """A (full dimension,) query as the approximate index is asked: a number list, or the signs as bits."""
        first, codec = self.about.stages[0], self.codecs[0]
        cut = codec.cut(query[None])
        if _searched_by_signs(first):
            return "".join("1" if number >= 0 else "0" for number in cast("Rotated", codec).turn(cut)[0].tolist())
        return f"[{','.join(map(str, cut[0].tolist()))}]"

    def check_width(self) -> None:
        """Refuse more numbers than pgvector's index can take."""
        first = self.about.stages[0]
        if not _searched_by_signs(first) and first.dimension > WIDEST:
            raise InputError(f"{first.dimension} numbers are too many for an index of pgvector", f"at most {WIDEST}")

    @property
    def _own_stages(self) -> range:
        """The stages that have columns of their own."""
        return range(self.shares_embedding, len(self.about.stages))

    def _column_name(self, stage: int, name: str) -> str:
        """A column's name: the first of two stages has its own."""
        return name if self.shares_embedding or stage == len(self.about.stages) - 1 else _FIRST + name

    def _types_of(self, stage: int) -> dict[str, str]:
        types = _column_types(self.about.stages[stage], searched=stage == 0)
        return {self._column_name(stage, name): form for name, form in types.items()}


def _kept(stage: VectorFormat) -> _Kept:
    if stage.precision not in _KEPT:
        raise TypeError(
            f"PostgreSQL has no columns for codes of {stage.precision}; "
            f"add {stage.precision} to _KEPT in stores/postgres/columns.py"
        )
    return _KEPT[stage.precision]


def _searched_by_signs(stage: VectorFormat) -> bool:
    return _kept(stage).signs and stage.dimension >= _FEWEST


def _column_types(stage: VectorFormat, searched: bool) -> dict[str, str]:
    """Names and types of a stage's columns; only one that is searched needs what an index can be over."""
    width, kept = stage.dimension, _kept(stage)
    if kept.numbers:
        return {"embedding": f"{kept.numbers}({width})"}
    if not searched:
        return {"code": "bytea"}
    if not _searched_by_signs(stage):
        return {"code": "bytea", "embedding": f"halfvec({width})"}
    return {"own" if kept.whole else "code": "bytea", "bits": f"bit({width})"}


def _pack_column(name: str, stage: VectorFormat, codec: Codec, codes: NDArray[np.generic]) -> NDArray[np.uint8]:
    """(n, bytes) a column's values in PostgreSQL's binary form, whose numbers have their high byte first."""
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
    """(n, bytes) rows with the same bytes before each."""
    body = np.ascontiguousarray(rows).view(np.uint8).reshape(len(rows), -1)
    return np.concatenate([np.tile(head.view(np.uint8), (len(rows), 1)), body], axis=1)


def _sign_bits(codec: Rotated, codes: NDArray[np.generic]) -> NDArray[np.uint8]:
    """(n, d) zeros and ones: the top bit of each number's level."""
    bits = np.unpackbits(codes[:, :-CORRECTION].astype(np.uint8, copy=False), axis=1)
    return bits[:, :: codec.bits][:, : codec.dimension]


def _parse_numbers(raws: Sequence[Raw], numbers: str) -> NDArray[np.float32]:
    """(n, d) numbers of embeddings of pgvector's type."""
    together = np.frombuffer(b"".join(raw[0] for raw in raws), dtype=np.uint8).reshape(len(raws), -1)
    stored = np.ascontiguousarray(together[:, 4:]).view(_NUMBERS[numbers])  # 4 bytes say how many there are
    return stored.astype(np.float32)
