"""Texts as batches of tokens: each text tokenised once, like lengths together, as many as a number of tokens allows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from nestvec.data.limits import split_rows
from nestvec.errors import InputError, MissingExtraError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from numpy.typing import NDArray
    from sentence_transformers import SentenceTransformer
    from tokenizers import Tokenizer

_AT_ONCE = 1024  # texts tokenised at a time: the library's own account of one takes many times the numbers it holds
_LETTERS = 4 << 20  # letters tokenised at a time: that account takes a hundred bytes and more for each
_PIECE = 20_000  # texts whose tokens are in memory at once
ENDLESS = 10**9  # tokens; tokenizers without a limit state one of 10**30, or infinity
_FILLED = {"input_ids", "attention_mask", "token_type_ids"}  # the inputs that are made here


@dataclass(frozen=True)
class Batch:
    """Texts that go through a model together.

    Attributes:
        rows: (n,) which of the texts.
        lengths: (n,) tokens of each.
        inputs: name to (n, tokens) int64, padded to the longest of them.
    """

    rows: NDArray[np.int64]
    lengths: NDArray[np.int64]
    inputs: dict[str, NDArray[np.int64]]


@dataclass(frozen=True)
class TokenReader:
    """Reads texts as one model does.

    Attributes:
        tokenizer: cuts at the model's limit and pads nothing; of `prepared`.
        inputs: what the model wants to be given, of `input_ids`, `attention_mask` and `token_type_ids`.
        pad: the token id that fills a batch up.
    """

    tokenizer: Tokenizer
    inputs: tuple[str, ...]
    pad: int

    def make_batches(self, texts: Sequence[str], tokens: int, prompt: str = "") -> Iterator[Batch]:
        """All texts in batches: 20,000 texts at a time, the longest first, so that memory peaks at once or never.

        Which texts share a batch depends on nothing but the texts and the budget.

        Args:
            texts: n texts.
            tokens: the most that a batch has, padding included; a single text may have more.
            prompt: goes before every text.

        Yields:
            Batches that hold every text once.
        """
        for start in range(0, len(texts), _PIECE):
            tokenised = self._tokenise([prompt + text for text in texts[start : start + _PIECE]])
            lengths = np.array([len(ids) for ids, _ in tokenised], dtype=np.int64)
            for rows in plan_batches(lengths, tokens):
                yield Batch(start + rows, lengths[rows], self._pad_batch([tokenised[row] for row in rows.tolist()]))

    def _tokenise(self, texts: Sequence[str]) -> list[tuple[NDArray[np.int32], NDArray[np.int8]]]:
        """Each text's ids and the sentence that each token belongs to."""
        tokenised = []
        for part in split_texts(texts, _AT_ONCE):
            for encoding in self.tokenizer.encode_batch_fast(part):
                tokenised.append((np.array(encoding.ids, dtype=np.int32), np.array(encoding.type_ids, dtype=np.int8)))
        return tokenised

    def _pad_batch(self, tokenised: list[tuple[NDArray[np.int32], NDArray[np.int8]]]) -> dict[str, NDArray[np.int64]]:
        """The model's inputs for a batch of tokenised texts, filled up to the longest of them."""
        shape = len(tokenised), max(len(ids) for ids, _ in tokenised)
        blank = {"input_ids": self.pad, "attention_mask": 0, "token_type_ids": 0}
        inputs = {name: np.full(shape, blank[name], dtype=np.int64) for name in self.inputs}
        for row, (ids, types) in enumerate(tokenised):
            for name, values in (("input_ids", ids), ("attention_mask", 1), ("token_type_ids", types)):
                if name in inputs:
                    inputs[name][row, : len(ids)] = values
        return inputs


def split_texts(texts: Sequence[str], count: int) -> Iterator[Sequence[str]]:
    """The texts in order, so many at a time, or fewer where they are long; a single text may have any length."""
    letters = np.fromiter(map(len, texts), np.int64, len(texts))
    for first in range(0, len(texts), count):
        for rows in split_rows(letters[first : first + count], _LETTERS):
            yield texts[first + rows.start : first + rows.stop]


def plan_batches(lengths: NDArray[np.int64], tokens: int) -> Iterator[NDArray[np.int64]]:
    """Rows of each batch, the longest text first, every row once; `lengths`, (n,), are the texts' tokens.

    A batch has `tokens` at most when all are as long as its longest; a single text may have more.
    """
    order = np.argsort(-lengths, kind="stable")
    first = 0
    while first < len(order):
        count = max(1, tokens // max(1, int(lengths[order[first]])))
        yield order[first : first + count]
        first += count


def prepare_tokenizer(tokenizer: Tokenizer, limit: int | None) -> Tokenizer:
    """The tokenizer itself, changed to cut at the limit (None cuts nothing) and to leave padding to us."""
    tokenizer.no_padding()
    if limit is None:
        tokenizer.no_truncation()
    else:
        tokenizer.enable_truncation(limit)
    return tokenizer


def load_tokenizer(path: Path, limit: int | None) -> Tokenizer:
    """Read tokenizer.json and prepare it, see `prepare_tokenizer`; InputError is raised where it is damaged."""
    try:
        from tokenizers import Tokenizer
    except ImportError as error:
        raise MissingExtraError("tokenizers", "onnx") from error
    try:
        return prepare_tokenizer(Tokenizer.from_file(str(path)), limit)
    except Exception as error:  # the library raises nothing narrower
        raise InputError(f"cannot be read ({error})", "a fast tokenizer", file=path) from error


def read_token_limit(model: SentenceTransformer) -> int | None:
    """How many tokens a loaded model reads of a text; None where its tokenizer has no limit, and it reads all.

    InputError is raised for a limit that is no number of tokens.
    """
    limit: Any = model.max_seq_length
    if limit is None or limit >= ENDLESS:
        return None
    if not isinstance(limit, int) or limit < 1:
        raise InputError(f"the model's max_seq_length is {limit!r}", "a number of tokens, 1 or more")
    return limit


def make_reader(model: SentenceTransformer, inputs: Sequence[str]) -> TokenReader | None:
    """A reader for a loaded model; None for one that has no fast tokenizer, or wants other inputs.

    It pads on the right, even where the model's own tokenizer pads on the left. Whoever opens a model makes sure that
    this gives the same vectors: it does wherever a text's vector is its own, whatever stands beside it.
    """
    from tokenizers import Tokenizer

    tokenizer: Any = getattr(model, "tokenizer", None)  # a model of static vectors has the library's bare one
    backend = getattr(tokenizer, "backend_tokenizer", None)
    if not isinstance(backend, Tokenizer) or tokenizer.pad_token_id is None:
        return None
    if not {"input_ids", "attention_mask"} <= set(inputs) <= _FILLED:
        return None
    own = Tokenizer.from_str(backend.to_str())  # a copy: the model's is left as it is
    limit = read_token_limit(model)
    return TokenReader(prepare_tokenizer(own, limit), tuple(inputs), tokenizer.pad_token_id)
