"""What every store of an index does, and the types that go in and come out.

A store holds documents with their vectors and finds the best of them for a query. What it serves is said by its
`About`, which names the model, so that a query is never answered with another model's vectors.
"""

from __future__ import annotations

import html
import math
import operator
import re
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from nestvec.data.text import trec_id
from nestvec.errors import InputError
from nestvec.lexical.hybrid_file import Hybrid
from nestvec.point import VectorFormat

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from contextlib import AbstractContextManager

    from numpy.typing import NDArray

    from nestvec.vectors.codecs import Codec

SCHEMA = 3
PATIENCE = 60.0  # seconds to wait for another process that has locked an index, where nobody says otherwise
_ESCAPED_IDS, _PLAIN, _WITH_WORDS = 1, 2, 3  # ids cleaned and percent-encoded; ids byte for byte; and with words
Value = str | float | int

_OPERATORS: dict[str, Callable[[Any, Any], bool]] = {
    "=": operator.eq,
    "!=": operator.ne,
    "<=": operator.le,
    ">=": operator.ge,
    "<": operator.lt,
    ">": operator.gt,
}
ORDERING = {"<=", ">=", "<", ">"}
PLAIN_NUMBER = r"-?(0|[1-9][0-9]{0,14})([.][0-9]{1,15})?"  # no leading zeros: those are names


def read_plain_number(text: str) -> float | None:
    """The number that a text plainly is, such as `19.90`; None for any other text, such as `007` or `1e5`."""
    return float(text) if re.fullmatch(PLAIN_NUMBER, text) else None


def _write_stage(stage: VectorFormat) -> dict[str, Any]:
    """A stage as JSON holds it; `axes` only where it is true, so that other indexes are as before there were any."""
    return {"dimension": stage.dimension, "precision": stage.precision} | ({"axes": True} if stage.axes else {})


def _read_stage(value: Mapping[str, Any]) -> VectorFormat:
    return VectorFormat(int(value["dimension"]), str(value["precision"]), value.get("axes") is True)


@dataclass(frozen=True)
class About:
    """What an index serves.

    Attributes:
        system: the one whose vectors these are.
        model_sha256: of its weights; queries must be encoded by the same.
        full_dimension: width of the vectors that the store is given.
        stages: the format of the vectors that are searched, or that of the shortlist's and of those that re-rank it.
        shortlist: documents that the first of two stages hands on.
        schema: of the store's own form; from 2 on, ids are kept byte for byte; an index with words has 3.
        hybrid: how words match, and how their scores fuse with those of the vectors served; None: vectors alone.
        fuses: whether a search that names no mode is by words and vectors: where the run recommends them together.
        model: all that decides the model's vectors, by name, with its SHA-256; empty in an index of an earlier nestvec.
    """

    system: str
    model_sha256: str
    full_dimension: int
    stages: tuple[VectorFormat, ...]
    shortlist: int = 100
    schema: int = _PLAIN
    hybrid: Hybrid | None = None
    fuses: bool = False
    model: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """An index with words says so, so that a nestvec of before there were any doesn't take it for its own."""
        if self.hybrid is not None:
            object.__setattr__(self, "schema", _WITH_WORDS)

    def require_words(self, place: object) -> Hybrid:
        """How words match and fuse; InputError, which names the place, where the index holds vectors alone."""
        if self.hybrid is None:
            raise InputError("holds no words", "the mode vectors, or an index built without --alone", file=place)
        return self.hybrid

    def require_same(self, prepared: About | None, place: object) -> None:
        """InputError, which names the place, where vectors were prepared for an index that serves something else."""
        if prepared not in (None, self):
            problem = f"was built anew meanwhile by another process, for {self.system} at {self.served.name}"
            raise InputError(
                problem, "the index that the documents were encoded for: run the command again", file=place
            )

    @property
    def served(self) -> VectorFormat:
        """The format of the vectors that give the scores: the last stage's."""
        return self.stages[-1]

    def stored_id(self, identifier: str) -> str:
        """An id as this index holds it: byte for byte, but in an index of nestvec 0.1 cleaned and percent-encoded."""
        if self.schema > _ESCAPED_IDS:
            return identifier
        return trec_id(" ".join(html.unescape(identifier).split()))

    def to_json(self) -> dict[str, Any]:
        """As JSON holds it; of an index without words, the same as before there were any."""
        values = asdict(self)
        values["stages"] = [_write_stage(stage) for stage in self.stages]
        del values["hybrid"], values["fuses"]
        if not self.model:
            del values["model"]
        return values if self.hybrid is None else {**values, "hybrid": self.hybrid.to_json(), "fuses": self.fuses}

    @classmethod
    def from_json(cls, values: Mapping[str, Any], place: object) -> About:
        """Read what `to_json` gave; the place is for the message where it is damaged or of a newer form."""
        schema = values.get("schema")
        if not isinstance(schema, int) or schema > SCHEMA:
            raise InputError(f"was made by a newer nestvec (schema {schema})", f"schema {SCHEMA} or less", file=place)
        try:
            stages = tuple(map(_read_stage, values["stages"]))
            numbers = int(values["full_dimension"]), stages, int(values["shortlist"])
            hybrid = Hybrid.from_json(dict(values["hybrid"]), place) if schema >= _WITH_WORDS else None
            fuses = hybrid is not None and values["fuses"] is True
            model = {str(name): str(code) for name, code in dict(values.get("model", {})).items()}
            about = cls(str(values["system"]), str(values["model_sha256"]), *numbers, schema, hybrid, fuses, model)
        except (KeyError, TypeError, ValueError, OverflowError) as error:
            raise InputError(
                f"is damaged: a value is missing or of the wrong kind ({error})",
                "what `nestvec index` wrote: build it again",
                file=place,
            ) from error
        if not (1 <= len(stages) <= 2 and all(1 <= stage.dimension <= about.full_dimension for stage in stages)):
            problem = f"is damaged: it lists {len(stages)} points for vectors of {about.full_dimension} dimensions"
            wanted = "one or two points of no more dimensions than the vectors: build the index again"
            raise InputError(problem, wanted, file=place)
        if about.shortlist < 1:
            raise InputError(f"is damaged: shortlist is {about.shortlist}", "1 or more", file=place)
        return about


