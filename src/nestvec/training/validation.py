"""Validation during training: recall@10 and nDCG@10 on a small part of the validation split.

These metrics only serve to choose between states of one training. They differ from those of the report, which ranks
all documents: here only the documents judged for the chosen queries are ranked, with more documents up to a budget of
tokens.
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
    """The q queries and d documents on which a model is measured while it trains.

    Attributes:
        tokens: the token ids of all texts.
        queries: (q,) indices of the queries among these texts.
        documents: (d,) indices of the documents among these texts.
        catalogue: the d documents to search.
        judgements: which documents are relevant for which queries.
        formats: the dimensions and precisions at which the model is measured.
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
        """Encode the queries, (q, w), and documents, (d, w), at full width w as float32 vectors of unit length."""
        queries, documents = (
            encode_tokens(model, self.tokens, rows, self.compute) for rows in (self.queries, self.documents)
        )
        return Vectors(queries, documents)

    def __call__(self, model: SentenceTransformer) -> dict[str, float]:
        """Measure the model's present weights: `recall@10.384.float32`, `ndcg@10.384.float32`, … by vector format.

        The result also has `recall`, the mean of recall@10 over the vector formats, by which states of the training are
        compared, and `recall_error`, the standard error of `recall` over the queries.
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
    """Whether validation figures beat those of the usual choice by more than one standard error.

    A smaller gain may be chance. Source: Breiman et al. 1984, section 3.4.3 (the one-standard-error rule). The usual
    choice is, for example, the last step or the weights that were not mixed.
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
    """Choose the queries and documents for validation during training.

    Queries of the validation split are taken in random order, each with its judged documents, until these documents use
    half of the budget (in tokens; `BUDGET` by default). Other documents fill the second half. Returns None if the
    protocol has no validation split.
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
    """Find, for queries that are documents themselves, the document's position among the ascending documents, or -1."""
    if task.own is None:
        return None
    own = task.own[topics]
    rows = np.searchsorted(documents, own)
    known = documents[np.minimum(rows, len(documents) - 1)] == own
    return np.where(known, rows, -1)
