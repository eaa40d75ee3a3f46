"""Training pairs from judged records: (query, relevant document) of the training split, nothing else.

The low grades stay unused by these pairs; every other document of a batch serves as a negative.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
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


def make_pairs(records: Records, rows: NDArray[np.int64]) -> Pairs:
    """The texts of the records to train on.

    Args:
        records: n judged records.
        rows: (p,) which of them are training pairs.

    Returns:
        p pairs.
    """
    return Pairs(
        anchors=tuple(records.queries[index] for index in records.query[rows]),
        positives=tuple(records.documents[index] for index in records.document[rows]),
    )