@dataclass(frozen=True)
class Batch:
    """Documents on their way into a store.

    Attributes:
        ids: n; of one that comes again, the last counts.
        texts: n.
        vectors: (n, full dimension) float32, rows of unit length.
        fields: n mappings of names to text or numbers, to filter by; a field that a document lacks is left out.

    Raises:
        InputError: a vector holds NaN or infinities.
    """

    ids: Sequence[str]
    texts: Sequence[str]
    vectors: NDArray[np.float32]
    fields: Sequence[Mapping[str, Value]]

    def __post_init__(self) -> None:
        """A number that is none would spoil every score that it takes part in."""
        if (wrong := ~np.isfinite(self.vectors).all(axis=1)).any():
            name = self.ids[int(np.argmax(wrong))]
            raise InputError(f"the vector of document {name!r} holds NaN or infinities", "finite numbers")


@dataclass(frozen=True)
class Hit:
    """A document that was found.

    Attributes:
        id: the document's.
        score: the cosine of query and document as far as the precision allows, about -1 … 1; of a search by words,
            BM25's, more than 0; of a fused one, what the fusion made of both.
        text: the document's.
        fields: what came with it.
    """

    id: str
    score: float
    text: str
    fields: Mapping[str, Value] = field(default_factory=dict)


@dataclass(frozen=True)
class Condition:
    """A filter on one field, such as `price<=20`.

    A number among the fields is compared as a number, text as text, byte by byte in UTF-8; but by < <= > >= a text that
    is plainly a number, such as `19.90`, is compared with a number as a number. A document without the field fails
    every condition, and so does a number that is compared with text.

    Attributes:
        name: the field's.
        sign: one of = != < <= > >=.
        value: what it is compared with, as typed.
    """

    name: str
    sign: str
    value: str

    def __post_init__(self) -> None:
        """A sign becomes a part of a statement, so only these are allowed."""
        if self.sign not in _OPERATORS:
            raise ValueError(f"{self.sign!r} is none of {' '.join(_OPERATORS)}")

    @classmethod
    def parse(cls, text: str) -> Condition:
        """Read a condition as typed: a field's name, which has none of the signs' letters, a sign, and a value."""
        match = re.fullmatch(r"([^=!<>]+)(!=|<=|>=|=|<|>)(.*)", text, re.DOTALL)  # linear in any text's length
        if not match or not match[1].strip():
            raise InputError(f"--where holds {text!r}", "a field, one of = != < <= > >=, and a value")
        return cls(match[1].strip(), match[2], match[3].strip())

    @property
    def number(self) -> float | None:
        """The value as a number, if it is a finite one."""
        try:
            number = float(self.value)
        except ValueError:
            return None
        return number if math.isfinite(number) else None

    def holds(self, fields: Mapping[str, Value]) -> bool:
        """Whether a document's fields fulfil it; a store's own query language must give the same answer."""
        value = fields.get(self.name)
        if value is None:
            return False
        if isinstance(value, str):
            number = read_plain_number(value) if self.sign in ORDERING and self.number is not None else None
            if number is None:
                return _OPERATORS[self.sign](value.encode(), self.value.encode())
            value = number
        return self.number is not None and _OPERATORS[self.sign](value, self.number)


