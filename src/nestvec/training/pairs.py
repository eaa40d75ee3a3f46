"""Training pairs from judged records: (query, relevant document) of the training split, nothing else.

The low grades stay unused by these pairs; every other document of a batch serves as a negative.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from nestvec.errors import InputError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from nestvec.data.records import Records


@dataclass(frozen=True)
class Pairs:
    """Training pairs, in the records' order.

    Attributes:
        anchors: n query texts.
        positives: n document texts, each relevant for its anchor.
    """

    anchors: tuple[str, ...]
    positives: tuple[str, ...]

    def __len__(self) -> int:
        """How many pairs there are."""
        return len(self.anchors)


def make_pairs(records: Records, labels: NDArray[np.str_], relevant: NDArray[np.bool_]) -> Pairs:
    """Pairs of the records that are labelled `train` and relevant.

    Args:
        records: n judged records.
        labels: (n,) the split's label of each record.
        relevant: (n,) whether the record's grade reaches the threshold.

    Returns:
        At least one pair.

    Raises:
        InputError: no such record.
    """
    rows = np.flatnonzero((labels == "train") & relevant)
    if len(rows) == 0:
        raise InputError("the training split holds no relevant record", "at least one pair to train on")
    return Pairs(
        anchors=tuple(records.queries[index] for index in records.query[rows]),
        positives=tuple(records.documents[index] for index in records.document[rows]),
    )
