"""Oracles: vectors small enough to rank by eye; the parts of two stages one by one; a singular value decomposition;
the fusion of both legs by its definition, a document at a time."""

from __future__ import annotations

import numpy as np
import pytest

from nestvec.evaluation.ranking import (
    Vectors,
    ask_words,
    code_documents,
    rank_dense,
    rank_fused,
    rank_two_stage,
    rank_words,
)  # fmt: skip
from nestvec.evaluation.surface import Catalogue
from nestvec.lexical.bm25 import Bm25, LexicalSettings
from nestvec.lexical.fusion import Fusion
from nestvec.point import HYBRID, TWO_STAGE, Point, VectorFormat
from nestvec.settings import DEPTH
from nestvec.vectors.codecs import CODECS
from nestvec.vectors.cut import prefix
from nestvec.vectors.topk import top_k

BM25 = Point("bm25", None, None, None, "bm25")


def rank_bm25(queries, catalogue):
    index = Bm25.of([catalogue.texts[row] for row in catalogue.order])
    return rank_words(ask_words(index, queries, catalogue), catalogue)


def drawn(queries, documents, width, seed=0):
    """Vectors whose directions differ in spread, as a model's do."""
    rng = np.random.default_rng(seed)
    spread = np.exp(-np.arange(width) / width * 3)
    return Vectors(*(prefix((rng.normal(size=(rows, width)) * spread).astype(np.float32), width)
                     for rows in (queries, documents)))  # fmt: skip


def formats(dimensions, precisions):
    return [VectorFormat(dimension, precision) for dimension in dimensions for precision in precisions]


def catalogue_of(documents):
    names = np.random.default_rng(9).permutation(documents)
    return Catalogue([f"d{name:04}" for name in names], [f"word{name}" for name in names])


# Ranking


def test_points_of_vectors_made_by_hand():
    catalogue = Catalogue(["a", "b", "c", "d"], ["", "", "", ""])
    documents = np.array([[1, 0, 0, 0], [0, 1, 0, 0], [0.6, 0.48, 0.64, 0], [0.8, 0.6, 0, 0]], dtype=np.float32)
    queries = np.array([[1, 0, 0, 0], [0, 0.28, 0.96, 0]], dtype=np.float32)
    found = list(rank_dense("mnr", Vectors(queries, documents), catalogue, formats((2, 4, 1), ("float32", "int8"))))
    expected = [
        ("float32", 4, 16),
        ("int8", 4, 4),
        ("float32", 2, 8),
        ("int8", 2, 2),
        ("float32", 1, 4),
        ("int8", 1, 1),
    ]
    assert [ranking.point for ranking in found] == [Point("mnr", width, name, size) for name, width, size in expected]
    # at 4: by cosine; at 2: c becomes (0.78, 0.62), query 1 becomes (0, 1); at 1: all 1 or 0, so ids decide, d first
    orders = {4: [[0, 3, 2, 1], [2, 1, 3, 0]], 2: [[0, 3, 2, 1], [1, 2, 3, 0]], 1: [[3, 2, 0, 1], [3, 2, 1, 0]]}
    for ranking in found:
        assert ranking.rows.tolist() == orders[ranking.point.dimension], ranking.point.name
        assert (np.diff(ranking.scores, axis=1) <= 0).all()
    assert found[0].scores[0].tolist() == pytest.approx([1, 0.8, 0.6, 0])
    assert [ranking.point.name for ranking in found][:2] == ["mnr.4.float32", "mnr.4.int8"]


@pytest.mark.parametrize("precision", ["float32", "int8"])
def test_a_codec_is_fitted_on_the_renormalised_prefixes_of_the_documents(precision):
    rng = np.random.default_rng(0)
    queries, documents = (prefix(rng.normal(size=(rows, 64)).astype(np.float32), 64) for rows in (5, 90))
    catalogue = Catalogue([f"d{90 - row:03}" for row in range(90)], [""] * 90)  # in tie order as they stand
    [found] = rank_dense("mnr", Vectors(queries, documents), catalogue, formats((8,), (precision,)))
    held = prefix(documents, 8)
    codec = CODECS[precision](held)
    rows, scores = top_k(prefix(queries, 8), codec.decode(codec.encode(held)), DEPTH)
    assert np.array_equal(found.rows, rows)
    assert np.array_equal(found.scores, scores)


def test_a_ranking_holds_a_hundred_documents_at_most():
    rng = np.random.default_rng(0)
    vectors = Vectors(*(rng.normal(size=(rows, 8)).astype(np.float32) for rows in (3, 150)))
    catalogue = Catalogue([f"d{row:03}" for row in range(150)], [f"word{row}" for row in range(150)])
    [ranking] = rank_dense("mnr", vectors, catalogue, formats((8,), ("float32",)))
    assert ranking.rows.shape == ranking.scores.shape == (3, DEPTH)
    assert rank_bm25(["word7"], catalogue).rows.shape == (1, DEPTH)


