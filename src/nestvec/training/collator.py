"""Make batches from training rows: forward passes over texts of similar length, and labels that pair them.

A batch holds the same texts as with sentence-transformers' own collator. Only their grouping into forward passes
differs, so vectors and loss are the same up to rounding.
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
    """The trainer's collator: makes a batch's model inputs (features) and labels from training rows (`Examples`).

    Each forward pass has its own features: `pass0_input_ids`, `pass0_attention_mask`, `pass1_…`, and a `prompt_length`
    if pooling leaves out the prompt of its texts. The label is a dict of tensors: `order`, (b + m,), the positions of
    the b queries and then the m documents among the vectors of all passes; `query`, (b,), and `document`, (m,), their
    numbers.

    Attributes:
        examples: the training rows.
        tokens: tokens of the `Texts`: queries, then documents.
        valid_label_columns: columns that the sampler must not take for texts.
    """

    examples: Examples
    tokens: Tokens
    valid_label_columns: Sequence[str] = ("row",)

    def __call__(self, rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
        """Make the model inputs and the label of a batch; `row` holds each training row's number in the examples.

        A document of several rows is taken once, unless every row has exactly one document.
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
    """Make the columns of the trainer's data set: each row's number, and the numbers that a batch may hold only once.

    The library's sampler for in-batch negatives compares the values of all columns except `row`: a batch holds no query
    twice and, if rows have one document each, no document twice. Queries and documents have different numbers.
    """
    columns = {"row": list(range(len(examples))), "query": examples.query.tolist()}
    if examples.single:
        columns["document"] = [examples.queries + row[0] for row in examples.members]
    return columns
