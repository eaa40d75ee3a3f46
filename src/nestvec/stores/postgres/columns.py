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
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from nestvec.errors import InputError
from nestvec.vectors.codecs import prefix

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from nestvec.stores.store import About, Stage
    from nestvec.vectors.codecs import Codec
    from nestvec.vectors.rabitq import Rotated

    Raw = Sequence[bytes]  # a document's columns, as PostgreSQL sends them in binary

WIDEST = 4000  # numbers that an HNSW index of pgvector takes as halfvec; of bits it takes more
_FIRST = "first_"  # begins the names of what only the first of two stages needs
_FEWEST = 128  # signs that tell documents apart: of 64, the nearest 100 lack every tenth of the best 10
_OWN = 2  # bytes of a binary code that are not its bits


@dataclass(frozen=True)
class Search:
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
    def shared(self) -> bool:
        """Whether the first of two stages reads its numbers from the embedding that the second keeps."""
        first, last = self.about.stages[0], self.about.served
        full = last.precision in {"float32", "float16"}  # of int8, a prefix gives other codes than were measured
        return len(self.about.stages) > 1 and not _signs(first) and full and first.dimension <= last.dimension

    @property
    def by_signs(self) -> bool:
        """Whether the approximate index is over signs, which say less than the codes."""
        return _signs(self.about.stages[0])

    @property
    def types(self) -> dict[str, str]:
        """Name to type, in the order in which `pack` gives them."""
        return {name: form for stage in self._kept for name, form in self._forms(stage).items()}

    def pack(self, vectors: NDArray[np.float32]) -> Iterator[tuple[bytes, ...]]:
        """Each of (n, full dimension) vectors as its columns' values, as PostgreSQL receives them in binary."""
        parts = []
        for stage in self._kept:
            about, codec = self.about.stages[stage], self.codecs[stage]
            codes = codec.encode(prefix(vectors, about.dimension))
            parts += [_packed(name.removeprefix(_FIRST), about, codec, codes) for name in self._forms(stage)]
        return zip(*([bytes(row) for row in part] for part in parts), strict=True)

    def needed(self, stage: int) -> list[str]:
        """Names of the columns that `codes` reads for a stage."""
        if stage == 0 and self.shared:
            return self.needed(1)
        made = [name.removeprefix(_FIRST) for name in self._forms(stage)]
        holding = ["embedding"] if _keeps(self.about.stages[stage]) else ["own", "bits"] if "own" in made else ["code"]
        return [self._named(stage, name) for name in holding]

    def codes(self, stage: int, raws: Sequence[Raw]) -> NDArray[np.generic]:
        """The stage's codes.

        Args:
            stage: 0, or 1 for the second.
            raws: n documents' values of the `needed` columns, as PostgreSQL sends them in binary.

        Returns:
            (n, …) codes.
        """
        if stage == 0 and self.shared:
            wide = self.codecs[1].decode(self.codes(1, raws))
            return self.codecs[0].encode(prefix(wide, self.about.stages[0].dimension))
        about = self.about.stages[stage]
        if _keeps(about):
            return self.codecs[stage].encode(_numbers(raws, about.precision))
        parts = [
            np.frombuffer(b"".join(part), dtype=np.uint8).reshape(len(raws), -1) for part in zip(*raws, strict=True)
        ]
        if len(parts) == 1:
            return parts[0]
        own, bits = parts
        return np.concatenate([bits[:, 4:], own], axis=1)  # 4 bytes say how many bits there are

    @property
    def search(self) -> Search:
        """What the approximate index is over."""
        first = self.about.stages[0]
        if _signs(first):
            return Search(self._named(0, "bits"), f"bit({first.dimension})", "bit_hamming_ops", "<~>")
        form, column = f"halfvec({first.dimension})", self._named(0, "embedding")
        if self.shared and first.dimension < self.about.served.dimension:
            column = f"subvector({column}, 1, {first.dimension})::{form}"
        elif (self.about.served if self.shared else first).precision == "float32":
            column = f"{column}::{form}"
        return Search(column, form, "halfvec_cosine_ops", "<=>")

    def asked(self, query: NDArray[np.float32]) -> str:
        """A query as the approximate index is asked.

        Args:
            query: (full dimension,) float32.

        Returns:
            A number list, or the signs as bits.
        """
        first, codec = self.about.stages[0], self.codecs[0]
        cut = prefix(query[None], first.dimension)
        if _signs(first):
            return "".join(map(str, _sign_bits(cast("Rotated", codec), codec.encode(cut))[0].tolist()))
        return f"[{','.join(map(str, cut[0].tolist()))}]"

    def check(self) -> None:
        """Refuse what pgvector's index cannot take.

        Raises:
            InputError: there are too many numbers.
        """
        first = self.about.stages[0]
        if not _signs(first) and first.dimension > WIDEST:
            raise InputError(f"{first.dimension} numbers are too many for an index of pgvector", f"at most {WIDEST}")

    @property
    def _kept(self) -> range:
        """The stages that have columns of their own."""
        return range(self.shared, len(self.about.stages))

    def _named(self, stage: int, name: str) -> str:
        """A column's name: the first of two stages has its own."""
        return name if self.shared or stage == len(self.about.stages) - 1 else _FIRST + name

    def _forms(self, stage: int) -> dict[str, str]:
        """Names and types of the columns that are made for a stage."""
        forms = _forms(self.about.stages[stage], searched=stage == 0)
        return {self._named(stage, name): form for name, form in forms.items()}