def test_the_order_of_the_catalogue_does_not_matter():
    rng = np.random.default_rng(1)
    ids, texts = ["z", "é", "a", "\U0001f600", "\uffee"], ["deck screw"] * 3 + ["drill", "deck"]
    queries = rng.normal(size=(4, 6)).astype(np.float32)
    documents = np.tile(rng.normal(size=6).astype(np.float32), (5, 1))  # all the same: only ids decide
    for order in ([0, 1, 2, 3, 4], [4, 2, 0, 1, 3]):
        catalogue = Catalogue([ids[row] for row in order], [texts[row] for row in order])
        [ranking] = rank_dense("mnr", Vectors(queries, documents), catalogue, formats((6,), ("int8",)))
        assert [catalogue.ids[row] for row in ranking.rows[0]] == ["\U0001f600", "\uffee", "é", "z", "a"]
        words = rank_bm25(["deck screw", "zzz"], catalogue)
        assert [catalogue.ids[row] for row in words.rows[0]] == ["é", "z", "a", "\uffee", "\U0001f600"]
        assert [catalogue.ids[row] for row in words.rows[1]] == ["\U0001f600", "\uffee", "é", "z", "a"]
        assert words.point == BM25
        assert words.point.name == "bm25"


# Two stages


def test_two_stages_rank_the_shortlist_by_the_larger_code():
    vectors, catalogue = drawn(7, 400, 64), catalogue_of(400)
    found = rank_two_stage("mnr", vectors, catalogue, (VectorFormat(8, "int8"), VectorFormat(64, "int8")), 120)
    order = catalogue.order
    sides = {width: (prefix(vectors[0], width), prefix(vectors[1][order], width)) for width in (8, 64)}
    decoded = {}
    for width, (_, held) in sides.items():
        codec = CODECS["int8"](held)
        decoded[width] = codec.decode(codec.encode(held))
    shortlist = top_k(sides[8][0], decoded[8], 120)[0]
    for query, rows in enumerate(shortlist):
        scores = (decoded[64][rows].astype(float) @ sides[64][0][query].astype(float)).astype(np.float32)
        best = sorted(range(120), key=lambda place: (-scores[place], rows[place]))[:DEPTH]
        assert found.rows[query].tolist() == order[rows[best]].tolist()
        assert found.scores[query] == pytest.approx(scores[best], abs=1e-7)
    assert found.point == Point("mnr-via-8-int8", 64, "int8", 8 + 64, TWO_STAGE, 8)
    assert found.point.name == "mnr-via-8-int8.64.int8"


def test_codecs_that_were_fitted_before_change_no_ranking(monkeypatch):
    vectors, catalogue = drawn(5, 150, 32), catalogue_of(150)
    stages = VectorFormat(16, "binary"), VectorFormat(32, "int4")
    fresh = rank_two_stage("mnr", vectors, catalogue, stages, 100)
    codecs = {coded.point.format: coded.codec for coded in code_documents("mnr", vectors, catalogue, stages)}
    monkeypatch.setattr("nestvec.evaluation.ranking.CODECS", {})  # nothing is fitted again
    again = rank_two_stage("mnr", vectors, catalogue, stages, 100, codecs)
    assert np.array_equal(again.rows, fresh.rows) and np.array_equal(again.scores, fresh.scores)


def test_a_shortlist_of_everything_is_the_larger_code_alone():
    vectors, catalogue = drawn(5, 90, 32), catalogue_of(90)
    two = rank_two_stage("mnr", vectors, catalogue, (VectorFormat(4, "binary"), VectorFormat(32, "int4")), 100)
    [one] = rank_dense("mnr", vectors, catalogue, formats((32,), ("int4",)))
    assert np.array_equal(two.rows, one.rows)
    assert np.array_equal(two.scores, one.scores)


# Principal axes


def test_principal_points_are_named_so_and_hold_more_than_a_cut_where_spread_hides_behind():
    rng = np.random.default_rng(3)
    latent = rng.normal(size=(2000, 4)) @ np.eye(4, 32, 28)  # what matters stands in the last numbers
    vectors = Vectors(
        *(
            prefix((latent[rows] + 0.1 * rng.normal(size=(len(latent[rows]), 32))).astype(np.float32), 32)
            for rows in (slice(0, 50), slice(0, 2000))
        )
    )
    catalogue = catalogue_of(2000)
    whole, plain, turned = rank_dense("mnr", vectors, catalogue, [VectorFormat(32, "float32"), *_both_ways(4)])
    assert turned.point == Point("mnr", 4, "float32", 16, axes=True)
    assert (turned.point.name, plain.point.name) == ("mnr.4a.float32", "mnr.4.float32")

    def agreeing(ranking):
        return np.mean([len({*a} & {*b}) for a, b in zip(ranking.rows[:, :10], whole.rows[:, :10], strict=True)])

    assert agreeing(turned) > agreeing(plain) + 3


