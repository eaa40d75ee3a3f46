"""Oracle: the run's own files, read another way, and a model asked directly."""

from __future__ import annotations

import json
import shutil
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pyarrow.parquet as pq
import pytest
from shared_runs import copy_run
from tables import THINGS, rows, write_csv

from nestvec.errors import InputError
from nestvec.indexing.index import build_index
from nestvec.indexing.index_query import IndexQuery
from nestvec.indexing.index_settings import Columns
from nestvec.models.find import find_model
from nestvec.models.prompts import QUERY
from nestvec.point import VectorFormat
from nestvec.runs.choose_point import PointSettings
from nestvec.serving.service import Service, UnknownPointError
from nestvec.serving.serving_options import ServingOptions
from nestvec.stores.store import About, Condition


def place(point):
    return point.system, point.dimension, point.precision


def recommended(shop):
    """The point that recommendation.json has, by vectors alone; which system's it is, training on so little decides."""
    made = json.loads((shop / "recommendation.json").read_text())
    point = made["point"] or made["reference"]
    return point["system"].removesuffix("+bm25"), point["dimension"], point["precision"]


def test_a_point_is_what_is_named_and_the_rest_the_default_s_or_full(shop, service):
    assert service.systems == ("pretrained", "mnr", "matryoshka", "bm25")
    assert place(service.default) == recommended(shop)
    assert service.find_point() == service.default
    system, _, precision = recommended(shop)
    assert place(service.find_point(PointSettings(dimension=48))) == (system, 48, precision)
    assert place(service.find_point(PointSettings("matryoshka"))) == ("matryoshka", 384, "float32")
    assert place(service.find_point(PointSettings("pretrained", precision="int8"))) == ("pretrained", 384, "int8")
    assert place(service.find_point(PointSettings("bm25"))) == ("bm25", None, None)
    assert service.find_point(PointSettings("mnr", 96, "int8")).bytes_per_vector == 96


def test_the_default_s_own_dimension_and_precision_go_with_its_system(shop, tmp_path):
    run = copied(shop, tmp_path)
    point = {"system": "mnr", "dimension": 48, "precision": "int8", "bytes_per_vector": 48}
    edit(run / "recommendation.json", point=point)
    service = Service.open(run)
    assert place(service.find_point()) == ("mnr", 48, "int8")
    assert place(service.find_point(PointSettings("mnr", 96))) == ("mnr", 96, "int8")
    assert place(service.find_point(PointSettings(precision="binary"))) == ("mnr", 48, "binary")
    assert place(service.find_point(PointSettings("pretrained"))) == ("pretrained", 384, "float32")
    service.close()


@pytest.mark.parametrize(
    ("named", "field", "said"),
    [
        (("glove",), "system", "pretrained, mnr, matryoshka, bm25"),
        (("",), "system", "pretrained, mnr, matryoshka, bm25"),
        (("mnr", 50), "dimension", "384, 96, 48"),
        (("mnr", 0), "dimension", "384, 96, 48"),
        ((None, 192, "int8"), "dimension", "384, 96, 48"),
        (("mnr", 48, "int4"), "precision", "float32, int8, binary"),
        (("mnr", None, ""), "precision", "float32, int8, binary"),
        (("bm25", 48), "dimension", "no vectors"),
        (("bm25", None, "int8"), "precision", "no vectors"),
    ],
)
def test_a_point_named_wrongly_says_which_part_and_what_there_is(service, named, field, said):
    with pytest.raises(UnknownPointError, match=said) as raised:
        service.find_point(PointSettings(*named))
    assert raised.value.field == field
    unknown = {"glove", "50", "0", "192", "int4"} & {str(part) for part in named}
    assert not unknown & set(raised.value.message.replace(",", " ").split())  # it may be anything, so it is not said


def test_widths(service):
    assert service.width("mnr") == 384
    for name in ("bm25", "glove"):
        with pytest.raises(UnknownPointError, match="pretrained, mnr, matryoshka") as raised:
            service.width(name)
        assert raised.value.field == "system"


