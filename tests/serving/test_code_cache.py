"""Oracle: the run's own rankings (`runs/*.trec`), which were made without any of this."""

from __future__ import annotations

from collections import defaultdict
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pyarrow.parquet as pq
import pytest

from nestvec.runs.choose_point import PointSettings
from nestvec.runs.point_files import open_system
from nestvec.runs.run import load_run
from nestvec.serving import code_cache
from nestvec.serving.code_cache import CodeCache, CodedDocuments
from nestvec.vectors.codecs import CODECS
from nestvec.vectors.cut import prefix
from nestvec.vectors.topk import tie_order, top_k


def asked(run):
    """The test queries: id to text."""
    table = pq.read_table(run / "data/queries.parquet").to_pydict()
    rows = zip(table["query_id"], table["query"], table["split"], strict=True)
    return {name: text for name, text, split in rows if split == "test"}


def told(run, point):
    """Query id to the hundred documents that a run ranked."""
    found = defaultdict(list)
    for line in (run / f"runs/{point.name}.trec").read_text().splitlines():
        query, _, document, *_ = line.split()
        found[query].append(document)
    return dict(found)


def answers(service, point, queries, k=100):
    """Query id to the documents that a service finds."""
    dense = point.dimension is not None
    vectors = np.stack([service.find_vector(point.system, text) for text in queries.values()]) if dense else None
    hits = service.search(point, list(queries.values()), vectors, k)
    return {query: [hit.id for hit in each] for query, each in zip(queries, hits, strict=True)}


def test_every_point_answers_every_test_query_as_it_was_measured(shop, service):
    points = [point for measured in load_run(shop).systems.values() for point in measured]
    queries = asked(shop)
    assert len(points) == 3 * (9 + 6) + 1  # three systems in three precisions at three widths and two of axes; BM25
    assert len(queries) > 20
    for point in points:
        assert answers(service, point, queries) == told(shop, point), point.name


def test_scores_are_those_that_were_measured(shop, service):
    point = service.find_point(PointSettings("mnr", 48, "binary"))
    lines = [line.split() for line in (shop / f"runs/{point.name}.trec").read_text().splitlines()]
    queries = asked(shop)
    for query, text in queries.items():
        [hits] = service.search(point, [text], service.find_vector("mnr", text)[None], 100)
        written = [float(line[4]) for line in lines if line[0] == query]  # ties are written a hair apart
        assert [hit.score for hit in hits] == pytest.approx(written, abs=1e-6)


def test_many_threads_get_the_same(shop, service):
    names = [("mnr", 384, "float32"), ("pretrained", 96, "int8"), ("matryoshka", 48, "binary"), ("bm25", None, None)]
    points = [service.find_point(PointSettings(*name)) for name in names] * 8
    queries = asked(shop)
    expected = {point: told(shop, point) for point in set(points)}
    with ThreadPoolExecutor(8) as pool:
        for point, found in zip(points, pool.map(lambda each: answers(service, each, queries), points), strict=True):
            assert found == expected[point]


@pytest.fixture(scope="module")
def drawn():
    """Vectors of 300 documents that are like no other and of four that there are 150 of, and ids in no order.

    So many twins are more than the first candidates have room for: which of them come first, only ids decide.
    """
    rng = np.random.default_rng(5)
    vectors = rng.normal(size=(304, 24)).astype(np.float32)
    vectors = prefix(np.concatenate([vectors[4:], np.repeat(vectors[:4], 150, axis=0)])[rng.permutation(900)], 24)
    return vectors, tie_order([str(number) for number in rng.permutation(900)])


@pytest.mark.parametrize("precision", CODECS)
@pytest.mark.parametrize("k", [1, 10, 900, 1000])
def test_parts_are_searched_as_the_whole(drawn, precision, k, monkeypatch):
    """Against the evaluation's own search over all codes."""
    monkeypatch.setattr(code_cache, "_LEAST", 100)
    monkeypatch.setattr(code_cache, "_ROWS", 77)
    monkeypatch.setattr(code_cache, "count_processors", lambda: 4)
    vectors, order = drawn
    codec = CODECS[precision](prefix(vectors, 16))
    coded = CodedDocuments.of(vectors, order, codec)
    assert len(coded.searched.parts) == 4
    assert coded.bytes == 900 * codec.bytes_per_vector
    expected = top_k(prefix(vectors[:40], 16), codec.encode(prefix(vectors, 16)[order]), k, codec.decode)
    with ThreadPoolExecutor(2) as pool:
        for query, rows, scores in zip(vectors, *expected, strict=False):
            found = coded.top_k(query, k, pool)
            assert found[0].tolist() == rows.tolist()
            assert found[1].tolist() == scores.tolist()


@pytest.fixture
def made(monkeypatch):
    """The codec of each coding of the documents, as they come."""
    found = []
    whole = CodedDocuments.of.__func__
    monkeypatch.setattr(
        CodedDocuments, "of", classmethod(lambda cls, *given: found.append(given[2:]) or whole(cls, *given))
    )
    return found


@pytest.fixture
def of_shop(shop):
    """Gives the points of the pretrained model, and makes a cache of their codes with a budget."""
    run = load_run(shop)
    files = open_system(run, "pretrained")
    order, vectors = np.arange(len(run.catalogue)), {"pretrained": files.document_vectors}
    return run.systems["pretrained"], lambda budget: CodeCache(order, vectors, {"pretrained": files.codecs}, budget)


def test_a_budget_lets_go_of_what_was_used_least_lately(of_shop, made):
    points, with_budget = of_shop
    wide = [point for point in points if point.dimension == 384]  # 1536, 384 and 50 bytes a vector
    held = with_budget(0)  # the largest point is held all the same, alone
    for point in (*wide, wide[0], wide[1], wide[2]):
        held.get(point)
    assert len(made) == 6  # the second drove out the first, which came back alone, so the others had to come back, too
    assert len(held) == 2
    assert held.get(wide[1]).bytes + held.get(wide[2]).bytes == sum(point.bytes_per_vector for point in wide[1:]) * 388
    roomy = with_budget(10**9)
    made.clear()
    for point in (*points, *points):
        roomy.get(point)
    assert len(made) == len(points) == len(roomy)


def test_documents_are_coded_once_whoever_asks(of_shop, made):
    points, with_budget = of_shop
    held = with_budget(10**9)
    with ThreadPoolExecutor(16) as pool:
        found = list(pool.map(held.get, [points[0]] * 64))
    assert len(made) == 1
    assert all(coded is found[0] for coded in found)
