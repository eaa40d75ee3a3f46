"""From rows to what the trainer feeds a model: forward passes over texts of similar length, and who belongs to whom.

The texts of a batch are those that the library's own collator would take; only their grouping into forward passes
differs, so the vectors and the loss are the same up to rounding.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

if TYPE_CHECKING:
    from collections.abc import Sequence

    from nestvec.training.examples import Examples
    from nestvec.training.token_passes import Tokens


@dataclass
class Collator:
    """The trainer's collator: rows of `Examples` in, features and labels out.

    Features are one column per forward pass: `pass0_input_ids`, `pass0_attention_mask`, `pass1_…`, each with a
    `prompt_length` where pooling leaves out its texts' prompt. The label is a dict
    of tensors: `order`, (b + m,) where each of the b queries and then the m documents is found among the passes'
    vectors; `query`, (b,), and `document`, (m,), their numbers.

    Attributes:
        examples: what the rows mean.
        tokens: of the `Texts`: queries, then documents.
        valid_label_columns: what the sampler must not take for a text.
    """

    examples: Examples
    tokens: Tokens
    valid_label_columns: Sequence[str] = ("row",)

    def __call__(self, rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
        """Features and labels of a batch; a row's `row` is its number in the examples.

        A batch takes each document once, in the order of the rows; where rows have one document each, one a row.
        """
        numbers = [int(row["row"]) for row in rows]
        query = self.examples.query[numbers]
        members = [document for number in numbers for document in self.examples.members[number]]
        document = np.array(members if len(members) == len(rows) else list(dict.fromkeys(members)), dtype=np.int64)
        texts = np.concatenate([query, self.examples.queries + document])
        groups = self.tokens.plan_passes(texts)
        batch: dict[str, Any] = {
            f"pass{number}_{name}": tensor
            for number, group in enumerate(groups)
            for name, tensor in self.tokens.pad_batch(texts[group]).items()
        }
        label = {"order": np.argsort(np.concatenate(groups)), "query": query, "document": document}
        batch["label"] = {name: torch.from_numpy(values) for name, values in label.items()}
        return batch


def sampler_columns(examples: Examples) -> dict[str, list[int]]:
    """The trainer's data set: each row's number, and what must not come twice in a batch.

    The library's sampler for in-batch negatives compares the values of all columns but `row`: a batch holds no query
    twice and, where rows have one document, no document twice. No number stands for both a query and a document.
    """
    columns = {"row": list(range(len(examples))), "query": examples.query.tolist()}
    if examples.single:
        columns["document"] = [examples.queries + row[0] for row in examples.members]
    return columns
