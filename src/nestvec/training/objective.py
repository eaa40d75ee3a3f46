"""The training objective: a loss that is summed over several dimensions and precisions of the vectors.

Kusupati et al. 2022 (eq. 1) sum a loss over prefixes of the vectors. Here the sum runs over pairs of a dimension and a
precision. For a precision below float32 the documents are quantised and decoded by the same codec as in the
measurements, and the gradient ignores this step (straight-through estimator, Bengio et al. 2013); queries stay float32.
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
        format: the dimension to which vectors are cut, and the precision to which documents are quantised.
        weight: factor of this loss in the sum.
    """

    format: VectorFormat
    weight: float = 1.0


class Objective(nn.Module):
    """The training objective, computed per batch: the weighted sum of a loss over dimensions and precisions.

    Args:
        model: the model to train; the trainer may replace it by a wrapper of the model.
        criterion: computes the loss of a batch's vectors.
        terms: the dimensions and precisions at which the loss is computed, full width first.
        distil: weight of an extra loss that draws the similarities of shortened vectors to those at full width.
        cast_once: whether the model computes in bfloat16; its weights are then cast once for all passes of a batch.
        gathers: whether to gather the distinct documents of all processes before the loss is computed; the losses of
            sentence-transformers gather documents themselves.
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
        """Compute the loss of one batch from the model inputs and the label that `Collator` made."""
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
        """Replace the token ids of all forward passes by token embeddings, which are looked up together.

        The gradient of a lookup is as large as the vocabulary; a lookup for each pass would cost more than a short
        pass.
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
    """Quantise and decode m documents, (m, d), with a codec fitted on them; the gradient ignores this step."""
    if precision == FULL:
        return documents
    vectors = documents.detach().cpu().numpy()
    codec = CODECS[precision](vectors)
    decoded = torch.from_numpy(codec.decode(codec.encode(vectors))).to(documents.device)
    return documents + (decoded - documents).detach()


def _cut_prefixes(queries: Tensor, documents: Tensor, dimension: int) -> tuple[Tensor, Tensor]:
    """Cut each vector to its first `dimension` numbers, and normalise it to unit length."""
    return functional.normalize(queries[:, :dimension], dim=1), functional.normalize(documents[:, :dimension], dim=1)


def _divergence(similarities: Tensor, queries: Tensor, documents: Tensor) -> Tensor:
    """Compute how much similarities of shortened vectors differ from those at full width, as a cross-entropy.

    The softmax of the full-width similarities over the documents is the target and gets no gradient.
    """
    with torch.no_grad():
        full_queries, full_documents = _cut_prefixes(queries, documents, queries.shape[1])
        targets = functional.softmax(SCALE * full_queries @ full_documents.T, dim=1)
    return functional.cross_entropy(SCALE * similarities, targets)