@pytest.mark.parametrize("system", ["pretrained", "mnr", "matryoshka"])
def test_a_judged_query_has_the_vector_that_was_measured_and_its_encoding_is_the_same(shop, service, system):
    texts = pq.read_table(shop / "data/queries.parquet")["query"].to_pylist()
    stored = np.load(shop / f"embeddings/{system}.npy")[: len(texts)]
    known = np.stack([service.find_vector(system, text) for text in texts])
    assert known.tolist() == stored.tolist()
    fresh = service.encode(system, texts, QUERY)
    assert fresh.shape == (len(texts), service.width(system))
    assert float((fresh * stored).sum(axis=1).min()) >= 0.99999


def test_many_threads_encode_the_same(service):
    assert service.parallel("pretrained")
    assert not service.parallel("mnr")  # its graph is kept
    texts = [f"{thing} size {row}" for row, thing in enumerate(THINGS * 4)]
    alone = [service.encode("mnr", [text], QUERY).tolist() for text in texts]
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(lambda text: service.encode("mnr", [text], QUERY).tolist(), texts)) == alone


def test_what_was_encoded_is_remembered_by_system(service):
    assert service.find_vector("mnr", "an unheard-of query") is None
    batch = service.encode("mnr", ["an unheard-of query", "another"], QUERY)
    service.remember_vector("mnr", "an unheard-of query", batch[0])
    expected = batch[0].tolist()
    batch[:] = 0
    assert service.find_vector("mnr", "an unheard-of query").tolist() == expected
    assert service.find_vector("pretrained", "an unheard-of query") is None


def test_tokens_are_those_of_the_model_s_own_tokenizer(shop, service):
    from transformers import AutoTokenizer

    texts = ["hammer", "Ünlikely \U0001f529 wörds, 3 in. x 4 in.", "nail " * 1000, "\0"]
    for system, folder in (("pretrained", find_model("all-MiniLM-L6-v2").path), ("mnr", shop / "models/mnr")):
        theirs = AutoTokenizer.from_pretrained(folder)(texts, truncation=True, max_length=256)
        token_counts = np.zeros(len(texts), dtype=np.int64)
        service.encode(system, texts, QUERY, token_counts)
        assert token_counts.tolist() == [len(ids) for ids in theirs["input_ids"]]


def test_judgements_are_the_table_s(shop, service):
    table = rows(queries=80)
    texts = {text: name for name, text in _pairs(shop, "document_id", "document")}
    splits = dict(_pairs(shop, "query", "split"))
    for query in {row["query"] for row in table}:
        judged = service.find_judgements(query)
        grades = {texts[row["document"]]: row["grade"] for row in table if row["query"] == query}
        assert judged.grades == grades
        assert judged.threshold == 1.5
        assert judged.relevant_count == sum(grade >= 2 for grade in grades.values())
        assert judged.split == splits[query] or judged.split == "train"
        for document, grade in grades.items():
            assert judged.is_relevant(document) == (grade >= 2)
        assert judged.is_relevant("no such document") is None
    assert service.find_judgements("nobody asked") is None


def _pairs(shop, *columns):
    table = pq.read_table(shop / "data/records.parquet").to_pydict()
    return zip(*(table[column] for column in columns), strict=True)


def test_judgements_are_of_the_id_that_was_measured(shop, service):
    queries = pq.read_table(shop / "data/queries.parquet").to_pydict()
    for name, text, split in zip(*(queries[column] for column in ("query_id", "query", "split")), strict=True):
        judged = service.find_judgements(text)
        assert (judged.query_id, judged.split) == (name, split)


def test_the_texts_of_hits_and_how_many_there_are(shop, service):
    texts = dict(_pairs(shop, "document_id", "document"))
    assert service.documents == len(texts) == 388
    vectors = service.encode("mnr", ["steel hammer", "saw"], QUERY)
    both = service.search(service.default, ["steel hammer", "saw"], vectors, 1000)
    for hits in both:
        assert {hit.id: hit.text for hit in hits} == texts
        scores = [hit.score for hit in hits]
        assert scores == sorted(scores, reverse=True)
    alone = service.search(service.default, ["saw"], vectors[1:], 7)
    assert alone[0] == both[1][:7]
    assert service.search(service.default, [], np.zeros((0, 384), dtype=np.float32), 7) == []
    [lexical] = service.search(service.find_point(PointSettings("bm25")), ["zyzzyva"], None, 5)
    assert [hit.score for hit in lexical] == [0] * 5


