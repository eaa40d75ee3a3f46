"""The interface that every store of a search index implements, and the types of its arguments and results.

A store keeps documents with their vectors and finds the best documents for a query. Its `About` records the model and
the vector format, so that a query is never compared with the vectors of a different model.
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
PATIENCE = 60.0  # default for the seconds to wait for another process that has locked an index
# schemas: 1 ids cleaned and percent-encoded; 2 ids byte for byte; 3 as 2, with keyword search
_ESCAPED_IDS, _PLAIN, _WITH_WORDS = 1, 2, 3
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
PLAIN_NUMBER = r"-?(0|[1-9][0-9]{0,14})([.][0-9]{1,15})?"  # no leading zeros: a text such as 007 is a name


def read_plain_number(text: str) -> float | None:
    """Convert a text such as `19.90` to a number; returns None for text that may be a name, such as `007` or `1e5`."""
    return float(text) if re.fullmatch(PLAIN_NUMBER, text) else None


def _write_stage(stage: VectorFormat) -> dict[str, Any]:
    """Convert a vector format to JSON; the key `axes` (principal axes) is written only if it is true.

    Indexes without principal axes therefore look as in earlier versions of nestvec.
    """
    return {"dimension": stage.dimension, "precision": stage.precision} | ({"axes": True} if stage.axes else {})


def _read_stage(value: Mapping[str, Any]) -> VectorFormat:
    return VectorFormat(int(value["dimension"]), str(value["precision"]), value.get("axes") is True)


@dataclass(frozen=True)
class About:
    """Describes an index: the model of its vectors, their format, and the settings of keyword search.

    Attributes:
        system: the system (model) whose vectors the index holds.
        model_sha256: SHA-256 of the model's weights; queries must be encoded by the same model.
        full_dimension: dimension of the vectors that are given to the store, before it shortens and encodes them.
        stages: the format of the stored vectors. With two formats, a search finds a shortlist with vectors of the first
            and re-ranks it with vectors of the second.
        shortlist: with two formats, the number of documents that are re-ranked.
        schema: version of the index's format: 1 has escaped document ids, 2 unchanged ids, 3 also keyword search.
        hybrid: settings of keyword search and of its fusion with vector search; None for an index without keyword
            search.
        fuses: whether a search fuses keyword and vector scores if its request names no mode; the run recommends this.
        model: SHA-256 of each file or setting that determines the model's vectors, by its name; empty in an index that
            an earlier version of nestvec built.
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
        """Give an index with keyword search schema 3, so that a nestvec too old for keyword search does not open it."""
        if self.hybrid is not None:
            object.__setattr__(self, "schema", _WITH_WORDS)

    def require_words(self, place: object) -> Hybrid:
        """Return the settings of keyword search; raises InputError if the index was built without keyword search.

        The error message names the index by `place`.
        """
        if self.hybrid is None:
            raise InputError(
                "holds no words for keyword search, only vectors",
                "a search in mode vectors, or an index built without --alone",
                file=place,
            )
        return self.hybrid

    def require_same(self, prepared: About | None, place: object) -> None:
        """Raise InputError if vectors were encoded for `prepared`, and the index was rebuilt for something else since.

        The error message names the index by `place`. If `prepared` is None, nothing is checked.
        """
        if prepared not in (None, self):
            problem = f"was built anew by another process meanwhile, for {self.system} at {self.served.name}"
            raise InputError(
                problem, "the index that the documents were encoded for: run the command again", file=place
            )

    @property
    def served(self) -> VectorFormat:
        """The vector format that gives a search's final scores: with two formats, the one that re-ranks."""
        return self.stages[-1]

    def stored_id(self, identifier: str) -> str:
        """Return a document's id as this index stores it: unchanged, or percent-encoded in an index of nestvec 0.1."""
        if self.schema > _ESCAPED_IDS:
            return identifier
        return trec_id(" ".join(html.unescape(identifier).split()))

    def to_json(self) -> dict[str, Any]:
        """Convert the description to values for JSON; keys of keyword search are left out if the index has none."""
        values = asdict(self)
        values["stages"] = [_write_stage(stage) for stage in self.stages]
        del values["hybrid"], values["fuses"]
        if not self.model:
            del values["model"]
        return values if self.hybrid is None else {**values, "hybrid": self.hybrid.to_json(), "fuses": self.fuses}

    @classmethod
    def from_json(cls, values: Mapping[str, Any], place: object) -> About:
        """Make the description of an index from the JSON values that nestvec stored with the index.

        Raises InputError, which names the index by `place`, if a value is missing or wrong, or if a newer nestvec built
        the index.
        """
        schema = values.get("schema")
        if not isinstance(schema, int) or schema > SCHEMA:
            raise InputError(
                f"was made by a newer nestvec (schema {schema})",
                f"schema {SCHEMA} or less: update nestvec, or build the index again",
                file=place,
            )
        try:
            stages = tuple(map(_read_stage, values["stages"]))
            numbers = int(values["full_dimension"]), stages, int(values["shortlist"])
            hybrid = Hybrid.from_json(dict(values["hybrid"]), place) if schema >= _WITH_WORDS else None
            fuses = hybrid is not None and values["fuses"] is True
            model = {str(name): str(code) for name, code in dict(values.get("model", {})).items()}
            about = cls(str(values["system"]), str(values["model_sha256"]), *numbers, schema, hybrid, fuses, model)
        except (KeyError, TypeError, ValueError, OverflowError) as error:
            raise InputError(
                f"is damaged: a value is missing or of the wrong type ({error})",
                "what `nestvec index` wrote: build the index again",
                file=place,
            ) from error
        if not (1 <= len(stages) <= 2 and all(1 <= stage.dimension <= about.full_dimension for stage in stages)):
            problem = f"is damaged: it has {len(stages)} vector formats for {about.full_dimension} dimensions"
            wanted = "one or two vector formats of no more dimensions than the vectors: build the index again"
            raise InputError(problem, wanted, file=place)
        if about.shortlist < 1:
            problem = f"is damaged: shortlist is {about.shortlist}"
            raise InputError(problem, "a shortlist of 1 document or more: build the index again", file=place)
        return about


