"""Encode the measured texts: queries in float32, documents with a faster encoder if its vectors are equally good.

Queries are encoded by PyTorch in float32, as in a search. Documents are most of the work: OpenVINO, or bfloat16 on
hardware that supports it, encodes them in half the time or less. The run tries the faster encoder with each system's
model: 250 documents are encoded both ways and searched with the validation queries. If a vector or the recall differs
by more than rounding, the next encoder is tried; the last encoder is PyTorch in float32.
"""

from __future__ import annotations

import logging
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import numpy as np

from nestvec.errors import InputError
from nestvec.evaluation.metrics import recall
from nestvec.models.encoder import open_model
from nestvec.models.prompts import DOCUMENT, QUERY
from nestvec.models.torch_encoder import open_torch
from nestvec.runs.schema import VALIDATION, EncoderTrial
from nestvec.settings import CUTOFF
from nestvec.vectors.topk import top_k

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from numpy.typing import NDArray

    from nestvec.models.base_encoder import Encoder
    from nestvec.models.find import ModelFolder
    from nestvec.pipeline.inputs import Prepared

_LOG = logging.getLogger(__name__)
_DOCUMENTS = 250  # documents that a trial encodes both ways
_FEWEST = 4 * _DOCUMENTS  # documents in the smallest catalogue for which a trial is worth its time
LEAST = 0.99995  # least cosine between a document's two vectors; exports and `index --verify` allow 0.9999
CHANGE = 0.001  # largest change of the validation queries' recall@10 among the documents of a trial


def has_passed(trial: EncoderTrial) -> bool:
    """Whether a faster encoder's vectors equal the float32 encoder's vectors, except for rounding; NaN fails."""
    return trial.cosine >= LEAST and abs(trial.change) <= CHANGE


def encode_surface(
    prepared: Prepared, model: ModelFolder, advance: Callable[[int], None]
) -> tuple[NDArray[np.float32], dict[str, Any]]:
    """Encode q validation and test queries with the query prompt, then d documents with the document prompt.

    Args:
        prepared: the input; bfloat16 is tried if the training computes in bfloat16.
        model: the system's model.
        advance: called with the number of texts done since the last call.

    Returns:
        (q + d, width) float32, rows of unit length; and facts for the run: the encoders of queries and of documents,
        and the last trial if there was one.

    Raises:
        InputError: the model returned NaN or infinity for a text.
    """
    exact = open_torch(model, None, "float32")
    texts = prepared.catalogue.texts
    facts: dict[str, Any] = {"queries": exact.name, "documents": exact.name}
    if len(texts) < _FEWEST:
        return exact.encode_both(prepared.task.texts, texts, advance), facts
    queries = exact.encode(prepared.task.texts, QUERY, advance)
    chosen: Encoder = exact
    for faster in _open_faster(model, prepared.settings.training.compute):
        if faster.name == exact.name or (trial := try_encoder(prepared, queries, exact, faster)) is None:
            break
        facts["trial"] = asdict(trial)
        if has_passed(trial):
            chosen = faster
            break
    facts["documents"] = chosen.name
    return np.concatenate([queries, chosen.encode(texts, DOCUMENT, advance)]), facts


def open_likely_encoder(prepared: Prepared, model: ModelFolder) -> tuple[Encoder, Encoder]:
    """Open the encoder of queries, and the encoder that will probably encode documents: the fastest available."""
    exact = open_torch(model, None, "float32")
    if len(prepared.catalogue.texts) < _FEWEST:
        return exact, exact
    return exact, next(_open_faster(model, prepared.settings.training.compute), exact)


def _open_faster(model: ModelFolder, compute: str) -> Iterator[Encoder]:
    """Yield encoders to try for documents, the fastest first: in the number format `compute`, then in float32."""
    for wanted in dict.fromkeys((compute, "float32")):
        try:
            yield open_model(model, None, "auto", wanted)
        except InputError as error:  # this model runs in PyTorch in float32 only
            _LOG.debug("%s: %s", model.path, error)


def try_encoder(
    prepared: Prepared, queries: NDArray[np.float32], exact: Encoder, faster: Encoder
) -> EncoderTrial | None:
    """Compare a faster encoder with the exact float32 encoder on documents that are relevant for validation queries.

    In a run with folds, documents are used that are relevant for any measured query.

    Args:
        prepared: the input.
        queries: (q, width) float32 vectors of the q measured queries, rows of unit length.
        exact: the float32 encoder, which made `queries`.
        faster: the encoder to try.

    Returns:
        The result; None if no document is relevant for a validation query.
    """
    task = prepared.task
    is_asked = np.ones(len(task.ids), dtype=bool) if task.folds else task.splits == VALIDATION
    is_relevant = (task.gain >= task.relevant_from) & is_asked[task.topic]
    judged = np.unique(task.document[is_relevant])
    if not len(judged):
        return None
    drawn = np.sort(np.random.default_rng(prepared.settings.seed).permutation(judged)[:_DOCUMENTS])
    texts = [prepared.catalogue.texts[row] for row in drawn.tolist()]
    column = np.full(len(prepared.catalogue.ids), -1)
    column[drawn] = np.arange(len(drawn))
    is_tried = is_relevant & (column[task.document] >= 0)
    relevant = np.zeros((len(task.ids), len(drawn)), dtype=bool)
    relevant[task.topic[is_tried], column[task.document[is_tried]]] = True
    asked = np.flatnonzero(relevant.any(axis=1))
    vectors, others = (encoder.encode(texts, DOCUMENT) for encoder in (exact, faster))
    before, after = (_mean_recall(queries[asked], found, relevant[asked]) for found in (vectors, others))
    cosine = float(np.einsum("ij,ij->i", vectors, others, dtype=np.float64).min())
    trial = EncoderTrial(faster.name, len(drawn), len(asked), round(cosine, 7), round(after - before, 7))
    _LOG.debug("tried %s", trial)
    return trial


def _mean_recall(queries: NDArray[np.float32], documents: NDArray[np.float32], relevant: NDArray[np.bool_]) -> float:
    """Return the mean recall@10 of q query vectors among d document vectors; (q, d) `relevant` marks hits."""
    rows, _ = top_k(queries, documents, min(CUTOFF, len(documents)))
    ranked = np.take_along_axis(relevant, rows, axis=1).astype(np.int64)
    return float(recall(ranked, 1, relevant.sum(axis=1)).mean())