def _keeps(stage: Stage) -> bool:
    """Whether the stage's codes are kept as numbers."""
    return stage.precision in {"float32", "float16", "int8"}


def _signs(stage: Stage) -> bool:
    """Whether the stage is looked for by its signs."""
    return stage.precision in {"int2", "binary"} and stage.dimension >= _FEWEST


def _forms(stage: Stage, searched: bool) -> dict[str, str]:
    """Names and types of a stage's columns; only one that is searched needs what an index can be over."""
    width = stage.dimension
    if _keeps(stage):
        return {"embedding": f"{'vector' if stage.precision == 'float32' else 'halfvec'}({width})"}
    if not searched:
        return {"code": "bytea"}
    if not _signs(stage):
        return {"code": "bytea", "embedding": f"halfvec({width})"}
    return {"own" if stage.precision == "binary" else "code": "bytea", "bits": f"bit({width})"}


def _packed(name: str, stage: Stage, codec: Codec, codes: NDArray[np.generic]) -> NDArray[np.uint8]:
    """(n, bytes) a column's values in PostgreSQL's binary form, whose numbers have their high byte first."""
    if name == "embedding":
        numbers = codec.decode(codes).astype(">f4" if stage.precision == "float32" else ">f2")
        head = np.array([stage.dimension, 0], dtype=">i2")
        return _headed(head, numbers)
    if name == "bits":
        bits = _sign_bits(cast("Rotated", codec), codes)
        return _headed(np.array([stage.dimension], dtype=">i4"), np.packbits(bits, axis=1))
    held = codes.astype(np.uint8, copy=False)
    return held[:, -_OWN:] if name == "own" else held


def _headed(head: NDArray[Any], rows: NDArray[Any]) -> NDArray[np.uint8]:
    """The same bytes before each row's."""
    body = np.ascontiguousarray(rows).view(np.uint8).reshape(len(rows), -1)
    return np.concatenate([np.tile(head.view(np.uint8), (len(rows), 1)), body], axis=1)


def _sign_bits(codec: Rotated, codes: NDArray[np.generic]) -> NDArray[np.uint8]:
    """(n, d) zeros and ones: the top bit of each number's level."""
    bits = np.unpackbits(codes[:, :-_OWN].astype(np.uint8, copy=False), axis=1)
    return bits[:, :: codec.bits][:, : codec.dimension]


def _numbers(raws: Sequence[Raw], precision: str) -> NDArray[np.float32]:
    """(n, d) what embeddings hold."""
    form = ">f4" if precision == "float32" else ">f2"
    together = np.frombuffer(b"".join(raw[0] for raw in raws), dtype=np.uint8).reshape(len(raws), -1)
    return np.ascontiguousarray(together[:, 4:]).view(form).astype(np.float32)  # 4 bytes say how many there are
