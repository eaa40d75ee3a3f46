"""Token ids that a client sends in place of texts: decoded where they are surely of the model's own tokenizer.

OpenAI's clients may cut texts into ids of OpenAI's tokenizer, as LangChain does unless told otherwise. Most of these
ids are in another model's vocabulary too, and stand for other words there. That decoding and encoding again gives the
same ids is not enough: in MiniLM's vocabulary it holds for half of the single words that OpenAI's cl100k knows. So ids
must have the tokenizer's own special tokens at both ends, or be enough ids that the run's own texts have.
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
_RETURNED = 0.65  # the share of another tokenizer's ids that decode and encode to themselves: cl100k's in MiniLM
_KNOWN = 0.9  # the share of a query's ids, of the model's own, that the run's texts have; assumed
_NEAR = 500  # ids to either side: an id's neighbours are about as common as it is
_DOUBT = 1e-5  # how much likelier the ids must be of this tokenizer than of another


class ForeignIdsError(ValueError):
    """Ids that are not surely of the model's tokenizer; the message says why."""


class TokenDecoder:
    """Decodes ids of one tokenizer.

    Args:
        tokenizer: cuts nothing off and pads nothing.
        texts: gives the run's texts; called once, if ever.
        trusted: whether ids that could be another tokenizer's are taken for this one's.
    """

    def __init__(self, tokenizer: Tokenizer, texts: Callable[[], Iterable[str]], trusted: bool = False) -> None:
        self._tokenizer, self._trusted = tokenizer, trusted
        whole, bare = tokenizer.encode(_PROBE).ids, tokenizer.encode(_PROBE, add_special_tokens=False).ids
        first = next((at for at in range(len(whole)) if whole[at : at + len(bare)] == bare), 0)
        self._before, self._after = whole[:first], whole[first + len(bare) :]
        self._known = LazyValue(lambda: self._find_known_ids(texts()))

    def decode(self, lists: Sequence[Sequence[int]]) -> list[str]:
        """Decode the ids of n texts to n texts; raises ForeignIdsError where they may be another tokenizer's."""
        size = self._tokenizer.get_vocab_size()
        for row, ids in enumerate(lists):
            unknown = next((each for each in ids if not 0 <= each < size), None)
            if unknown is not None:
                raise ForeignIdsError(f"input[{row}] has token id {unknown}; this model's go from 0 to {size - 1}")
        texts = [self._decode_one(row, list(ids)) for row, ids in enumerate(lists)]
        bare = [token for ids in lists if not self._has_ends(ids) for token in ids]
        if bare and not self._trusted and self._log_doubt(bare) > np.log(_DOUBT):
            raise ForeignIdsError("input has token ids that could be another tokenizer's")
        return texts

    def _decode_one(self, row: int, ids: list[int]) -> str:
        """The text that encodes to these very ids."""
        whole = self._has_ends(ids)
        inner = ids[len(self._before) : len(ids) - len(self._after)] if whole else ids
        text: str = self._tokenizer.decode(inner, skip_special_tokens=False)
        if self._tokenizer.encode(text, add_special_tokens=whole).ids != ids:
            raise ForeignIdsError(f"input[{row}] has token ids that this model's tokenizer makes of no text")
        return text

    def _has_ends(self, ids: Sequence[int]) -> bool:
        """Whether ids begin and end with the special tokens that the tokenizer puts around a text."""
        before, after, ids = self._before, self._after, list(ids)
        is_long = len(ids) >= len(before) + len(after)
        return bool(before and after and is_long) and ids[: len(before)] == before and ids[-len(after) :] == after

    def _log_doubt(self, ids: Sequence[int]) -> float:
        """How likely another tokenizer makes these ids, over how likely this one does, as a logarithm."""
        known, tokens = self._known(), np.array(ids)
        below = np.concatenate([[0], np.cumsum(known)])
        low, high = np.maximum(tokens - _NEAR, 0), np.minimum(tokens + _NEAR + 1, len(known))
        share = np.clip((below[high] - below[low]) / (high - low), 1e-4, 1 - 1e-4)
        foreign = _RETURNED * np.where(known[tokens], share, 1 - share)
        return float(np.log(foreign / np.where(known[tokens], _KNOWN, 1 - _KNOWN)).sum())

    def _find_known_ids(self, texts: Iterable[str]) -> NDArray[np.bool_]:
        """(vocabulary,) which ids the run's texts have."""
        known = np.zeros(self._tokenizer.get_vocab_size(), dtype=np.bool_)
        for encoding in self._tokenizer.encode_batch_fast(list(texts), add_special_tokens=False):
            known[encoding.ids] = True
        return known


def open_decoder(folder: Path, texts: Callable[[], Iterable[str]], trusted: bool = False) -> TokenDecoder:
    """The decoder of a model's folder; raises ForeignIdsError where its tokenizer is none that can decode."""
    files = [folder / "tokenizer.json", *sorted(folder.glob("*/tokenizer.json"))]
    file = next((file for file in files if file.is_file()), None)
    if file is None:
        raise ForeignIdsError("input has token ids, and this model's tokenizer cannot decode them")
    try:
        return TokenDecoder(load_tokenizer(file, None), texts, trusted)
    except InputError as error:
        raise ForeignIdsError(f"input has token ids, and this model's tokenizer cannot be read: {error}") from error
