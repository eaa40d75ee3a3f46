"""Find smaller vectors that lose nothing: they rank the same first documents in the same order for every query."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import groupby
from typing import TYPE_CHECKING

import numpy as np

from nestvec.evaluation.ranking import Vectors, ask_words, code_documents
from nestvec.lexical.bm25 import Bm25
from nestvec.pipeline.keyword_stage import open_encoder_of, read_vectors
from nestvec.pipeline.rank_points import rank_alone_and_fused
from nestvec.point import FULL, VectorFormat

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from nestvec.evaluation.surface import Ranking
    from nestvec.lexical.hybrid_file import Hybrid
    from nestvec.pipeline.inputs import Prepared
    from nestvec.point import Point
    from nestvec.runs.folder import RunFolder


@dataclass
class Alike:
    """Collects smaller vector formats that rank the first documents of every measured query exactly as full width does.

    Attributes:
        depth: how many documents of each ranking are compared.
        points: the points (systems in a smaller vector format) found so far.
    """

    depth: int
    points: list[Point] = field(default_factory=list)
    _whole: dict[str, NDArray[np.int64]] = field(default_factory=dict)

    def add(self, ranking: Ranking) -> None:
        """Compare a ranking with the same system's ranking at full width, which must have been added before."""
        point, first = ranking.point, ranking.rows[:, : self.depth]
        if point.precision is None or not (point.is_vectors or point.vectors != point):
            return
        if point.system not in self._whole:
            self._whole[point.system] = first.copy()
        elif np.array_equal(self._whole[point.system], first):
            self.points.append(point)


def find_lossless(prepared: Prepared, folder: RunFolder, hybrid: Hybrid, alike: Alike) -> frozenset[Point]:
    """Find smaller vectors that rank documents exactly as full width does, for measured and for training queries.

    Args:
        prepared: the input of the run.
        folder: the run's folder.
        hybrid: settings of keyword search and its fusion with vectors.
        alike: points that rank documents as full width does for every measured query.

    Returns:
        Those points of `alike` that do so for up to 1,500 training queries, too; empty without training queries, and in
        a run with folds, which measures several models.
    """
    queries, catalogue = prepared.fit_queries, prepared.fit_queries.catalogue
    if not alike.points or not len(queries.texts) or prepared.task.folds:
        return frozenset()
    texts = [catalogue.texts[row] for row in catalogue.order]
    words = ask_words(Bm25.of(texts, hybrid.lexical), queries.texts, catalogue)
    again = Alike(alike.depth)
    for system, same in groupby(sorted(alike.points, key=_name), key=_name):
        asked = open_encoder_of(prepared, folder, system).encode_both(queries.texts, [], lambda _: None)
        vectors = Vectors(asked, read_vectors(prepared, folder, system).documents)
        formats = dict.fromkeys([VectorFormat(prepared.widths(system)[0], FULL), *(point.format for point in same)])
        for coded in code_documents(system, vectors, catalogue, formats):
            for ranking in rank_alone_and_fused(coded, words, hybrid, catalogue):
                again.add(ranking)
    return frozenset(alike.points) & frozenset(again.points)


def _name(point: Point) -> str:
    """Return the name of the system whose vectors a point uses, alone or fused with keyword search."""
    return point.vectors.system