def test_facts_are_the_run_s_and_fit_json(shop, service):
    facts = service.summarise()
    assert json.loads(json.dumps(facts, allow_nan=False)) == facts
    surface = json.loads((shop / "results.json").read_text())["surface"]
    names = ("system", "dimension", "precision", "axes")
    measured = {tuple(row[name] for name in names): row for row in surface if row["split"] == "test"}
    shown = {
        (system["name"], point["dimension"], point["precision"], point["axes"]): point
        for system in facts["systems"]
        for point in system["points"]
    }
    plain = [name for name, row in measured.items() if row["kind"] == "plain"] + [("bm25", None, None, False)]
    assert list(shown) == plain
    assert any(axes for *_, axes in plain)
    for name, point in shown.items():
        assert point["bytes_per_vector"] == measured[name]["bytes_per_vector"]
        for metric in ("recall@10", "ndcg@10", "mrr@10"):
            assert point["metrics"][metric] == measured[name]["metrics"][metric]
        system, *place_of = name
        fused = measured.get((f"{system}+bm25", *place_of))
        assert (point["fused"] is None) == (fused is None) == (system == "bm25")
        assert fused is None or point["fused"]["metrics"]["recall@10"] == fused["metrics"]["recall@10"]
    made = json.loads((shop / "recommendation.json").read_text())
    assert facts["headline"].startswith("Ship " if made["decision"] == "ship" else ("Do not ship", "Nothing is proven"))
    assert (facts["decision"], facts["reason"], facts["metric"]) == (made["decision"], made["reason"], "recall@10")
    assert tuple(facts["default"].values()) == recommended(shop)
    assert facts["grades"] == {"lowest": 1, "highest": 3}
    assert (facts["documents"], facts["threshold"], facts["index"]) == (388, 1.5, None)


def test_examples_changed_as_they_say(shop, service):
    queries = {text: name for name, text in _pairs(shop, "query_id", "query")}
    values = pq.read_table(shop / "per_query.parquet").to_pylist()

    def recall(query, place):
        wanted = (queries[query], "recall@10", place["system"], place["dimension"], place["precision"])
        [value] = [
            row["value"]
            for row in values
            if (row["query_id"], row["metric"], row["system"], row["dimension"], row["precision"]) == wanted
            and not row["axes"]
        ]
        return value

    examples = service.summarise()["examples"]
    assert examples["gained"]
    assert examples["lost"]
    for example in (*examples["gained"], *examples["lost"]):
        assert example["before"] == recall(example["query"], examples["before"])
        assert example["after"] == recall(example["query"], examples["after"])


def copied(shop, tmp_path):
    return copy_run(shop, tmp_path / "run")


def edit(path, **values):
    path.write_text(json.dumps({**json.loads(path.read_text()), **values}))


DAMAGED = [
    "results.json",
    "recommendation.json",
    "data/records.parquet",
    "data/catalogue.parquet",
    "data/queries.parquet",
    "data/grades.json",
    "embeddings/matryoshka.npy",
    "models/mnr/codecs.safetensors",
    "models/mnr/model.safetensors",
    "codes/pretrained/codecs.safetensors",
]


def cut_short(path):
    """The rest of it is another file, since the copy may share its content with the original."""
    start = path.read_bytes()[:90]
    path.unlink()
    path.write_bytes(start)


@pytest.mark.parametrize("name", DAMAGED)
@pytest.mark.parametrize("damage", [lambda path: path.unlink(), cut_short])
def test_a_file_that_is_missing_or_cut_short_is_named(shop, tmp_path, name, damage):
    run = copied(shop, tmp_path)
    damage(run / name)
    with pytest.raises(InputError, match=name):
        Service.open(run)


def test_a_point_without_a_codec_is_named(shop, tmp_path):
    run = copied(shop, tmp_path)
    shutil.copy(run / "models/mnr/codecs.safetensors", run / "codes/pretrained/codecs.safetensors")
    results = json.loads((run / "results.json").read_text())
    del results["measured_with"]  # an earlier nestvec stated no hash of the codecs
    for row in results["surface"]:
        row["dimension"] = 50 if row["dimension"] == 48 else row["dimension"]
    (run / "results.json").write_text(json.dumps(results))
    with pytest.raises(InputError, match=r"codes/pretrained/codecs.safetensors.*lacks 50\.float32"):
        Service.open(run)


