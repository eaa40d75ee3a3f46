"""Queries that are documents themselves, served. Oracle: the run's TREC files, which leave each query's own one out."""

from __future__ import annotations

import pytest
from shared_runs import make_once
from tables import CASES

import nestvec
from nestvec.runs.choose_point import PointSettings
from nestvec.serving.service import Service

QUICK = {"epochs": 0, "bigger": "", "dimensions": "16", "precisions": "int8,binary", "resamples": 100, "seed": 3}


@pytest.fixture(scope="module")
def service(tiny, tmp_path_factory):
    def make(folder):
        shares = {"test": 0.4, "validation": 0.2}
        source = str(CASES / "beir_selfid")
        nestvec.run(source, folder / "run", model=str(tiny), progress=False, **QUICK, **shares)

    service = Service.open(make_once(tmp_path_factory, "own", make) / "run")
    yield service
    service.close()


@pytest.mark.parametrize("precision", ["float32", "binary"])
def test_a_measured_query_gets_the_run_file_s_list_in_every_mode(service, precision):
    point = service.find_point(PointSettings("pretrained", 16, precision))
    queries = service.run.query_texts(list(service.run.ranking("bm25")))
    texts = list(queries.values())
    vectors = [service.find_vector("pretrained", text) for text in texts]
    weight = service.keywords.fusion(point.format).weight
    served = {
        point.name: service.search(point, texts, vectors, 100),
        "bm25": service.search(service.find_point(PointSettings("bm25")), texts, None, 100),
        f"pretrained+bm25.16.{precision}": service.search_fused(point, texts, vectors, 100, weight),
    }
    for name, lists in served.items():
        wanted = service.run.ranking(name)
        for query, hits in zip(queries, lists, strict=True):
            assert query in service.run.catalogue.ids
            assert [hit.id for hit in hits] == wanted[query], name


def test_any_other_text_finds_every_document(service):
    [own] = service.search(
        service.find_point(PointSettings("bm25")), ["red hammer size 0 "], None, len(service.run.catalogue)
    )
    assert {hit.id for hit in own} == set(service.run.catalogue.ids)


def test_a_training_query_does_not_find_itself_either(service):
    rows = service.run.read_records(["query_id", "query", "split"]).to_pylist()
    row = next(row for row in rows if row["split"] == "train")
    [hits] = service.search(service.find_point(PointSettings("bm25")), [row["query"]], None, len(service.run.catalogue))
    assert {hit.id for hit in hits} == set(service.run.catalogue.ids) - {row["query_id"]}
