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
from nestvec.training.token_passes import encode_tokens

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray
    from sentence_transformers import SentenceTransformer

    from nestvec.data.task import Task
    from nestvec.evaluation.ranking import Vectors
    from nestvec.point import VectorFormat
    from nestvec.training.examples import TrainingData
    from nestvec.training.token_passes import Tokens

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
        formats: dimension and precision of each point that is measured.
        compute: number format of the forward passes.
    """

    tokens: Tokens
    queries: NDArray[np.int64]
    documents: NDArray[np.int64]
    catalogue: Catalogue
    judgements: Judgements
    formats: Sequence[VectorFormat]
    compute: str

    def encode_sides(self, model: SentenceTransformer) -> Vectors:
        """(q, w) and (d, w) float32 of the queries and the documents by a model as it stands, rows of unit length."""
        queries, documents = (
            encode_tokens(model, self.tokens, rows, self.compute) for rows in (self.queries, self.documents)
        )
        return Vectors(queries, documents)

    def __call__(self, model: SentenceTransformer) -> dict[str, float]:
        """Measure a model as it stands: `recall@10.384.float32`, `ndcg@10.384.float32`, … per point, and the aim.

        That is `recall`, the mean of recall@10 over the points, with its standard error over the queries,
        `recall_error`.
        """
        vectors = self.encode_sides(model)
        figures: dict[str, float] = {}
        recalls = np.zeros(len(self.queries))
        for stored in self.formats:
            (ranking,) = rank_dense("", vectors, self.catalogue, [stored])
            measured = self.judgements.measure(np.arange(len(self.queries)), ranking.rows)
            recalls += measured["recall@10"] / len(self.formats)
            figures |= {f"{name}.{stored.name}": float(measured[name].mean()) for name in MEASURED}
        error = float(recalls.std() / np.sqrt(len(recalls)))
        return {"recall": float(recalls.mean()), "recall_error": error, **figures}


def clearly_better(figures: Mapping[str, float], usual: Mapping[str, float]) -> bool:
    """Whether figures beat the usual choice's by more than their standard error; if not, it may be luck.

    Source: Breiman et al. 1984, section 3.4.3 (the one-standard-error rule): of states that cannot be told apart the
    one that would be taken anyway is taken, here the last state and unmixed weights.
    """
    return figures["recall"] - usual["recall"] > figures["recall_error"]


def make_validation(
    data: TrainingData,
    tokens: Tokens,
    formats: Sequence[VectorFormat],
    compute: str,
    seed: int,
    budget: int | None = None,
) -> Validation | None:
    """Choose what to validate on.

    Queries of the validation split come in a seeded order, each with the documents judged for it, until half of the
    budget (tokens of documents, `BUDGET` unless given) is spent; the other half is filled with other documents, as
    many as fit. The result is None where the protocol has no validation split.
    """
    records, task, texts = data.records, data.task, data.texts
    rng, budget = np.random.default_rng(seed), budget or BUDGET
    topics = rng.permutation(np.flatnonzero(task.splits == "validation"))
    if not len(topics):
        return None
    number = len(texts.queries) + texts.number[task.catalogue]
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
    ids, document_texts = [records.document_ids[row] for row in rows], [records.documents[row] for row in rows]
    catalogue = Catalogue(ids, document_texts, _find_own(task, topics, documents))
    query_number = {text: number for number, text in enumerate(texts.queries)}
    queries = np.array([query_number[task.texts[row]] for row in topics])
    return Validation(tokens, queries, number[documents], catalogue, judgements, tuple(formats), compute)


def _find_own(task: Task, topics: NDArray[np.int64], documents: NDArray[np.int64]) -> NDArray[np.int64] | None:
    """(q,) which of the (d,) documents, ascending, each of the (q,) topics itself is; -1 for none."""
    if task.own is None:
        return None
    own = task.own[topics]
    rows = np.searchsorted(documents, own)
    known = documents[np.minimum(rows, len(documents) - 1)] == own
    return np.where(known, rows, -1)
