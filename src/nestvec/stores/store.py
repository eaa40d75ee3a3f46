"""The interface that every store implements, and the types of its arguments and results.

A store holds documents with their vectors and finds the best documents for a query. The store's `About` describes the
index and identifies its model, so that a query is never compared with vectors of a different model.
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
    """Read a text that is written as a plain number, such as `19.90`; None for other text, such as `007` or `1e5`."""
    return float(text) if re.fullmatch(PLAIN_NUMBER, text) else None


def _write_stage(stage: VectorFormat) -> dict[str, Any]:
    """Convert a vector format to JSON; `axes` is written only if true, as versions without principal axes expect."""
    return {"dimension": stage.dimension, "precision": stage.precision} | ({"axes": True} if stage.axes else {})


def _read_stage(value: Mapping[str, Any]) -> VectorFormat:
    return VectorFormat(int(value["dimension"]), str(value["precision"]), value.get("axes") is True)


@dataclass(frozen=True)
class About:
    """The description of an index: its system, model, vector formats and settings of keyword search.

    Attributes:
        system: the system whose vectors the index holds.
        model_sha256: SHA-256 of the model's weights; queries must be encoded by the same model.
        full_dimension: width of the vectors that are given to the store.
        stages: one vector format (dimension and precision) to search by; or two, of which the first finds a shortlist
            and the second re-ranks the shortlist.
        shortlist: number of documents that the first of two stages passes to the second.
        schema: version of the index's format: 1 percent-encodes ids, 2 keeps ids unchanged, 3 is 2 with keyword search.
        hybrid: settings of keyword search and of fused search; None if the index has only vectors.
        fuses: whether a search without a given mode is fused (keyword and vector results), as the run recommends.
        model: SHA-256 of each part of the model that affects its vectors, by the part's name; empty in an index that an
            earlier nestvec built.
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
        """Set schema 3 for an index with keyword search, so that a nestvec without keyword search refuses the index."""
        if self.hybrid is not None:
            object.__setattr__(self, "schema", _WITH_WORDS)

    def require_words(self, place: object) -> Hybrid:
        """Return the settings of keyword search; raises InputError if the index has none. `place` names the index."""
        if self.hybrid is None:
            raise InputError(
                "holds no words for keyword search, only vectors",
                'the mode "vectors", or an index that was built without --alone',
                file=place,
            )
        return self.hybrid

    def require_same(self, prepared: About | None, place: object) -> None:
        """Raise InputError if vectors were encoded for an index with another description; `place` names this index."""
        if prepared not in (None, self):
            problem = f"was built anew by another process meanwhile, for {self.system} at {self.served.name}"
            raise InputError(
                problem, "the index that the documents were encoded for: run the command again", file=place
            )

    @property
    def served(self) -> VectorFormat:
        """The vector format (dimension and precision) that gives the final scores: that of the last stage."""
        return self.stages[-1]

    def stored_id(self, identifier: str) -> str:
        """The id as this index stores it: unchanged, or cleaned and percent-encoded in an index of nestvec 0.1."""
        if self.schema > _ESCAPED_IDS:
            return identifier
        return trec_id(" ".join(html.unescape(identifier).split()))

    def to_json(self) -> dict[str, Any]:
        """Convert to a dict for JSON; an index without keyword search has the keys that earlier versions wrote."""
        values = asdict(self)
        values["stages"] = [_write_stage(stage) for stage in self.stages]
        del values["hybrid"], values["fuses"]
        if not self.model:
            del values["model"]
        return values if self.hybrid is None else {**values, "hybrid": self.hybrid.to_json(), "fuses": self.fuses}

    @classmethod
    def from_json(cls, values: Mapping[str, Any], place: object) -> About:
        """Make an index's description from the dict that `to_json` returned.

        Raises InputError if a value is missing or wrong, or if a newer nestvec wrote the index. `place` is the index's
        name for messages.
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
            problem = f"is damaged: it has {len(stages)} formats for vectors of {about.full_dimension} dimensions"
            wanted = "one or two vector formats of at most that many dimensions: build the index again"
            raise InputError(problem, wanted, file=place)
        if about.shortlist < 1:
            problem = f"is damaged: shortlist is {about.shortlist}"
            raise InputError(problem, "a shortlist of 1 or more documents: build the index again", file=place)
        return about


@dataclass(frozen=True)
class Batch:
    """A batch of documents to be written to a store.

    Attributes:
        ids: n ids; if an id occurs more than once, its last document counts.
        texts: n texts.
        vectors: (n, full dimension) float32, rows of unit length.
        fields: for each document, a mapping of field names to texts or numbers, by which searches can filter.

    Raises:
        InputError: a vector holds NaN or infinity.
    """

    ids: Sequence[str]
    texts: Sequence[str]
    vectors: NDArray[np.float32]
    fields: Sequence[Mapping[str, Value]]

    def __post_init__(self) -> None:
        """Raise InputError if a vector holds NaN or infinity, because its document would have no valid score."""
        if (wrong := ~np.isfinite(self.vectors).all(axis=1)).any():
            name = self.ids[int(np.argmax(wrong))]
            raise InputError(f"the vector of document {name!r} holds NaN or infinity", "finite numbers")


@dataclass(frozen=True)
class Hit:
    """A document that a search found.

    Attributes:
        id: the document's id.
        score: for vector search, the cosine similarity of query and document as exact as the precision allows, about
            -1 to 1; for keyword search, the BM25 score, above 0; for fused search, the fused score.
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
        """Raise ValueError for an unknown sign, because the sign is inserted into an SQL statement."""
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
        """Whether a document's fields fulfil the condition; each store's SQL must give the same answer."""
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
    """Interface of a search index; if a process is killed inside any method, the index stays intact.

    A method that reads sees one consistent state of the index, from before or after another process's write.
    """

    @property
    def about(self) -> About | None:
        """The index's description: system, model and vector formats; None if no index was built yet."""

    def build(self, about: About, codecs: Sequence[Codec], batches: Iterable[Batch]) -> None:
        """Build a new index; searches use the present index, if any, until the new one is complete and replaces it.

        Args:
            about: the new index's description.
            codecs: fitted codecs, one for each of `about.stages`.
            batches: the documents; if an id occurs again, the later document replaces the earlier one.
        """

    def upsert(self, batches: Iterable[Batch], about: About | None = None) -> None:
        """Add documents, and replace stored documents with the same ids; a batch is written completely or not at all.

        Args:
            batches: the documents.
            about: description of the index that the vectors were encoded for; None skips the check that it is this one.

        Raises:
            InputError: another process has built the index anew, with a different description.
        """

    def delete(self, ids: Sequence[str]) -> int:
        """Remove the documents with the given ids and return how many were removed; unknown ids are skipped."""

    def one_state(self) -> AbstractContextManager[About]:
        """Open a `with` block in which all reads of this thread see the same state of the index.

        Don't write inside the block, and keep it short: a build waits until such blocks end, and in the embedded store
        every other writer waits, too.

        Returns:
            A context manager that gives the index's description in that state.

        Raises:
            InputError: no index was built yet.
        """

    def version(self) -> object:
        """Return a value that is unequal to earlier values if the index's documents have changed since."""

    def find_missing(self, ids: Sequence[str]) -> list[str]:
        """Return those of the given ids that no document in the index has, in the order given, without repeats."""

    def search(
        self, queries: NDArray[np.float32], k: int, where: Sequence[Condition] = (), exact: bool = False
    ) -> list[list[Hit]]:
        """Find the best documents for each query by their vectors.

        Args:
            queries: (q, full dimension) float32, rows of unit length.
            k: most documents to return for each query, at least 1.
            where: conditions; a document must fulfil all of them.
            exact: skip the approximate index, if the store has one, and compare all documents.

        Returns:
            q lists of at most k hits, best first; of equal scores, the greater id first, compared byte by byte.
        """

    def correct(self, texts: Sequence[str]) -> list[str]:
        """Return the queries with the spelling correction that keyword search applies; unchanged if it applies none."""

    def search_words(self, texts: Sequence[str], k: int, where: Sequence[Condition] = ()) -> list[list[Hit]]:
        """Find the best documents for each query by BM25, after the queries' spelling is corrected as in `correct`.

        BM25's statistics count all documents in the index, also those that the conditions leave out.

        Args:
            texts: q queries.
            k: most documents to return for each query, at least 1.
            where: conditions; a document must fulfil all of them.

        Returns:
            q lists of at most k hits, best first; of equal scores, the greater id first. A hit has a word of the query.

        Raises:
            InputError: the index has no keyword search, only vectors.
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
        """Find the best documents for each query by fused search: keyword and vector scores are combined.

        Candidates are the `lexical.fusion.CANDIDATES` best documents of keyword search and of vector search that fulfil
        the conditions, or the k best if k is greater. Every candidate gets a keyword score and a vector score, and
        `Hybrid.fusion` combines the two scores. Spelling is corrected for keyword search only.

        Args:
            texts: q queries.
            queries: (q, full dimension) float32 vectors of the same queries, rows of unit length.
            k: most documents to return for each query, at least 1.
            where: conditions; a document must fulfil all of them.
            exact: skip the approximate index, if the store has one, and compare all documents.
            weight: weight of the keyword score, 0 to 1; None takes the fitted weight.

        Returns:
            q lists of at most k hits, best first; of equal scores, the greater id first, compared byte by byte.

        Raises:
            InputError: the index has no keyword search, only vectors.
        """

    def __len__(self) -> int:
        """Number of documents in the index."""

    def size(self) -> int:
        """Size of the index on disk, in bytes."""

    def close(self) -> None:
        """Close all files and connections."""
