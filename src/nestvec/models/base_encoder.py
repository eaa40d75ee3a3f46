"""The base class of all encoders, which turn texts into vectors, and a check of these vectors."""

from __future__ import annotations

from abc import ABC, abstractmethod
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING

import numpy as np

from nestvec.errors import InputError
from nestvec.models.load import quiet_libraries
from nestvec.models.prompts import DOCUMENT, QUERY, ROLES, Prompts, Role, encode_method
from nestvec.vectors.cut import prefix

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator, Sequence
    from pathlib import Path

    from numpy.typing import NDArray
    from sentence_transformers import SentenceTransformer

    # (n,) rows of the texts; (n,) tokens of each, or one number for all; (n, width) float32 vectors
    Encoded = tuple[NDArray[np.int64], NDArray[np.int64] | int, NDArray[np.float32]]

PROBES = ("a", "Deck Screws, 3 in. (100-Pack)", "écrou M8 inox \U0001f529 — 10 mm", "claw hammer with handle " * 200)
LEAST = {"float32": 0.9999, "bfloat16": 0.995}  # least cosine; bfloat16 rounds more, but a wrong graph falls below
ROUNDING = 0.999999  # least cosine of two vectors from the same modules in float32, batched differently


def choose_width(folder: Path | str, most: int, wanted: int | None) -> int:
    """Return the dimension `wanted`, or `most` if it is None; raises InputError if it lies outside 1 … `most`."""
    if wanted is not None and not 1 <= wanted <= most:
        raise InputError(f"makes no vectors of dimension {wanted}", f"a number from 1 to {most}", file=folder)
    return wanted or most


@contextmanager
def explain_unknown_tokens(name: str = "the model") -> Iterator[None]:
    """Raise InputError if the model has no embedding for a token: the tokenizer belongs to another model."""
    try:
        yield
    except IndexError as error:
        if "out of range in self" not in str(error):  # PyTorch's message for an embedding lookup
            raise
        problem = f"{name} cannot encode ({error}): the tokenizer gives token ids that the model does not have"
        raise InputError(problem, "the tokenizer that was saved with this model") from error


def encode_probes(model: SentenceTransformer, role: Role) -> NDArray[np.float32]:
    """Encode each test text in `PROBES` alone with the library, in a role: (4, width) float32, rows of unit length."""
    encode = encode_method(model, role)
    with quiet_libraries(), explain_unknown_tokens():
        given = [encode(text, normalize_embeddings=True, show_progress_bar=False) for text in PROBES]
    return np.asarray(given, dtype=np.float32)


def are_same(vectors: NDArray[np.float32], expected: NDArray[np.float32], least: float) -> bool:
    """Whether each unit vector has a cosine of at least `least` to that row of `expected`; zero vectors are equal."""
    if vectors.shape != expected.shape:
        return False
    return bool(np.square(vectors - expected).sum(axis=1).max() <= 2 * (1 - least))


class Encoder(ABC):
    """Turns texts into vectors.

    Args:
        name: backend and number format, such as `openvino bfloat16`.
        dimension: dimension of the vectors, at most the model's width.
        prompts: the texts to put before queries and documents.

    Attributes:
        one_for_both: whether a text gives the same vector as a query and as a document.
    """

    def __init__(self, name: str, dimension: int, prompts: Prompts) -> None:
        self.name, self.dimension, self.prompts = name, dimension, prompts
        self.one_for_both = prompts.alike

    def encode(
        self,
        texts: Sequence[str],
        role: Role,
        advance: Callable[[int], None] = lambda _: None,
        token_counts: NDArray[np.int64] | None = None,
    ) -> NDArray[np.float32]:
        """Encode texts; batches depend only on the texts, so that the same list of texts gives the same bytes.

        Args:
            texts: n texts, none of them empty, without prompts: the prompt is added here.
            role: `query` or `document`; decides the prompt.
            advance: called with the number of texts done since the last call.
            token_counts: (n,) array to fill with the number of tokens that the model read of each text; 0 for a model
                without tokens.

        Returns:
            (n, dimension) float32, rows of unit length in the order of the texts.

        Raises:
            InputError: the model returned NaN or infinity for a text, or has no embedding for a token.
        """
        vectors = np.empty((len(texts), self.dimension), dtype=np.float32)
        with closing(self._encode_batches(texts, role)) as batches, explain_unknown_tokens(self.name):
            for rows, lengths, output in batches:
                self._refuse_not_finite(output, texts, rows)
                vectors[rows] = prefix(output, self.dimension)
                if token_counts is not None:
                    token_counts[rows] = lengths
                advance(len(rows))
        return vectors

    def encode_both(
        self, queries: Sequence[str], documents: Sequence[str], advance: Callable[[int], None] = lambda _: None
    ) -> NDArray[np.float32]:
        """Encode queries and documents; returns one array with the queries' vectors first, then the documents'."""
        if self.one_for_both:
            return self.encode([*queries, *documents], DOCUMENT, advance)
        return np.concatenate([self.encode(queries, QUERY, advance), self.encode(documents, DOCUMENT, advance)])

    def _refuse_not_finite(self, output: NDArray[np.float32], texts: Sequence[str], rows: NDArray[np.int64]) -> None:
        """Raise InputError if a vector of a batch holds NaN or infinity, or if its length overflows float32.

        `output` has a vector in each row; `rows` states the index of each vector's text in `texts`.
        """
        with np.errstate(over="ignore", invalid="ignore"):
            is_wrong = ~np.isfinite(np.linalg.norm(output[:, : self.dimension], axis=1))
        if is_wrong.any():
            text = texts[int(rows[np.argmax(is_wrong)])]
            wanted = "finite numbers: try another --compute or another model"
            raise InputError(f"{self.name} returned NaN or infinity for {text[:60]!r}", wanted)

    @abstractmethod
    def _encode_batches(self, texts: Sequence[str], role: Role) -> Generator[Encoded]:
        """Encode all texts of a role in batches, every text once."""

    def agrees_with(self, model: SentenceTransformer, least: float) -> bool:
        """Whether the vectors of a few test texts have cosines of at least `least` to the library's float32 vectors.

        Queries are compared with `encode_query`, documents with `encode_document`; if the model encodes both alike,
        only queries are compared. The library encodes each text alone, because some models that pad on the left
        give a text different vectors in different batches.
        """
        return all(
            are_same(self.encode(PROBES, role), prefix(encode_probes(model, role), self.dimension), least)
            for role in (ROLES[:1] if self.one_for_both else ROLES)
        )
