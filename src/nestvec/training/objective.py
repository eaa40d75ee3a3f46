"""The training objective: one criterion, nested over prefixes of the vector and over the codes it is stored as.

Kusupati et al. 2022 (eq. 1) sum a loss over prefixes. A vector also shrinks by the bits of its numbers, and the sum
here runs over pairs of a dimension and a precision: under a code of few bits the documents pass through the very codec
that the surface measures, and the gradient passes straight through it (Bengio et al. 2013); queries stay as they are.
"""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from nestvec.models.attention import is_plain_faster, use_plain_attention
from nestvec.point import FULL
from nestvec.training.dropout import has_dropout
from nestvec.training.losses import SCALE, gather_documents
from nestvec.vectors.codecs import CODECS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sentence_transformers import SentenceTransformer

    from nestvec.point import VectorFormat
    from nestvec.training.losses import Criterion


@dataclass(frozen=True)
class Term:
    """One summand of the objective.

    Attributes:
        format: width of the prefix, and the precision whose codec the documents pass through.
        weight: its factor.
    """

    format: VectorFormat
    weight: float = 1.0


class Objective(nn.Module):
    """Sum of a criterion over terms, as the trainer calls it: features of forward passes, and a label.

    Args:
        model: what trains; the trainer puts its wrapped form here.
        criterion: loss of a batch's vectors.
        terms: where to take it, the full width first.
        distil: weight of the divergence of each prefix's similarities from those of the full width.
        cast_once: whether the model multiplies in bfloat16; its weights are then cast once for all passes of a batch.
        gathers: whether the documents of all processes are gathered first, each once; the library's losses see to it
            themselves.
    """

    def __init__(
        self,
        model: SentenceTransformer,
        criterion: Criterion,
        terms: Sequence[Term],
        distil: float = 0.0,
        *,
        cast_once: bool = False,
        gathers: bool = False,
    ) -> None:
        super().__init__()
        self.model = model
        # in lists, so that the trainer does not take them for modules of ours
        transformer: Any = model[0] if model is not None else None
        self.unwrapped = [model]
        self.width = getattr(model, "truncate_dim", None)  # None: all that the modules give
        self.embeddings = [transformer.auto_model.get_input_embeddings()] if transformer is not None else []
        self.dropout = model is not None and has_dropout(model)
        self.criterion = criterion
        self.terms = tuple(terms)
        self.distil = distil
        self.cast_once = cast_once
        self.gathers = gathers

    def forward(self, features: Sequence[dict[str, Tensor]], label: dict[str, Tensor]) -> Tensor:
        """The loss of one batch; `features` and `label` as `training.collator.Collator` makes them."""
        with torch.autocast(label["order"].device.type, torch.bfloat16, enabled=self.cast_once):
            passes = self.encode_passes(features)
        vectors = torch.cat(passes)[label["order"]]
        count = len(label["query"])
        return self.vector_loss(vectors[:count], vectors[count:], label)

    def encode_passes(self, features: Sequence[dict[str, Tensor]]) -> list[Tensor]:
        """(texts, w) vectors of each forward pass at full width, as they are learnt from."""
        parts = self._look_up_tokens(features)
        return [self._encode_pass(part)["sentence_embedding"].float()[:, : self.width] for part in parts]

    def _encode_pass(self, features: dict[str, Tensor]) -> dict[str, Tensor]:
        """What the model gives for one pass, by the attention that is faster for its texts."""
        mask = features["attention_mask"]
        plain = is_plain_faster(mask.shape[1], mask.device.type, bfloat16=self.cast_once, dropout=self.dropout)
        with use_plain_attention(self.unwrapped[0]) if plain else contextlib.nullcontext():
            encoded: dict[str, Tensor] = self.model(features)
        return encoded

    def _look_up_tokens(self, features: Sequence[dict[str, Tensor]]) -> list[dict[str, Tensor]]:
        """The passes with their tokens' vectors looked up, once for all of them.

        A lookup's gradient is as large as the vocabulary; one a pass would cost more than a short pass itself.
        """
        looked_up = self.embeddings[0](torch.cat([part["input_ids"].flatten() for part in features]))
        sizes = [part["input_ids"].shape for part in features]
        others = [{name: tensor for name, tensor in part.items() if name != "input_ids"} for part in features]
        parts = looked_up.split([size.numel() for size in sizes])
        return [
            {**given, "inputs_embeds": part.view(*size, -1)}
            for part, size, given in zip(parts, sizes, others, strict=True)
        ]

    def vector_loss(self, queries: Tensor, documents: Tensor, label: dict[str, Tensor]) -> Tensor:
        """The loss of (b, w) query and (m, w) document vectors at full width."""
        if self.gathers:
            documents, number = gather_documents(documents, label["document"])
            label = {**label, "document": number}
        loss = queries.new_zeros(())
        for term in self.terms:
            short_queries, short_documents = _cut_prefixes(queries, documents, term.format.dimension)
            decoded = pass_through_codec(short_documents, term.format.precision)
            loss = loss + term.weight * self.criterion(short_queries, decoded, label)
        widths = dict.fromkeys(term.format.dimension for term in self.terms)
        for width in widths if self.distil else ():  # once a prefix, however many codes it has
            if width < queries.shape[1]:
                short_queries, short_documents = _cut_prefixes(queries, documents, width)
                loss = loss + self.distil * _divergence(short_queries @ short_documents.T, queries, documents)
        return loss


def pass_through_codec(documents: Tensor, precision: str) -> Tensor:
    """(m, d) documents as a codec fitted on them gives them back; the gradient passes as if there had been none."""
    if precision == FULL:
        return documents
    vectors = documents.detach().cpu().numpy()
    codec = CODECS[precision](vectors)
    decoded = torch.from_numpy(codec.decode(codec.encode(vectors))).to(documents.device)
    return documents + (decoded - documents).detach()


def _cut_prefixes(queries: Tensor, documents: Tensor, dimension: int) -> tuple[Tensor, Tensor]:
    """The first numbers of each vector, scaled to unit length again."""
    return functional.normalize(queries[:, :dimension], dim=1), functional.normalize(documents[:, :dimension], dim=1)


def _divergence(similarities: Tensor, queries: Tensor, documents: Tensor) -> Tensor:
    """Cross-entropy of a prefix's softmax over the documents from that of the full width, which stays as it is."""
    with torch.no_grad():
        full_queries, full_documents = _cut_prefixes(queries, documents, queries.shape[1])
        targets = functional.softmax(SCALE * full_queries @ full_documents.T, dim=1)
    return functional.cross_entropy(SCALE * similarities, targets)