@dataclass(frozen=True)
class Batch:
    """A batch of documents to be written to a store.

    Attributes:
        ids: the id of each document; of documents with the same id, only the last is kept.
        texts: the text of each document.
        vectors: float32 array with a row of unit length for each document, in the system's full dimension.
        fields: for each document, a mapping of field names to text or numbers, for filters; fields that the document
            lacks are left out.

    Raises:
        InputError: a vector holds NaN or infinity.
    """

    ids: Sequence[str]
    texts: Sequence[str]
    vectors: NDArray[np.float32]
    fields: Sequence[Mapping[str, Value]]

    def __post_init__(self) -> None:
        """Raise InputError if a vector contains NaN or infinity, because its scores would be meaningless."""
        if (wrong := ~np.isfinite(self.vectors).all(axis=1)).any():
            name = self.ids[int(np.argmax(wrong))]
            raise InputError(f"the vector of document {name!r} holds NaN or infinity", "finite numbers")


@dataclass(frozen=True)
class Hit:
    """A document that a search found.

    Attributes:
        id: the document's id.
        score: in a vector search, the cosine of query and document as exact as the precision allows, about -1 to 1; in
            a keyword search, the BM25 score, above 0; in a fused search, the fused score.
        text: the document's text.
        fields: the document's fields, as they were added.
    """

    id: str
    score: float
    text: str
    fields: Mapping[str, Value] = field(default_factory=dict)


