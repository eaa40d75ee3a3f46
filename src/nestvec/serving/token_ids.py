"""Decodes token ids that a client sends instead of texts, if the ids are certainly from the model's own tokenizer.

OpenAI's clients may send ids of OpenAI's tokenizer, as LangChain does by default. Most of these ids also exist in
another model's vocabulary, where they mean other words. Checking that ids survive decoding and encoding is not enough:
in MiniLM's vocabulary, half of the single words that OpenAI's cl100k knows do. Therefore ids are accepted only if they
have the tokenizer's special tokens at both ends, or if enough of them also occur in the run's own texts.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from nestvec.errors import InputError
from nestvec.models.token_batches import load_tokenizer
from nestvec.serving.lazy_value import LazyValue

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from pathlib import Path

    from numpy.typing import NDArray
    from tokenizers import Tokenizer

_PROBE = "a"
_RETURNED = 0.65  # share of another tokenizer's ids that decode and encode to themselves; measured for cl100k in MiniLM
_KNOWN = 0.9  # assumed share of a query's ids, from the model's own tokenizer, that occur in the run's texts
_NEAR = 500  # neighbours on either side of an id that estimate how common it is
_DOUBT = 1e-5  # largest likelihood ratio of another tokenizer to this one at which ids are accepted


class ForeignIdsError(ValueError):
    """The token ids may come from another model's tokenizer, or cannot be decoded; the message says why."""


class TokenDecoder:
    """Decodes token ids to texts with a model's tokenizer, and refuses ids of other tokenizers.

    Args:
        tokenizer: the model's tokenizer, without truncation and padding.
        texts: returns the run's texts; called at most once.
        trusted: whether to accept ids even if they could come from another tokenizer (--trust-token-ids).
    """

    def __init__(self, tokenizer: Tokenizer, texts: Callable[[], Iterable[str]], trusted: bool = False) -> None:
        self._tokenizer, self._trusted = tokenizer, trusted
        whole, bare = tokenizer.encode(_PROBE).ids, tokenizer.encode(_PROBE, add_special_tokens=False).ids
        first = next((at for at in range(len(whole)) if whole[at : at + len(bare)] == bare), 0)
        self._before, self._after = whole[:first], whole[first + len(bare) :]
        self._known = LazyValue(lambda: self._find_known_ids(texts()))

    def decode(self, lists: Sequence[Sequence[int]]) -> list[str]:
        """Decode n lists of token ids to n texts; raises ForeignIdsError if the ids may come from another tokenizer."""
        size = self._tokenizer.get_vocab_size()
        for row, ids in enumerate(lists):
            unknown = next((each for each in ids if not 0 <= each < size), None)
            if unknown is not None:
                raise ForeignIdsError(f"input[{row}] has token id {unknown}; this model's ids go from 0 to {size - 1}")
        texts = [self._decode_one(row, list(ids)) for row, ids in enumerate(lists)]
        bare = [token for ids in lists if not self._has_ends(ids) for token in ids]
        if bare and not self._trusted and self._log_doubt(bare) > np.log(_DOUBT):
            raise ForeignIdsError("input has token ids that could come from another tokenizer")
        return texts

    def _decode_one(self, row: int, ids: list[int]) -> str:
        """Decode token ids to the text that the tokenizer encodes to the same ids; ForeignIdsError if there is none."""
        whole = self._has_ends(ids)
        inner = ids[len(self._before) : len(ids) - len(self._after)] if whole else ids
        text: str = self._tokenizer.decode(inner, skip_special_tokens=False)
        if self._tokenizer.encode(text, add_special_tokens=whole).ids != ids:
            raise ForeignIdsError(f"input[{row}] has token ids that this model's tokenizer cannot have produced")
        return text

    def _has_ends(self, ids: Sequence[int]) -> bool:
        """Whether token ids begin and end with the special tokens that the tokenizer puts around a text."""
        before, after, ids = self._before, self._after, list(ids)
        is_long = len(ids) >= len(before) + len(after)
        return bool(before and after and is_long) and ids[: len(before)] == before and ids[-len(after) :] == after

    def _log_doubt(self, ids: Sequence[int]) -> float:
        """Return the log of how much likelier the token ids are under another tokenizer than under the model's own."""
        known, tokens = self._known(), np.array(ids)
        below = np.concatenate([[0], np.cumsum(known)])
        low, high = np.maximum(tokens - _NEAR, 0), np.minimum(tokens + _NEAR + 1, len(known))
        share = np.clip((below[high] - below[low]) / (high - low), 1e-4, 1 - 1e-4)
        foreign = _RETURNED * np.where(known[tokens], share, 1 - share)
        return float(np.log(foreign / np.where(known[tokens], _KNOWN, 1 - _KNOWN)).sum())

    def _find_known_ids(self, texts: Iterable[str]) -> NDArray[np.bool_]:
        """Return one boolean for each id in the tokenizer's vocabulary: whether the id occurs in the run's texts."""
        known = np.zeros(self._tokenizer.get_vocab_size(), dtype=np.bool_)
        for encoding in self._tokenizer.encode_batch_fast(list(texts), add_special_tokens=False):
            known[encoding.ids] = True
        return known


def open_decoder(folder: Path, texts: Callable[[], Iterable[str]], trusted: bool = False) -> TokenDecoder:
    """Open the decoder of token ids for a model's folder; ForeignIdsError if its tokenizer is missing or damaged."""
    files = [folder / "tokenizer.json", *sorted(folder.glob("*/tokenizer.json"))]
    file = next((file for file in files if file.is_file()), None)
    if file is None:
        raise ForeignIdsError("input has token ids, and this model's tokenizer cannot decode them")
    try:
        return TokenDecoder(load_tokenizer(file, None), texts, trusted)
    except InputError as error:
        raise ForeignIdsError(f"input has token ids, and this model's tokenizer cannot be read: {error}") from error
