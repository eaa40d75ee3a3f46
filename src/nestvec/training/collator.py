"""Makes batches from training rows: the token ids of each forward pass, and which query goes with which document.

A batch holds the same texts as with sentence-transformers' own collator. The texts are only divided differently into
forward passes, by length, so vectors and loss are the same up to rounding.
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
    """The trainer's collator: makes a batch's model inputs (features) and its label from training rows (`Examples`).

    Each forward pass has its own features: `pass0_input_ids`, `pass0_attention_mask`, `pass1_…`, and a `prompt_length`
    if pooling leaves out the prompt of its texts. The label describes the batch's b queries and m documents by three
    tensors: `order`, (b + m,), says where the queries' and then the documents' vectors are among those of all passes;
    `query`, (b,), and `document`, (m,), hold the numbers of the texts.

    Attributes:
        examples: the training rows.
        tokens: the token ids of all queries, then of all documents.
        valid_label_columns: columns of the data set that the trainer's sampler must not take for texts.
    """

    examples: Examples
    tokens: Tokens
    valid_label_columns: Sequence[str] = ("row",)

    def __call__(self, rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
        """Make the model inputs and the label of a batch; `row` holds each training row's number in the examples.

        A document that several training rows share is encoded once, unless every training row has exactly one document.
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
    """Make the columns of the trainer's data set: each row's number, its query's number, and perhaps its document's.

    The library's sampler for in-batch negatives compares the values of all columns except `row`: a batch holds no query
    twice and, if every row has exactly one document, no document twice. Queries and documents have different numbers.
    """
    columns = {"row": list(range(len(examples))), "query": examples.query.tolist()}
    if examples.single:
        columns["document"] = [examples.queries + row[0] for row in examples.members]
    return columns