@dataclass(frozen=True)
class Condition:
    """A filter on one field, such as `price<=20`.

    A field that is a number is compared as a number. A field that is text is compared as text, byte by byte in UTF-8,
    with one exception: < <= > >= compare a text that is a plain number, such as `19.90`, as a number if the value is a
    number. A document without the field fails every condition, and so does a number that is compared with text.

    Attributes:
        name: the field's name.
        sign: one of = != < <= > >=.
        value: the value to compare the field with, as typed.
    """

    name: str
    sign: str
    value: str

    def __post_init__(self) -> None:
        """Raise ValueError if the comparison sign is unknown, because the sign becomes a part of an SQL statement."""
        if self.sign not in _OPERATORS:
            raise ValueError(f"sign must be one of {' '.join(_OPERATORS)}; got {self.sign!r}")

    @classmethod
    def parse(cls, text: str) -> Condition:
        """Parse a condition such as `price<=20`: a field's name without any of = ! < >, then a sign, then a value."""
        match = re.fullmatch(r"([^=!<>]+)(!=|<=|>=|=|<|>)(.*)", text, re.DOTALL)  # linear in any text's length
        if not match or not match[1].strip():
            wanted = "a field, one of = != < <= > >=, and a value, such as price<=20"
            raise InputError(f"--where is {text!r}", wanted)
        return cls(match[1].strip(), match[2], match[3].strip())

    @property
    def number(self) -> float | None:
        """The condition's value as a number; None if the value is not a finite number."""
        try:
            number = float(self.value)
        except ValueError:
            return None
        return number if math.isfinite(number) else None

    def holds(self, fields: Mapping[str, Value]) -> bool:
        """Whether a document with these fields fulfils the condition; SQL conditions must give the same answer."""
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
    """The interface of a search index of documents, in a folder or in PostgreSQL.

    A method that reads sees the index as it was before or after another process's write, never in between. If the
    process is killed inside any method, the index stays intact.
    """

    @property
    def about(self) -> About | None:
        """Description of the index: its system, vector formats and search settings; None before the first build."""

    def build(self, about: About, codecs: Sequence[Codec], batches: Iterable[Batch]) -> None:
        """Build a new index; searches use the present index, if any, until the new index is complete and replaces it.

        Args:
            about: description of the new index.
            codecs: fitted codecs, one for each vector format in `about.stages`.
            batches: the documents; if an id occurs again, the later document replaces the earlier one.
        """

    def upsert(self, batches: Iterable[Batch], about: About | None = None) -> None:
        """Add documents to the index; a document whose id exists already replaces the old document.

        Each batch is written completely or not at all.

        Args:
            batches: the documents.
            about: description of the index for which the vectors were encoded; None skips the check that it still
                applies.

        Raises:
            InputError: the index was rebuilt meanwhile and its description differs from `about`.
        """

    def delete(self, ids: Sequence[str]) -> int:
        """Remove the documents with the given ids and return how many were removed; unknown ids are skipped."""

    def one_state(self) -> AbstractContextManager[About]:
        """Open a `with` block in which all reads of this thread see the same state of the index.

        Don't write to the index inside the block, and keep it short: a build waits until such blocks end, and in the
        embedded index all writers wait.

        Returns:
            A context manager that gives the description of the index in that state.

        Raises:
            InputError: no index was built yet.
        """

    def version(self) -> object:
        """Return a value that changes whenever documents are added, replaced or removed."""

    def find_missing(self, ids: Sequence[str]) -> list[str]:
        """Return those of the given ids that no document in the index has, each once, in the order given."""

    def search(
        self, queries: NDArray[np.float32], k: int, where: Sequence[Condition] = (), exact: bool = False
    ) -> list[list[Hit]]:
        """Find the documents whose vectors are most similar to each query's vector.

        Args:
            queries: float32 array with a vector of unit length for each query, in the system's full dimension.
            k: most documents to return for each query, at least 1.
            where: conditions of a filter; a returned document fulfils all of them.
            exact: compare the query with all documents, even if the store has an approximate index.

        Returns:
            For each query a list of at most k documents, best first; of equal scores, the greater id first, compared
            byte by byte.
        """

    def correct(self, texts: Sequence[str]) -> list[str]:
        """Return the queries with corrected spelling, as keyword search uses them.

        They are returned unchanged if the index does not correct spelling.
        """

    def search_words(self, texts: Sequence[str], k: int, where: Sequence[Condition] = ()) -> list[list[Hit]]:
        """Find the best documents for each query by keyword search (BM25), after correcting the query's spelling.

        BM25 takes its word statistics from all documents in the index, including those that the filter leaves out.

        Args:
            texts: the queries' texts.
            k: most documents to return for each query, at least 1.
            where: conditions of a filter; a returned document fulfils all of them.

        Returns:
            For each query a list of at most k documents, best first; of equal scores, the greater id first. Every
            document shares a word with the query.

        Raises:
            InputError: the index was built without keyword search.
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
        """Find the best documents for each query by fused keyword and vector scores.

        Candidates are the 100 best documents of keyword search and the 100 best of vector search that pass the filter,
        or the k best of each if k is greater. Each candidate gets both scores, which `Hybrid.fusion` combines. Spelling
        is corrected for keyword search only.

        Args:
            texts: the queries' texts.
            queries: float32 array with a vector of unit length for each query, in the system's full dimension.
            k: most documents to return for each query, at least 1.
            where: conditions of a filter; a returned document fulfils all of them.
            exact: compare the query's vector with all documents, even if the store has an approximate index.
            weight: weight of the keyword score, from 0 to 1; None takes the fitted weight.

        Returns:
            For each query a list of at most k documents, best first; of equal scores, the greater id first.

        Raises:
            InputError: the index was built without keyword search.
        """

    def __len__(self) -> int:
        """Number of documents in the index."""

    def size(self) -> int:
        """Size of the index on disk, in bytes."""

    def close(self) -> None:
        """Close all files and connections of the index."""