def test_what_is_no_run_is_refused(tmp_path):
    with pytest.raises(InputError, match="nothing"):
        Service.open(tmp_path / "nothing")


def test_a_model_that_cannot_be_loaded_is_named(shop, tmp_path):
    run = copied(shop, tmp_path)
    service = Service.open(run)
    (run / "models/matryoshka/model.safetensors").unlink()
    service.load("mnr")
    with pytest.raises(InputError, match=r"models/matryoshka/model\.safetensors"):
        service.load("matryoshka")
    service.close()


@pytest.mark.parametrize(("backend", "first"), [("kept", ("mnr",)), ("torch", ("pretrained", "mnr", "matryoshka"))])
def test_a_server_waits_for_kept_graphs_or_for_all_models_of_a_named_backend(shop, backend, first):
    service = Service.open(shop, ServingOptions(backend=backend))
    assert service.loaded_first == first
    service.close()


def test_without_any_graph_a_server_waits_for_the_recommended_system_alone(shop, tmp_path):
    run = copied(shop, tmp_path)
    shutil.rmtree(run / "index/graphs")
    service = Service.open(run)
    assert service.loaded_first == (service.default.system,)
    service.close()


@pytest.fixture(scope="module")
def indexed(shop, tmp_path_factory):
    """A service of a run with an index of other documents, with a price."""
    folder = tmp_path_factory.mktemp("indexed")
    run = copied(shop, folder)
    products = [{"sku": f"p{row}", "name": f"claw hammer {row}", "price": row} for row in range(200)]
    path = write_csv(folder / "products.csv", products)
    columns = Columns("name", "sku", ["price"])
    build_index(run, system="mnr", dimension=96, precision="int8", documents=path, columns=columns).close()
    service = Service.open(run)
    yield service
    service.close()


def test_the_index_is_asked_with_its_filters_from_many_threads(indexed):
    assert indexed.summarise()["index"] == {"system": "mnr", "dimension": 96, "precision": "int8", "documents": 200}
    texts = ["claw hammer 7", "claw hammer"]
    vectors = indexed.encode("mnr", texts, QUERY)

    def ask(mode, where=(), queries=texts, **options):
        query = IndexQuery(indexed.served[0], queries, vectors, mode, 5, where, count=True, **options)
        answer = indexed.search_index(query)
        assert answer.documents == 200 and answer.searched == queries
        return answer.hits

    [expected, _] = ask("vectors")
    alone = indexed.index.search("claw hammer 7", 5, mode="vectors")  # encoded by itself: its last bits differ
    assert [hit.id for hit in expected] == [hit.id for hit in alone]
    assert [hit.score for hit in expected] == pytest.approx([hit.score for hit in alone], abs=1e-5)
    few = [Condition.parse("price<20"), Condition.parse("price>=17")]
    [filtered, _] = ask("vectors", few)
    assert {hit.id for hit in filtered} == {f"p{row}" for row in range(17, 20)}
    assert all(17 <= hit.fields["price"] < 20 for hit in filtered)
    [by_words, none] = ask("words", few, ["claw hammer 17", "garden hose"])
    assert (by_words[0].id, len(by_words), none) == ("p17", 3, [])
    [fused, _] = ask("fused", few, weight=0.0)
    assert [hit.id for hit in fused] == [hit.id for hit in filtered]
    with ThreadPoolExecutor(8) as pool:
        assert all(each[0] == expected for each in pool.map(lambda _: ask("vectors"), range(40)))
    assert indexed.search(indexed.default, ["hammer"], vectors[:1], 1)[0][0].id.startswith("d")  # the run's own


def test_without_an_index_there_is_nothing_to_filter(service):
    assert service.index is None and service.served == (None, None)
    about = About("mnr", "0" * 64, 384, (VectorFormat(96, "int8"),))
    with pytest.raises(UnknownPointError, match="nestvec index") as raised:
        service.search_index(IndexQuery(about, ["hammer"], None, "words", 5))
    assert raised.value.field == "filter"


def test_a_store_that_was_not_built_is_refused(shop):
    with pytest.raises(InputError, match="there is no index"):
        Service.open(shop, ServingOptions(store="embedded"))
