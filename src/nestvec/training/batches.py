"""From rows to what the trainer feeds a model: forward passes over texts of similar length, and who belongs to whom.

The texts of a batch are those that the library's own collator would take; only their grouping into forward passes
differs, so the vectors and the loss are the same up to rounding.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from nestvec.training.tokens import passes

if TYPE_CHECKING:
    from collections.abc import Sequence

    from nestvec.training.examples import Examples
    from nestvec.training.tokens import Tokens


@dataclass
class Collator:
    """The trainer's collator: rows of `Examples` in, features and labels out.

    Features are one column per forward pass: `pass0_input_ids`, `pass0_attention_mask`, `pass1_…`. The label is a dict
    of tensors: `order`, (b + m,) where each of the b queries and then the m documents is found among the passes'
    vectors; `query`, (b,), and `document`, (m,), their numbers.

    Attributes:
        examples: what the rows mean.
        tokens: of the `Texts`: queries, then documents.
        queries: how many queries there are.
        valid_label_columns: what the sampler must not take for a text.
    """

    examples: Examples
    tokens: Tokens
    queries: int
    valid_label_columns: Sequence[str] = ("row",)

    def __call__(self, rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
        """Features and labels of a batch; a row's `row` is its place in the examples.

        A batch takes each document once, in the order of the rows; where rows have one document each, one a row.
        """
        chosen = [int(row["row"]) for row in rows]
        query = self.examples.query[chosen]
        members = [document for row in chosen for document in self.examples.members[row]]
        document = np.array(members if len(members) == len(rows) else list(dict.fromkeys(members)), dtype=np.int64)
        texts = np.concatenate([query, self.queries + document])
        groups = passes(self.tokens.lengths[texts])
        batch: dict[str, Any] = {
            f"pass{number}_{name}": tensor
            for number, group in enumerate(groups)
            for name, tensor in self.tokens.padded(texts[group]).items()
        }
        label = {"order": np.argsort(np.concatenate(groups)), "query": query, "document": document}
        batch["label"] = {name: torch.from_numpy(values) for name, values in label.items()}
        return batch


def columns(examples: Examples, queries: int) -> dict[str, list[int]]:
    """The trainer's data set: each row's number, and what must not come twice in a batch.

    The library's sampler for in-batch negatives compares the values of all columns but `row`: a batch holds no query
    twice and, where rows have one document, no document twice.

    Args:
        examples: r rows.
        queries: how many queries there are.

    Returns:
        Columns of r whole numbers; no number stands for both a query and a document.
    """
    found = {"row": list(range(len(examples))), "query": examples.query.tolist()}
    if examples.single:
        found["document"] = [queries + row[0] for row in examples.members]
    return found
