"""Tokenises texts once, and splits batches into forward passes with little padding.

A batch of short and long texts costs as much as a batch of long texts, because all texts are padded to the longest.
If the batch is split by length into several passes, the vectors stay the same and fewer tokens are computed.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from nestvec.models.device_copies import fetch_behind, send_inputs
from nestvec.models.prompts import DOCUMENT, QUERY, count_excluded_tokens, model_prompts

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray
    from sentence_transformers import SentenceTransformer
    from torch import Tensor

    from nestvec.models.device_copies import Computed
    from nestvec.models.prompts import Role

_AT_ONCE = 1024  # texts tokenised together
_ENCODED = 64  # texts encoded together
_OVERHEAD = 48  # cost of one more forward pass, in tokens; measured on two cores, where 32 to 96 are equally good


@dataclass(frozen=True)
class Tokens:
    """The token ids of n texts in one array, one text after the other.

    Attributes:
        ids: (t,) int32 token ids of all texts, with special tokens.
        starts: (n + 1,) index of each text's first token in `ids`, and the total t at the end.
        padding: the id of the padding token.
        excluded: (n,) number of prompt tokens that pooling leaves out at the beginning of each text; mostly 0.
    """

    ids: NDArray[np.int32]
    starts: NDArray[np.int64]
    padding: int
    excluded: NDArray[np.int64]

    @cached_property
    def lengths(self) -> NDArray[np.int64]:
        """Number of tokens of each text."""
        return np.diff(self.starts)

    def pad_batch(self, rows: NDArray[np.int64]) -> dict[str, Tensor]:
        """Make a padded batch of the r texts at `rows`: input_ids and attention_mask, each (r, most tokens of a text).

        If pooling leaves out the prompt, which must have the same length in all these texts, `prompt_length`, (1,), is
        added.
        """
        import torch

        lengths = self.lengths[rows]
        columns = np.arange(lengths.max(initial=0))
        inside = columns < lengths[:, None]
        ids = np.full(inside.shape, self.padding, dtype=np.int64)
        ids[inside] = self.ids[(self.starts[rows][:, None] + columns)[inside]]
        features = {"input_ids": torch.from_numpy(ids), "attention_mask": torch.from_numpy(inside.astype(np.int64))}
        if len(rows) and self.excluded[rows[0]]:
            features["prompt_length"] = torch.from_numpy(self.excluded[rows[:1]])
        return features

    def plan_passes(self, rows: NDArray[np.int64]) -> list[NDArray[np.int64]]:
        """Split the texts at `rows` into forward passes with little padding; a pass is an array of indices into `rows`.

        If pooling leaves out prompts, only texts with prompts of the same length share a pass.
        """
        kinds = [np.flatnonzero(self.excluded[rows] == length) for length in np.unique(self.excluded[rows])]
        return [kind[part] for kind in kinds for part in plan_passes(self.lengths[rows[kind]])]


def tokenise_texts(model: SentenceTransformer, queries: Sequence[str], documents: Sequence[str]) -> Tokens:
    """Tokenise queries, then documents, in the same way as the model's `encode_query` and `encode_document`.

    The model's prompts are added, and texts are cut to the model's length limit.
    """
    sides: tuple[tuple[Role, Sequence[str]], ...] = ((QUERY, queries), (DOCUMENT, documents))
    parts = [part for role, texts in sides for part in _tokenise_role(model, role, texts)]
    lengths = np.concatenate([np.zeros(1, dtype=np.int64), *(lengths for _, lengths in parts)])
    ids = np.concatenate([np.empty(0, dtype=np.int32), *(ids for ids, _ in parts)])
    excluded = [np.full(len(texts), count_excluded_tokens(model, role), dtype=np.int64) for role, texts in sides]
    padding = getattr(model.tokenizer, "pad_token_id", None) or 0
    return Tokens(ids, np.cumsum(lengths), padding, np.concatenate(excluded))


def _tokenise_role(
    model: SentenceTransformer, role: Role, texts: Sequence[str]
) -> Iterator[tuple[NDArray[np.int32], NDArray[np.int64]]]:
    """Tokenise queries or documents in chunks; yields each chunk's joined token ids and its texts' lengths."""
    prompt = model_prompts(model).of(role) or None
    for first in range(0, len(texts), _AT_ONCE):
        features = model.preprocess(list(texts[first : first + _AT_ONCE]), prompt=prompt, task=role)
        inside = features["attention_mask"].numpy().astype(bool)
        yield features["input_ids"].numpy()[inside].astype(np.int32), inside.sum(axis=1)


def plan_passes(lengths: NDArray[np.int64], overhead: int = _OVERHEAD) -> list[NDArray[np.int64]]:
    """Split texts into forward passes so that the padded tokens, plus an overhead for each pass, cost least.

    The texts are sorted by length, and each pass takes successive texts. Dynamic programming finds the best split: the
    cost of the first j texts is the minimum over i < j of cost(i) + overhead + (j - i) x length(j). `lengths`, (n,),
    and `overhead` are in tokens. Returns the indices of each pass's texts, shortest texts first; each text is in one
    pass.
    """
    order = np.argsort(lengths, kind="stable")
    ordered = lengths[order]
    cost = np.zeros(len(order) + 1)
    cut = np.zeros(len(order) + 1, dtype=np.int64)
    for end in range(1, len(order) + 1):
        costs = cost[:end] + overhead + np.arange(end, 0, -1) * ordered[end - 1]
        cut[end] = costs.argmin()
        cost[end] = costs[cut[end]]
    passes, end = [], len(order)
    while end:
        passes.append(order[cut[end] : end])
        end = int(cut[end])
    return passes[::-1]


def encode_tokens(
    model: SentenceTransformer, tokens: Tokens, rows: NDArray[np.int64], compute: str
) -> NDArray[np.float32]:
    """Encode n tokenised texts as (n, d) float32 vectors of unit length; restores the model's train or eval mode.

    Vectors are shortened to the model's `truncate_dim`, the same as by its `encode`. These vectors serve choices during
    training; the figures of a report come from `pipeline.surface_encoder`.
    """
    import torch
    from torch.nn import functional

    order = np.lexsort((tokens.lengths[rows], tokens.excluded[rows]))
    parts = [np.empty((0, model.get_embedding_dimension() or 0), dtype=np.float32)]
    training, device = model.training, model.device

    def compute_parts() -> Iterator[Computed]:
        for part in _cut_order(order, tokens.excluded[rows]):
            features = send_inputs(tokens.pad_batch(rows[part]), device)
            output = model(features)["sentence_embedding"][:, : model.truncate_dim].float()
            yield part, tokens.lengths[rows[part]], functional.normalize(output, dim=1)

    model.eval()
    with torch.inference_mode(), torch.autocast(device.type, torch.bfloat16, enabled=compute == "bfloat16"):
        parts += [vectors for _, _, vectors in fetch_behind(compute_parts())]
    model.train(training)
    return np.concatenate(parts[1:] or parts)[np.argsort(order)]


def _cut_order(order: NDArray[np.int64], excluded: NDArray[np.int64]) -> Iterator[NDArray[np.int64]]:
    """Split texts, in order, into batches of at most `_ENCODED` texts whose excluded prompts are equally long."""
    for length in np.unique(excluded):
        rows = order[excluded[order] == length]
        yield from (rows[first : first + _ENCODED] for first in range(0, len(rows), _ENCODED))