def test_all_axes_rank_as_the_centred_vectors_do():
    queries, documents = drawn(6, 300, 24)
    [turned] = rank_dense("mnr", Vectors(queries, documents), catalogue_of(300), [VectorFormat(24, "float32", True)])
    mean = documents.mean(axis=0, dtype=np.float64)
    centred = Vectors(*((part - mean).astype(np.float32) for part in (queries, documents)))
    [wanted] = rank_dense("mnr", centred, catalogue_of(300), [VectorFormat(24, "float32")])
    assert np.mean(turned.rows == wanted.rows) > 0.99
    assert turned.scores == pytest.approx(wanted.scores, abs=1e-5)


def test_given_codecs_bring_their_axes_along():
    queries, documents = drawn(6, 300, 24)
    vectors, catalogue = Vectors(queries, documents), catalogue_of(300)
    formats = [VectorFormat(8, precision, True) for precision in ("int8", "binary")]
    first = list(code_documents("mnr", vectors, catalogue, formats))
    codecs = {coded.point.format: coded.codec for coded in first}
    halved = Vectors(queries, documents[::-1].copy())  # other documents: their own axes would be others
    for coded in code_documents("mnr", halved, catalogue, formats, codecs):
        assert coded.codec is codecs[coded.point.format]
        assert np.array_equal(coded.codes, coded.codec.encode(coded.codec.cut(halved.documents[catalogue.order])))


def _both_ways(width):
    return [VectorFormat(width, "float32", axes) for axes in (False, True)]


# Fusion


@pytest.mark.parametrize("own", [None, np.array([3, -1, 7, -1, 0, 11])])
@pytest.mark.parametrize("stored", [VectorFormat(24, "float32"), VectorFormat(16, "binary")])
@pytest.mark.parametrize("fusion", [Fusion(0.4), Fusion(0.7, "range"), Fusion(0.5, "ranks", 20)])
@pytest.mark.parametrize("kept", [0, 6 * 240])  # scores of words, at the most
def test_a_fused_ranking_is_the_definition_a_document_at_a_time(monkeypatch, own, stored, fusion, kept):
    monkeypatch.setattr("nestvec.evaluation.ranking._KEPT", kept)
    catalogue = with_words(240, own)
    vectors = drawn(6, 240, 24)
    queries = ["deck saw", "hose", "zzz", "nail nail deck", "", "hinge paint saw"]
    [coded] = code_documents("mnr", vectors, catalogue, [stored])
    index = Bm25.of([catalogue.texts[row] for row in catalogue.order], LexicalSettings(k1=0.3, b=0.6))
    ranking = rank_fused(coded, coded.search(catalogue), ask_words(index, queries, catalogue), fusion, catalogue)
    assert ranking.point == Point("mnr+bm25", stored.dimension, stored.precision, stored.bytes, HYBRID)
    cosines = coded.codec.decode(coded.codes).astype(np.float64) @ coded.queries.T.astype(np.float64)
    rows, scores = index.top_k(queries, 240)
    for query in range(6):
        left_out = -1 if own is None or own[query] < 0 else catalogue.places[own[query]]
        words = dict(zip(rows[query].tolist(), scores[query].tolist(), strict=True))
        vector = dict(enumerate(cosines[:, query].astype(np.float32).tolist()))
        best = [
            [row for row in sorted(leg, key=lambda row: (-leg[row], row)) if row != left_out][:100]
            for leg in (words, vector)
        ]
        candidates = sorted({*best[1], *(row for row in best[0] if words[row] > 0)})
        fused = fusion.fuse(*(np.array([[leg[row] for row in candidates]], np.float32) for leg in (words, vector)))[0]
        expected = [row for _, row in sorted(zip((-fused).tolist(), candidates, strict=True))][:100]
        assert ranking.rows[query].tolist() == catalogue.order[expected].tolist()


def with_words(documents, own):
    rng = np.random.default_rng(5)
    words = ["deck", "saw", "hose", "nail", "hinge", "paint", "drill"]
    texts = [" ".join(rng.choice(words, rng.integers(0, 5))) for _ in range(documents)]
    return Catalogue([f"d{number:03}" for number in rng.permutation(documents)], texts, own)
