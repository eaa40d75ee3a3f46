"""The stage `fit` of a run, which tunes keyword search (BM25) and fused search; and functions of several stages."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from nestvec.evaluation.fit import FEWEST_QUERIES, FITTED, fit_fusion, fit_words
from nestvec.evaluation.ranking import Vectors, ask_words, code_documents
from nestvec.lexical.bm25 import Bm25, LexicalSettings, WordCounts
from nestvec.lexical.fusion import Fusion
from nestvec.lexical.hybrid_file import Hybrid, write_hybrid
from nestvec.lexical.words import WordForms
from nestvec.models.find import find_model
from nestvec.models.model_hashes import refuse_changes
from nestvec.point import PRETRAINED, VectorFormat
from nestvec.runs.schema import MeasuredWith

if TYPE_CHECKING:
    from nestvec.evaluation.ranking import Words
    from nestvec.models.base_encoder import Encoder
    from nestvec.models.find import ModelFolder
    from nestvec.pipeline.inputs import Prepared
    from nestvec.progress import Reporter
    from nestvec.runs.folder import RunFolder


def fit(prepared: Prepared, folder: RunFolder, reporter: Reporter) -> dict[str, Any]:
    """Choose settings of keyword search (BM25) and of its fusion with vectors on training queries; write them."""
    queries, evaluation = prepared.fit_queries, prepared.settings.evaluation
    with reporter.step("fit the keyword search", 2) as advance:
        words, lexical, tried = fit_words(queries, evaluation.language or "english")
        advance(1)
        fusion, weights = Fusion(), dict[str, float]()
        if len(queries.texts) >= FEWEST_QUERIES:
            vectors = open_encoder_of(prepared, folder, PRETRAINED).encode_both(queries.texts, [], lambda _: None)
            pair = Vectors(vectors, read_vectors(prepared, folder, PRETRAINED).documents)
            measured = prepared.formats(PRETRAINED)
            formats = [stored for stored in measured if stored.precision in FITTED and stored.axes]
            formats += [VectorFormat(width, precision) for width in prepared.dimensions for precision in FITTED]
            coded = code_documents(PRETRAINED, pair, queries.catalogue, formats)
            fusion, weights, more = fit_fusion(queries, words, coded)
            tried |= more
        advance(1)
    counted = len(prepared.catalogue.ids), float(words.counts.lengths.mean())
    write_hybrid(folder.path("hybrid"), Hybrid(lexical, fusion, *counted, weights))
    return {"queries": len(queries.texts), "tried": tried}


def settle_hybrid(folder: RunFolder, hybrid: Hybrid, point: dict[str, Any] | None) -> dict[str, Any]:
    """Write the settings of fused search with the recommended vectors to `hybrid.json`; return a summary of them."""
    if point and point["precision"]:
        hybrid = hybrid.settle(VectorFormat(point["dimension"], point["precision"], point.get("axes", False)))
        write_hybrid(folder.path("hybrid"), hybrid)
    held = hybrid.to_json()
    return {"lexical": {key: held[key] for key in ("tokenisation", "k1", "b", "correction")}, "weight": held["weight"]}


def ask_both(prepared: Prepared, tuned: LexicalSettings) -> tuple[Words, Words]:
    """Rank documents for all queries by BM25 with tuned settings, and by BM25 with default settings."""
    catalogue = prepared.catalogue
    texts = [catalogue.texts[row] for row in catalogue.order]
    plain = LexicalSettings(WordForms(tuned.forms.language))
    leg = Bm25.of(texts, tuned)
    counts = leg.counts if plain.forms == tuned.forms else WordCounts.of(texts, plain.forms)
    legs = leg, Bm25(counts, plain.k1, plain.b)
    first, second = (ask_words(leg, prepared.task.texts, catalogue) for leg in legs)
    return first, second


def find_model_of(prepared: Prepared, folder: RunFolder, system: str) -> ModelFolder:
    """Find the model of a system, with the system's prompts.

    Raises ChangedError if the run encoded texts with the model and the model's files have changed since.
    """
    given = {PRETRAINED: prepared.model, **prepared.others}
    model = given.get(system) or find_model(str(folder.model(system)))
    model = replace(model, prompts=prepared.prompts[system])
    if stated := read_hashes(folder, system).model:
        refuse_changes(stated, model.hashes, model.path, "when texts were encoded")
    return model


def read_hashes(folder: RunFolder, system: str) -> MeasuredWith:
    """Read the hashes of model and vectors that a system's encoding stage recorded; empty if there are none."""
    stage = f"encode {system}"
    facts = folder.facts(stage) if folder.is_done(stage) else {}
    return MeasuredWith(model=facts.get("model", {}), vectors=facts.get("vectors", ""))


def open_encoder_of(prepared: Prepared, folder: RunFolder, system: str) -> Encoder:
    """Open the encoder of a system in PyTorch and float32; raise ChangedError if the model's files have changed."""
    from nestvec.models.torch_encoder import open_torch

    return open_torch(find_model_of(prepared, folder, system), None, "float32")


def read_vectors(prepared: Prepared, folder: RunFolder, system: str) -> Vectors:
    """Open a system's vectors of queries and documents as memory maps.

    In a fold, only the fold's queries are returned. A trained system has vectors for each fold; other systems have one
    file of vectors for the whole run.
    """
    asked, documents = prepared.task.asked, len(prepared.catalogue.ids)
    home = folder if system in prepared.trained or folder.whole is None else folder.whole
    vectors = np.load(home.embeddings(system), mmap_mode="r")
    queries = vectors[: len(vectors) - documents]
    return Vectors(queries if asked is None else queries[asked], vectors[len(queries) :])
