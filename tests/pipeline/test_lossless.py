"""Points that lose nothing by inspection. Oracle: numpy's own order of the decoded documents, query by query."""

from __future__ import annotations

import numpy as np
import pytest
from sentence_transformers import SentenceTransformer

from nestvec.lexical.hybrid_file import read_hybrid
from nestvec.pipeline.inputs import prepare
from nestvec.pipeline.lossless import Alike, find_lossless
from nestvec.pipeline.rank_points import rank_points
from nestvec.runs.config import read_run_config
from nestvec.settings import Settings
from nestvec.vectors.codecs import CODECS
from nestvec.vectors.cut import prefix

DEPTH = 1  # at 10, half precision swaps two documents of some query even here


@pytest.fixture(scope="module")
def inspected(finished):
    settings = read_run_config(finished.folder.path("config")).settings
    prepared, alike = prepare(Settings.from_flat(settings)), Alike(DEPTH)
    for ranking in rank_points(prepared, finished.folder):
        alike.add(ranking)
    hybrid = read_hybrid(finished.folder.path("hybrid"))
    return prepared, alike, find_lossless(prepared, finished.folder, hybrid, alike)


def test_points_of_every_kind_are_compared_with_their_own_system(inspected):
    _, alike, lossless = inspected
    assert lossless <= set(alike.points)
    assert {point.precision for point in lossless} >= {"float16"}
    systems = {point.system for point in lossless}  # which trained ones are among them hangs on how a processor rounds
    assert "pretrained" in systems and any(name.endswith("+bm25") for name in systems)
    assert not [point for point in alike.points if point.precision == "float32" and point.dimension == 384]
    assert not [point for point in lossless if point.dimension == 48], "an eighth of the numbers ranks otherwise"


def test_a_point_is_lossless_where_training_queries_are_ranked_alike_too(inspected, finished):
    prepared, alike, lossless = inspected
    queries = prepared.fit_queries
    model = SentenceTransformer(str(finished.folder.model("mnr")))
    asked = model.encode(list(queries.texts), normalize_embeddings=True)
    order = prepared.catalogue.order
    whole = np.load(finished.folder.embeddings("mnr"))[-finished.documents :][order]

    def first(point):
        cut = prefix(whole, point.dimension)
        codec = CODECS[point.precision](cut)
        scores = prefix(asked, point.dimension).astype(float) @ codec.decode(codec.encode(cut)).T.astype(float)
        return np.argsort(-scores.astype(np.float32), axis=1, kind="stable")[:, :DEPTH]

    wanted = first(finished.points["mnr.384.float32"])
    for point in (point for point in alike.points if point.system == "mnr"):
        assert (point in lossless) == np.array_equal(first(point), wanted), point.name


def test_depth_follows_the_metric(inspected, finished):
    prepared, alike, _ = inspected
    deep = Alike(100)
    for ranking in rank_points(prepared, finished.folder):
        deep.add(ranking)
    assert set(deep.points) <= set(alike.points)
