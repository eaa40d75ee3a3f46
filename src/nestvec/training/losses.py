"""The losses of a training batch: losses of sentence-transformers, and nestvec's own loss `graded`.

A criterion is a function that takes (b, d) vectors of b queries and (m, d) vectors of m documents, all of unit length,
and the batch's label, and returns the loss. `training.objective` sums a criterion over dimensions and precisions.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor
from torch import distributed as torch_distributed
from torch.nn import functional

from nestvec import distributed
from nestvec.evaluation.metrics import UNJUDGED
from nestvec.training.examples import clearly_not, worth_finding

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

    from nestvec.training.examples import Examples

Criterion = Callable[[Tensor, Tensor, dict[str, Tensor]], Tensor]

SCALE = 20.0  # factor of a cosine before the softmax, the default of sentence-transformers
_NONE = -1  # fills the places where a process has fewer documents than another


def ranking_loss(model: SentenceTransformer, examples: Examples, scale: float = SCALE) -> Criterion:
    """Multiple-negatives ranking loss: cross-entropy with the batch's other documents as negatives.

    Source: Henderson et al. 2017, section 4.4. With several processes, the documents of all processes are gathered.
    """
    del examples
    return _rank_in_batch(model, scale)


def symmetric_ranking_loss(model: SentenceTransformer, examples: Examples, scale: float = SCALE) -> Criterion:
    """Multiple-negatives ranking loss in both directions: the mean of query to documents and document to queries.

    Source: Radford et al. 2021, section 2.3. With several processes, all their queries and documents are gathered.
    """
    del examples
    return _rank_in_batch(model, scale, directions=("query_to_doc", "doc_to_query"), partition_mode="per_direction")


def _rank_in_batch(model: SentenceTransformer, scale: float, **ways: Any) -> Criterion:  # noqa: ANN401 - the library's
    """Make sentence-transformers' multiple-negatives ranking loss; with several processes, over all their batches."""
    from sentence_transformers.sentence_transformer.losses import MultipleNegativesRankingLoss

    gathers = distributed.world_size() > 1
    loss = MultipleNegativesRankingLoss(model, scale=scale, gather_across_devices=gathers, **ways)
    return lambda queries, documents, label: loss.compute_loss_from_embeddings([queries, documents], label["query"])


def cosine_loss(model: SentenceTransformer, examples: Examples, scale: float = SCALE) -> Criterion:
    """Squared difference between the cosine of each pair and its grade, scaled to 0 … 1 (Reimers & Gurevych 2019)."""
    from sentence_transformers.sentence_transformer.losses import CosineSimilarityLoss

    del scale  # this loss has no scale
    loss = CosineSimilarityLoss(model)
    return lambda queries, documents, label: loss.compute_loss_from_embeddings(
        [queries, documents], _scaled_grades(examples, label)
    )


def cosent_loss(model: SentenceTransformer, examples: Examples, scale: float = SCALE) -> Criterion:
    """CoSENT: in a batch, pairs with a higher grade should have a higher cosine (Huang et al. 2024)."""
    from sentence_transformers.sentence_transformer.losses import CoSENTLoss

    loss = CoSENTLoss(model, scale=scale)

    def criterion(queries: Tensor, documents: Tensor, label: dict[str, Tensor]) -> Tensor:
        grades = _scaled_grades(examples, label)
        if distributed.world_size() == 1:
            return loss.compute_loss_from_embeddings([queries, documents], grades)
        from sentence_transformers.util import all_gather, all_gather_with_grad

        sides = [all_gather_with_grad(side) for side in (queries, documents)]
        return loss.compute_loss_from_embeddings(sides, all_gather(grades))

    return criterion


def graded_loss(model: SentenceTransformer, examples: Examples, scale: float = SCALE) -> Criterion:
    """Listwise cross-entropy of each query over all documents of the batch, with grades as targets.

    A document that was judged worth finding for a query is one of the query's targets, in proportion to its gain. A
    document that was judged clearly not relevant, or was not judged, is a negative. A document whose gain lies between
    these two is left out for this query.
    """
    del model
    known = examples.judgements

    def criterion(queries: Tensor, documents: Tensor, label: dict[str, Tensor]) -> Tensor:
        query, document = (label[name].cpu().numpy() for name in ("query", "document"))
        gains = known.gains(query, np.broadcast_to(document, (len(query), len(document))))
        good = worth_finding(gains, known.relevant_from)
        neither = (gains > UNJUDGED) & ~good & ~clearly_not(gains, known.relevant_from)
        targets = np.where(good, gains, 0).astype(np.float32)
        target, left_out = (torch.from_numpy(values).to(queries.device) for values in (targets, neither))
        return listwise_loss(queries, documents, target, left_out, scale)

    return criterion


def listwise_loss(
    queries: Tensor, documents: Tensor, targets: Tensor, left_out: Tensor, scale: float = SCALE
) -> Tensor:
    """Cross-entropy between each query's targets and the softmax of the query's similarities to the batch's documents.

    With one target per query and no document left out, this is the multiple-negatives ranking loss. Source: Cao et al.
    2007, section 4.2, with all probability on the documents worth finding.

    Args:
        queries: (b, d) vectors of the b queries, of unit length.
        documents: (m, d) vectors of the m documents, of unit length.
        targets: (b, m) weights of 0 or more; those of each query are scaled to sum to 1.
        left_out: (b, m) whether a document is left out of a query's softmax.
        scale: factor of a similarity before the softmax.

    Returns:
        The mean over the queries with a target; 0 if there is none.
    """
    targets = targets.to(queries.dtype).masked_fill(left_out, 0)
    chances = functional.log_softmax((scale * queries @ documents.T).masked_fill(left_out, -torch.inf), dim=1)
    mass = targets.sum(dim=1)
    has_target = mass > 0
    lost = -(chances.masked_fill(targets == 0, 0) * targets).sum(dim=1) / mass.where(has_target, torch.ones_like(mass))
    return lost.sum() / has_target.sum().clamp(min=1)


def _scaled_grades(examples: Examples, label: dict[str, Tensor]) -> Tensor:
    """Compute the grade of each row's document for its query, scaled so that the data's grades span 0 … 1."""
    query, document = (label[name].cpu().numpy() for name in ("query", "document"))
    gains = examples.judgements.gains(query, document[:, None])[:, 0]
    return torch.from_numpy((gains / examples.highest).astype(np.float32)).to(label["query"].device)


def gather_documents(documents: Tensor, number: Tensor) -> tuple[Tensor, Tensor]:
    """Gather the vectors of the documents of all processes, each document once, with gradients and numbers."""
    if distributed.world_size() > 1:
        from sentence_transformers.util import all_gather_with_grad

        most = torch.tensor(len(number), device=number.device)
        torch_distributed.all_reduce(most, op=torch_distributed.ReduceOp.MAX)
        missing = int(most) - len(number)  # a process may have fewer, and gathering wants as many from each
        numbers = [number.new_empty(int(most)) for _ in range(distributed.world_size())]
        torch_distributed.all_gather(numbers, functional.pad(number, (0, missing), value=_NONE))
        documents, number = all_gather_with_grad(functional.pad(documents, (0, 0, 0, missing))), torch.cat(numbers)
    distinct, first = np.unique(number.cpu().numpy(), return_index=True)
    rows = torch.from_numpy(np.sort(first[distinct != _NONE])).to(number.device)
    return documents[rows], number[rows]
