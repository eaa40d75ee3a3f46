"""Split texts into batches of tokens: texts of similar length together, up to a number of tokens per batch."""

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

_AT_ONCE = 1024  # texts tokenised together; the library's result takes much more memory than the token ids
_LETTERS = 4 << 20  # letters tokenised together; the library's result takes 100 bytes and more per letter
_PIECE = 20_000  # texts whose tokens are in memory at the same time
ENDLESS = 10**9  # tokens; a limit from here on means no limit: tokenizers state 10**30 or infinity
_FILLED = {"input_ids", "attention_mask", "token_type_ids"}  # the model inputs that this module can make
READER_NEEDS = "a fast tokenizer with a padding token, and no inputs but token ids, attention mask and token types"


@dataclass(frozen=True)
class Batch:
    """A batch: texts that a model encodes together.

    Attributes:
        rows: (n,) rows of the batch's texts.
        lengths: (n,) number of tokens of each text.
        inputs: name to (n, tokens) int64, padded to the longest text.
    """

    rows: NDArray[np.int64]
    lengths: NDArray[np.int64]
    inputs: dict[str, NDArray[np.int64]]


@dataclass(frozen=True)
class TokenReader:
    """Tokenises texts as a model does, and splits the tokenised texts into batches.

    Attributes:
        tokenizer: tokenizer that cuts at the model's limit and does not pad, from `prepare_tokenizer`.
        inputs: the inputs that the model takes, of `input_ids`, `attention_mask` and `token_type_ids`.
        pad: id of the padding token.
    """

    tokenizer: Tokenizer
    inputs: tuple[str, ...]
    pad: int

    def make_batches(self, texts: Sequence[str], tokens: int, prompt: str = "") -> Iterator[Batch]:
        """Make batches of 20,000 texts at a time, the longest first, so that a lack of memory shows at once.

        The batches depend only on the texts and on `tokens`.

        Args:
            texts: n texts.
            tokens: most tokens of a batch, with padding; a single text may have more.
            prompt: text to put before every text.

        Yields:
            Batches that hold every text once.
        """
        for start in range(0, len(texts), _PIECE):
            tokenised = self._tokenise([prompt + text for text in texts[start : start + _PIECE]])
            lengths = np.array([len(ids) for ids, _ in tokenised], dtype=np.int64)
            for rows in plan_batches(lengths, tokens):
                yield Batch(start + rows, lengths[rows], self._pad_batch([tokenised[row] for row in rows.tolist()]))

    def _tokenise(self, texts: Sequence[str]) -> list[tuple[NDArray[np.int32], NDArray[np.int8]]]:
        """Tokenise texts: give each text's token ids and token types."""
        tokenised = []
        for part in split_texts(texts, _AT_ONCE):
            for encoding in self.tokenizer.encode_batch_fast(part):
                tokenised.append((np.array(encoding.ids, dtype=np.int32), np.array(encoding.type_ids, dtype=np.int8)))
        return tokenised

    def _pad_batch(self, tokenised: list[tuple[NDArray[np.int32], NDArray[np.int8]]]) -> dict[str, NDArray[np.int64]]:
        """Make the model's inputs for a batch of tokenised texts, padded to the longest text."""
        shape = len(tokenised), max(len(ids) for ids, _ in tokenised)
        blank = {"input_ids": self.pad, "attention_mask": 0, "token_type_ids": 0}
        inputs = {name: np.full(shape, blank[name], dtype=np.int64) for name in self.inputs}
        for row, (ids, types) in enumerate(tokenised):
            for name, values in (("input_ids", ids), ("attention_mask", 1), ("token_type_ids", types)):
                if name in inputs:
                    inputs[name][row, : len(ids)] = values
        return inputs


def split_texts(texts: Sequence[str], count: int) -> Iterator[Sequence[str]]:
    """Split texts, in order, into parts of at most `count` texts, and of fewer if texts are long."""
    letters = np.fromiter(map(len, texts), np.int64, len(texts))
    for first in range(0, len(texts), count):
        for rows in split_rows(letters[first : first + count], _LETTERS):
            yield texts[first + rows.start : first + rows.stop]


def plan_batches(lengths: NDArray[np.int64], tokens: int) -> Iterator[NDArray[np.int64]]:
    """Plan batches: give the rows of each batch, the longest texts first; `lengths`, (n,), are the texts' tokens.

    A batch has at most `tokens` tokens with padding; a single text may have more.
    """
    order = np.argsort(-lengths, kind="stable")
    first = 0
    while first < len(order):
        count = max(1, tokens // max(1, int(lengths[order[first]])))
        yield order[first : first + count]
        first += count


def prepare_tokenizer(tokenizer: Tokenizer, limit: int | None) -> Tokenizer:
    """Change a tokenizer to cut texts at `limit` tokens (None: no cut) and not to pad; returns the same tokenizer."""
    tokenizer.no_padding()
    if limit is None:
        tokenizer.no_truncation()
    else:
        tokenizer.enable_truncation(limit)
    return tokenizer


def load_tokenizer(path: Path, limit: int | None) -> Tokenizer:
    """Read tokenizer.json and prepare the tokenizer, see `prepare_tokenizer`; InputError if the file is damaged."""
    try:
        from tokenizers import Tokenizer
    except ImportError as error:
        raise MissingExtraError("tokenizers", "onnx") from error
    try:
        return prepare_tokenizer(Tokenizer.from_file(str(path)), limit)
    except Exception as error:  # the library raises nothing narrower
        raise InputError(f"cannot be read ({error})", "a fast tokenizer", file=path) from error


def read_token_limit(model: SentenceTransformer) -> int | None:
    """Give the number of tokens that a loaded model reads of a text; None if the model has no length limit.

    Raises InputError if the stated limit is not a whole number of 1 or more.
    """
    limit: Any = model.max_seq_length
    if limit is None or limit >= ENDLESS:
        return None
    if not isinstance(limit, int) or limit < 1:
        raise InputError(f"the model's max_seq_length is {limit!r}", "a number of tokens, 1 or more")
    return limit


def make_reader(model: SentenceTransformer, inputs: Sequence[str]) -> TokenReader | None:
    """Make a reader for a loaded model; None if the model lacks what `READER_NEEDS` names.

    The reader pads on the right, even if the model's own tokenizer pads on the left. The caller must check that this
    gives the same vectors, which holds if a text's vector does not depend on the other texts of its batch.
    """
    from tokenizers import Tokenizer

    tokenizer: Any = getattr(model, "tokenizer", None)  # a static model has a tokenizer of another class
    backend = getattr(tokenizer, "backend_tokenizer", None)
    if not isinstance(backend, Tokenizer) or tokenizer.pad_token_id is None:
        return None
    if not {"input_ids", "attention_mask"} <= set(inputs) <= _FILLED:
        return None
    own = Tokenizer.from_str(backend.to_str())  # a copy, so that the model's own tokenizer is not changed
    limit = read_token_limit(model)
    return TokenReader(prepare_tokenizer(own, limit), tuple(inputs), tokenizer.pad_token_id)
