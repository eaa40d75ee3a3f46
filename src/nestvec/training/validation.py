"""Validation while training: the surface's own measures on a part of the validation split that is quick to encode.

The figures choose between states of one training, and are lower or higher than those of the report, which ranks the
whole catalogue: here it is the documents judged for the chosen queries, filled up to a budget of tokens.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from nestvec.evaluation.metrics import Judgements
from nestvec.evaluation.ranking import Vectors, rank_dense
from nestvec.evaluation.surface import Catalogue
from nestvec.point import VectorFormat
from nestvec.training.tokens import encode_tokens

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray
    from sentence_transformers import SentenceTransformer

    from nestvec.data.records import Records
    from nestvec.data.task import Task
    from nestvec.training.examples import Texts
    from nestvec.training.tokens import Tokens

BUDGET = 25_000  # tokens of documents; three or four seconds on two cores
MEASURED = ("recall@10", "ndcg@10")


@dataclass(frozen=True)
class Validation:
    """q queries and d documents to measure a model on while it trains.

    Attributes:
        tokens: of all texts.
        queries: (q,) which of them are asked.
        documents: (d,) which of them are searched.
        catalogue: the d documents.
        judgements: who is relevant for whom.
        points: dimension and precision of each point that is measured.
        compute: number format of the forward passes.
    """

    tokens: Tokens
    queries: NDArray[np.int64]
    documents: NDArray[np.int64]
    catalogue: Catalogue
    judgements: Judgements
    points: Sequence[tuple[int, str]]
    compute: str

    def encoded(self, model: SentenceTransformer) -> Vectors:
        """(q, w) and (d, w) float32 of the queries and the documents by a model as it stands, rows of unit length."""
        queries, documents = (
            encode_tokens(model, self.tokens, rows, self.compute) for rows in (self.queries, self.documents)
        )
        return Vectors(queries, documents)

    def __call__(self, model: SentenceTransformer) -> dict[str, float]:
        """Measure a model.

        Args:
            model: as it stands.

        Returns:
            `recall@10.384.float32`, `ndcg@10.384.float32`, … per point, and the aim: `recall`, the mean of recall@10
            over the points, with its standard error over the queries, `recall_error`.
        """
        vectors = self.encoded(model)
        found: dict[str, float] = {}
        recalls = np.zeros(len(self.queries))
        for dimension, precision in self.points:
            (ranking,) = rank_dense("", vectors, self.catalogue, [VectorFormat(dimension, precision)])
            measured = self.judgements.measure(np.arange(len(self.queries)), ranking.rows)
            recalls += measured["recall@10"] / len(self.points)
            found |= {f"{name}.{dimension}.{precision}": float(measured[name].mean()) for name in MEASURED}
        error = float(recalls.std() / np.sqrt(len(recalls)))
        return {"recall": float(recalls.mean()), "recall_error": error, **found}


def clearly_better(found: Mapping[str, float], usual: Mapping[str, float]) -> bool:
    """Whether figures beat the usual choice's by more than their standard error; if not, it may be luck.

    Source: Breiman et al. 1984, section 3.4.3 (the one-standard-error rule): of states that cannot be told apart the
    one that would be taken anyway is taken, here the last state and unmixed weights.
    """
    return found["recall"] - usual["recall"] > found["recall_error"]


def make_validation(
    data: tuple[Records, Task],
    texts: tuple[Texts, Tokens],
    points: Sequence[tuple[int, str]],
    compute: str,
    seed: int,
    budget: int | None = None,
) -> Validation | None:
    """Choose what to validate on.

    Queries of the validation split come in a seeded order, each with the documents judged for it, until half of the
    budget is spent; the other half is filled with other documents, as many as fit.

    Args:
        data: the judged records and their split.
        texts: of the records, and their tokens.
        points: dimension and precision of each point to measure, the full width in float32 first.
        compute: number format of the forward passes.
        seed: decides the draw.
        budget: tokens of documents; None takes the usual number.

    Returns:
        What to measure on; None where the protocol has no validation split.
    """
    (records, task), (wording, tokens) = data, texts
    rng, budget = np.random.default_rng(seed), budget or BUDGET
    topics = rng.permutation(np.flatnonzero(task.splits == "validation"))
    if not len(topics):
        return None
    number = len(wording.queries) + wording.number[task.catalogue]
    length = tokens.lengths[number]
    spent = np.bincount(task.topic, length[task.document])[topics].cumsum()
    topics = np.sort(topics[: max(1, int(np.searchsorted(spent, budget / 2)))])
    chosen = np.isin(task.topic, topics)
    documents = np.unique(task.document[chosen])
    others = rng.permutation(np.setdiff1d(np.arange(len(task.catalogue)), documents))
    room = budget - length[documents].sum()
    documents = np.sort(np.concatenate([documents, others[np.cumsum(length[others]) <= room]]))
    judgements = Judgements(
        np.searchsorted(topics, task.topic[chosen]),
        np.searchsorted(documents, task.document[chosen]),
        task.gain[chosen],
        (len(topics), len(documents)),
        task.relevant_from,
    )
    rows = task.catalogue[documents].tolist()
    catalogue = Catalogue([records.document_ids[row] for row in rows], [records.documents[row] for row in rows])
    place = {text: row for row, text in enumerate(wording.queries)}
    asked = np.array([place[task.texts[row]] for row in topics])
    return Validation(tokens, asked, number[documents], catalogue, judgements, tuple(points), compute)
