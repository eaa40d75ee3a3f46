"""The training objective: a loss summed over prefixes of the vectors, and over the precisions of quantised vectors.

Kusupati et al. 2022 (eq. 1) sum a loss over prefixes. Here the sum runs over pairs of a dimension and a precision. For
a precision below float32 the documents pass through the codec that the surface measures, and the gradient passes
through unchanged (straight-through estimator, Bengio et al. 2013); queries stay in float32.
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
    """One term of the objective's sum: the loss at one dimension and precision, with a weight.

    Attributes:
        format: width of the prefix, and the precision whose codec the documents pass through.
        weight: factor of the term.
    """

    format: VectorFormat
    weight: float = 1.0


class Objective(nn.Module):
    """The training objective, computed per batch: the weighted sum of a loss over dimensions and precisions.

    Args:
        model: the model to train; the trainer replaces it by a wrapped form.
        criterion: computes the loss of a batch's vectors.
        terms: formats in which the criterion is computed, the full width first.
        distil: weight of the divergence between each prefix's similarities and those of the full width.
        cast_once: whether the model multiplies in bfloat16; its weights are then cast once for all passes of a batch.
        gathers: whether to gather the documents of all processes first, each once; the library's own losses gather
            them themselves.
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
        # kept in lists, so that PyTorch does not register them as submodules
        transformer: Any = model[0] if model is not None else None
        self.unwrapped = [model]
        self.width = getattr(model, "truncate_dim", None)  # None: the vectors are not shortened
        self.embeddings = [transformer.auto_model.get_input_embeddings()] if transformer is not None else []
        self.dropout = model is not None and has_dropout(model)
        self.criterion = criterion
        self.terms = tuple(terms)
        self.distil = distil
        self.cast_once = cast_once
        self.gathers = gathers

    def forward(self, features: Sequence[dict[str, Tensor]], label: dict[str, Tensor]) -> Tensor:
        """Compute the loss of one batch; `features` and `label` come from `training.collator.Collator`."""
        with torch.autocast(label["order"].device.type, torch.bfloat16, enabled=self.cast_once):
            passes = self.encode_passes(features)
        vectors = torch.cat(passes)[label["order"]]
        count = len(label["query"])
        return self.vector_loss(vectors[:count], vectors[count:], label)

    def encode_passes(self, features: Sequence[dict[str, Tensor]]) -> list[Tensor]:
        """Compute the vectors of the texts of each forward pass at full width, not normalised."""
        parts = self._look_up_tokens(features)
        return [self._encode_pass(part)["sentence_embedding"].float()[:, : self.width] for part in parts]

    def _encode_pass(self, features: dict[str, Tensor]) -> dict[str, Tensor]:
        """Run the model on one forward pass, with the attention that is faster for texts of this length."""
        mask = features["attention_mask"]
        plain = is_plain_faster(mask.shape[1], mask.device.type, bfloat16=self.cast_once, dropout=self.dropout)
        with use_plain_attention(self.unwrapped[0]) if plain else contextlib.nullcontext():
            encoded: dict[str, Tensor] = self.model(features)
        return encoded

    def _look_up_tokens(self, features: Sequence[dict[str, Tensor]]) -> list[dict[str, Tensor]]:
        """Look up the token embeddings of all passes at once, and give the passes with these embeddings.

        The gradient of a lookup is as large as the vocabulary; one lookup per pass would cost more than a short pass.
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
        """Compute the loss of a batch's query and document vectors, which are given at full width."""
        if self.gathers:
            documents, number = gather_documents(documents, label["document"])
            label = {**label, "document": number}
        loss = queries.new_zeros(())
        for term in self.terms:
            short_queries, short_documents = _cut_prefixes(queries, documents, term.format.dimension)
            decoded = pass_through_codec(short_documents, term.format.precision)
            loss = loss + term.weight * self.criterion(short_queries, decoded, label)
        widths = dict.fromkeys(term.format.dimension for term in self.terms)
        for width in widths if self.distil else ():  # once per prefix, not once per code
            if width < queries.shape[1]:
                short_queries, short_documents = _cut_prefixes(queries, documents, width)
                loss = loss + self.distil * _divergence(short_queries @ short_documents.T, queries, documents)
        return loss


def pass_through_codec(documents: Tensor, precision: str) -> Tensor:
    """Encode and decode (m, d) documents with a codec fitted on them; the gradient ignores the codec."""
    if precision == FULL:
        return documents
    vectors = documents.detach().cpu().numpy()
    codec = CODECS[precision](vectors)
    decoded = torch.from_numpy(codec.decode(codec.encode(vectors))).to(documents.device)
    return documents + (decoded - documents).detach()


def _cut_prefixes(queries: Tensor, documents: Tensor, dimension: int) -> tuple[Tensor, Tensor]:
    """Take the first numbers of each vector and normalise them to unit length."""
    return functional.normalize(queries[:, :dimension], dim=1), functional.normalize(documents[:, :dimension], dim=1)


def _divergence(similarities: Tensor, queries: Tensor, documents: Tensor) -> Tensor:
    """Compute the cross-entropy of a prefix's softmax over the documents against that of the full width.

    The full width is the target and gets no gradient.
    """
    with torch.no_grad():
        full_queries, full_documents = _cut_prefixes(queries, documents, queries.shape[1])
        targets = functional.softmax(SCALE * full_queries @ full_documents.T, dim=1)
    return functional.cross_entropy(SCALE * similarities, targets)