class Store(Protocol):
    """An index of documents. Every method leaves the store whole, whenever it is killed.

    A method that reads sees one state of the index, as it was before or after whatever others write meanwhile.
    """

    @property
    def about(self) -> About | None:
        """What it serves; None where nothing was built yet."""

    def build(self, about: About, codecs: Sequence[Codec], batches: Iterable[Batch]) -> None:
        """Put up an index in place of the one that is there, which serves until the new one is complete.

        Args:
            about: what it is to serve.
            codecs: fitted, one for each of its stages.
            batches: the documents; an id that comes again replaces what came before.
        """

    def upsert(self, batches: Iterable[Batch], about: About | None = None) -> None:
        """Add documents, and replace those whose id is there; each batch is there whole or not at all.

        Args:
            batches: the documents.
            about: what the index must serve still, as the vectors were made for it; None: whatever it serves.

        Raises:
            InputError: it was built anew and serves something else.
        """

    def delete(self, ids: Sequence[str]) -> int:
        """Remove documents, and say how many were there; ids that are not there are passed over."""

    def one_state(self) -> AbstractContextManager[About]:
        """A block in which all that this thread reads is of one state of the index; it should not write there.

        A build waits for the end of such blocks, and in the embedded store every writer does, so they should be short.

        Returns:
            The block, which gets what the index serves in that state.

        Raises:
            InputError: nothing was built yet.
        """

    def version(self) -> object:
        """What compares as another after the documents have changed."""

    def find_missing(self, ids: Sequence[str]) -> list[str]:
        """The ids that no document has, in the order given, each once."""

    def search(
        self, queries: NDArray[np.float32], k: int, where: Sequence[Condition] = (), exact: bool = False
    ) -> list[list[Hit]]:
        """The best documents of each query.

        Args:
            queries: (q, full dimension) float32, rows of unit length.
            k: at least 1.
            where: what documents must fulfil, all of it.
            exact: don't use an approximate index where the store has one.

        Returns:
            q lists of at most k, best first; of equal scores, the greater id first, compared byte by byte.
        """

    def correct(self, texts: Sequence[str]) -> list[str]:
        """What the words of q queries are searched as: corrected by the documents that are there, or as they stand."""

    def search_words(self, texts: Sequence[str], k: int, where: Sequence[Condition] = ()) -> list[list[Hit]]:
        """The best documents of each query, as `correct` has it, by the words they share with it.

        BM25 counts all documents that are there, whatever the filter leaves.

        Args:
            texts: q queries.
            k: at least 1.
            where: what documents must fulfil, all of it.

        Returns:
            q lists of at most k, best first, ties as in `search`; what shares no word with the query is not found.

        Raises:
            InputError: the index holds vectors alone.
        """

    def search_fused(
        self,
        texts: Sequence[str],
        queries: NDArray[np.float32],
        k: int,
        where: Sequence[Condition] = (),
        exact: bool = False,
        weight: float | None = None,
    ) -> list[list[Hit]]:
        """The best documents of each query by words and vectors.

        Candidates are the best `lexical.fusion.CANDIDATES` of each leg that fulfil the conditions, or k if that is
        more; both legs score them all, and `Hybrid.fusion` makes one score of both. Words alone are corrected.

        Args:
            texts: q queries.
            queries: (q, full dimension) float32 of the same queries, rows of unit length.
            k: at least 1.
            where: what documents must fulfil, all of it.
            exact: don't use an approximate index where the store has one.
            weight: of the words, 0 to 1; None: as fitted.

        Returns:
            q lists of at most k, best first, ties as in `search`.

        Raises:
            InputError: the index holds vectors alone.
        """

    def __len__(self) -> int:
        """How many documents there are."""

    def size(self) -> int:
        """Bytes on disk."""

    def close(self) -> None:
        """Let go of files and connections."""
