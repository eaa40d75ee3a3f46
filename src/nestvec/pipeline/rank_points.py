"""Rank documents for all queries with every system and vector format; in a run with folds, with each fold's models."""

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
    """Count the points (systems in a vector format) of a run; each of them ranks documents for all queries once."""
    # per system: each format alone and fused with words, and two-stage searches
    by_system = [2 * len(prepared.formats(system)) + len(prepared.stages(system)) for system in prepared.systems]
    return sum(by_system) + 2  # BM25 untuned and tuned


def rank_points(prepared: Prepared, folder: RunFolder) -> Iterator[Ranking]:
    """Yield the ranking of all queries for each system and vector format, joined from the folds' rankings if any."""
    folds = list_folds(prepared, folder)
    if not folds:
        yield from _rank_each(prepared, folder)
        return
    for rankings in zip(*(_rank_each(*fold) for fold in folds), strict=True):
        yield _join_rankings(rankings, prepared.task.folds)


def fit_codecs(prepared: Prepared, folder: RunFolder) -> dict[str, dict[str, Codec]]:
    """Fit the codecs that quantise each system's vectors, by format name, on documents that the run's models encoded.

    A run with folds measures with each fold's codecs; these are for the models that were trained on all queries.
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
    """Yield the ranking by vectors alone, then by vectors fused with keyword search; vectors are searched only once."""
    found = coded.search(catalogue)
    yield coded.rank(catalogue, found)
    yield rank_fused(coded, found, words, hybrid.fusion_of(coded.point.format), catalogue)


def _join_rankings(rankings: Sequence[Ranking], folds: Sequence[Task]) -> Ranking:
    """Join the rankings of all folds for one system and vector format; leave out the codecs, which differ by fold."""
    parts = [(task.asked, ranking) for task, ranking in zip(folds, rankings, strict=True)]
    order = np.argsort(np.concatenate([asked for asked, _ in parts]), kind="stable")
    rows, scores = (np.concatenate([getattr(ranking, name) for _, ranking in parts]) for name in ("rows", "scores"))
    return Ranking(rankings[0].point, rows[order], scores[order])


def _rank_each(prepared: Prepared, folder: RunFolder) -> Iterator[Ranking]:
    """Yield the ranking of a run's or a fold's queries for each system and vector format."""
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
