"""Rank the queries by every system and vector format; with folds, each query by the model of the query's own fold."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from nestvec.evaluation.ranking import code_documents, rank_fused, rank_two_stage, rank_words
from nestvec.evaluation.surface import Ranking
from nestvec.lexical.hybrid_file import read_hybrid
from nestvec.pipeline.keyword_stage import ask_both, read_vectors
from nestvec.point import BM25_DEFAULT, VectorFormat

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from nestvec.data.task import Task
    from nestvec.evaluation.ranking import Coded, Words
    from nestvec.evaluation.surface import Catalogue
    from nestvec.lexical.hybrid_file import Hybrid
    from nestvec.pipeline.inputs import Prepared
    from nestvec.runs.folder import RunFolder
    from nestvec.vectors.codecs import Codec


def list_folds(prepared: Prepared, folder: RunFolder) -> list[tuple[Prepared, RunFolder]]:
    """List the input and the folder of each cross-validation fold; empty for a run without folds."""
    numbers = range(1, len(prepared.task.folds) + 1)
    return [(prepared.in_fold(number), folder.fold(number)) for number in numbers]


def count_points(prepared: Prepared) -> int:
    """Count the points to measure: systems, in every vector format, that rank all queries once each."""
    # per system: each format alone and fused with words, and two-stage searches
    by_system = [2 * len(prepared.formats(system)) + len(prepared.stages(system)) for system in prepared.systems]
    return sum(by_system) + 2  # BM25 untuned and tuned


def rank_points(prepared: Prepared, folder: RunFolder) -> Iterator[Ranking]:
    """Rank all queries by every system and vector format, in turn; with folds, the rankings of all folds are joined."""
    folds = list_folds(prepared, folder)
    if not folds:
        yield from _rank_each(prepared, folder)
        return
    for rankings in zip(*(_rank_each(*fold) for fold in folds), strict=True):
        yield _join_rankings(rankings, prepared.task.folds)


def fit_codecs(prepared: Prepared, folder: RunFolder) -> dict[str, dict[str, Codec]]:
    """Fit the codecs that quantise each system's vectors, by format name, on documents encoded by the run's own models.

    With folds, these codecs measure nothing: they belong to the models that are handed over.
    """
    return {
        system: {
            coded.point.format.name: coded.codec
            for coded in code_documents(
                system, read_vectors(prepared, folder, system), prepared.catalogue, prepared.formats(system)
            )
        }
        for system in prepared.systems
    }


def rank_alone_and_fused(coded: Coded, words: Words, hybrid: Hybrid, catalogue: Catalogue) -> Iterator[Ranking]:
    """Rank queries by vectors alone, then by vectors fused with keyword search; the vectors are searched only once."""
    found = coded.search(catalogue)
    yield coded.rank(catalogue, found)
    yield rank_fused(coded, found, words, hybrid.fusion_of(coded.point.format), catalogue)


def _join_rankings(rankings: Sequence[Ranking], folds: Sequence[Task]) -> Ranking:
    """Join the rankings of all folds' queries for one system and vector format, without the codecs, one per fold."""
    parts = [(task.asked, ranking) for task, ranking in zip(folds, rankings, strict=True)]
    order = np.argsort(np.concatenate([asked for asked, _ in parts]), kind="stable")
    rows, scores = (np.concatenate([getattr(ranking, name) for _, ranking in parts]) for name in ("rows", "scores"))
    return Ranking(rankings[0].point, rows[order], scores[order])


def _rank_each(prepared: Prepared, folder: RunFolder) -> Iterator[Ranking]:
    """Rank the queries of a run, or of a fold, with every system and vector format."""
    catalogue, hybrid = prepared.catalogue, read_hybrid(folder.path("hybrid"))
    words, untuned = ask_both(prepared, hybrid.lexical)
    for system in prepared.systems:
        vectors = read_vectors(prepared, folder, system)
        codecs: dict[VectorFormat, Codec] = {}
        for coded in code_documents(system, vectors, catalogue, prepared.formats(system)):
            codecs[coded.point.format] = coded.codec
            yield from rank_alone_and_fused(coded, words, hybrid, catalogue)
        for stages in prepared.stages(system):
            yield rank_two_stage(system, vectors, catalogue, stages, prepared.settings.evaluation.shortlist, codecs)
    yield rank_words(words, catalogue)
    yield rank_words(untuned, catalogue, BM25_DEFAULT)
