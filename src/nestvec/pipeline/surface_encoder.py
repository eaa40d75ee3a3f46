"""What encodes the texts that are measured: the model in float32, and for documents what is faster and as good.

Queries are encoded by PyTorch in float32, as a search encodes them. Documents are most of the work: OpenVINO, or
bfloat16 where the hardware has the instructions, encodes them in half the time or less. Whether its vectors will do is
tried in the run, with each system's own model: `_DOCUMENTS` documents are encoded both ways, and searched by the
validation queries. Where a vector or the recall differs by more than rounding does, the next candidate is tried, and at
last PyTorch encodes them in float32.
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
_DOCUMENTS = 250  # encoded both ways, beside as many queries or more
_FEWEST = 4 * _DOCUMENTS  # documents of a catalogue that is worth a trial
LEAST = 0.99995  # cosine of a document's two vectors: exports and `index --verify` allow any document 0.9999
CHANGE = 0.001  # of recall@10 of the validation queries among the documents tried


def has_passed(trial: EncoderTrial) -> bool:
    """Whether an encoder's vectors were those of the model in float32, but for rounding; NaN is not."""
    return trial.cosine >= LEAST and abs(trial.change) <= CHANGE


def encode_surface(
    prepared: Prepared, model: ModelFolder, advance: Callable[[int], None]
) -> tuple[NDArray[np.float32], dict[str, Any]]:
    """Encode every query that is measured, then every document, each behind the prompt of its role.

    Args:
        prepared: the input; training's number format, once it is chosen, says whether bfloat16 is tried.
        model: of the system.
        advance: called with the number of texts done since the last call.

    Returns:
        (q + d, width) float32, rows of unit length; and facts for the run: what encoded queries and documents, and the
        last trial where there was one.

    Raises:
        InputError: the model gives no finite numbers for a text.
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
    """What encodes queries, and what most likely encodes documents: the fastest that is tried, if any is."""
    exact = open_torch(model, None, "float32")
    if len(prepared.catalogue.texts) < _FEWEST:
        return exact, exact
    return exact, next(_open_faster(model, prepared.settings.training.compute), exact)


def _open_faster(model: ModelFolder, compute: str) -> Iterator[Encoder]:
    """Open the encoders to try, the fastest first: in the number format `compute`, then in float32."""
    for wanted in dict.fromkeys((compute, "float32")):
        try:
            yield open_model(model, None, "auto", wanted)
        except InputError as error:  # a model that runs by PyTorch in float32 only
            _LOG.debug("%s: %s", model.path, error)


def try_encoder(
    prepared: Prepared, queries: NDArray[np.float32], exact: Encoder, faster: Encoder
) -> EncoderTrial | None:
    """Try an encoder on documents that are relevant for validation queries; in folds, for any query that is measured.

    Args:
        prepared: the input.
        queries: (q, width) float32 of the queries that are measured, rows of unit length.
        exact: what encoded them.
        faster: what is tried.

    Returns:
        What was found; None where nothing is judged for any validation query.
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
    """Mean recall@10 of (q, w) queries among (d, w) documents, of which (q, d) are relevant."""
    rows, _ = top_k(queries, documents, min(CUTOFF, len(documents)))
    ranked = np.take_along_axis(relevant, rows, axis=1).astype(np.int64)
    return float(recall(ranked, 1, relevant.sum(axis=1)).mean())
