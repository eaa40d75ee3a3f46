"""Recipes of an export, run where a package can run them.

Oracles: the definition of a fused ranking, `Bm25`, the codec's decoded vectors and `Fusion`, over a small catalogue;
PostgreSQL with pgvector and Qdrant's local mode as peers; the vendors' own models of a request.
"""

from __future__ import annotations

import importlib.util
import json
from dataclasses import replace

import numpy as np
import pytest
from shared_runs import copy_run

from nestvec.errors import InputError
from nestvec.exporting.export_model import export
from nestvec.exporting.recipe_numbers import RecipeNumbers
from nestvec.exporting.search_recipes import render_recipes
from nestvec.lexical.bm25 import Bm25, LexicalSettings
from nestvec.lexical.fusion import CANDIDATES, NORMALISATIONS, Fusion
from nestvec.lexical.hybrid_file import Hybrid, read_hybrid, write_hybrid
from nestvec.lexical.words import WordForms, split_words
from nestvec.models.export_card import read_card
from nestvec.point import VectorFormat
from nestvec.vectors.codecs import CODECS
from nestvec.vectors.stored import save_codecs
from nestvec.vectors.topk import tie_order

WORDS = [
    "drill",
    "hammer",
    "saw",
    "ladder",
    "cordless",
    "the",
    "brass",
    "steel",
    "hose",
    "2",
    "in",
    "18",
    "volt",
    "shower",
    "head's",
    "naïve",
]
LEXICAL = LexicalSettings(WordForms("english", stop_words=True), k1=0.3, b=0.6)
QUERIES = ["cordless drill 18 volt", "the 'brass' hose", "drills drill", "nothing known xyzzy"]
DIMENSION = 40
WEIGHTS = {"384.float32": 0.4, "48.binary": 0.7}


class Shop:
    """A catalogue with doubles, its vectors, and what a recipe fills in."""

    def __init__(self, precision, normalisation, documents=330, weight=0.4):
        rng = np.random.default_rng(5)
        self.texts = [" ".join(rng.choice(WORDS, rng.integers(1, 9))) for _ in range(documents)]
        self.ids = [f"d'{row}; \\ é" for row in range(documents)]
        self.vectors = self.draw(rng, documents)
        self.texts[7], self.vectors[7] = self.texts[8], self.vectors[8]  # equal in both legs
        self.asked = self.draw(rng, len(QUERIES))
        codec = CODECS[precision](self.vectors)
        self.fusion, self.format = Fusion(weight, normalisation, 20), VectorFormat(DIMENSION, precision)
        mean = float(np.mean([len(words) for words in split_words(self.texts, LEXICAL.forms)]))
        self.numbers = RecipeNumbers(LEXICAL, self.fusion, mean, self.format, codec)
        self.files = render_recipes(self.numbers)

    @staticmethod
    def draw(rng, count):
        drawn = rng.standard_normal((count, DIMENSION)) + 0.4
        return (drawn / np.linalg.norm(drawn, axis=1, keepdims=True)).astype(np.float32)

    def ranked(self, query):
        """Every candidate's id and fused score, best first, by the definition."""
        order, codec = tie_order(self.ids), self.numbers.codec
        words = Bm25.of([self.texts[row] for row in order], LEXICAL)
        lexical = words.score_pairs(
            words.counts.count_queries(QUERIES), np.full(len(order), query), np.arange(len(order))
        )
        decoded = codec.decode(codec.encode(self.vectors[order])).astype(np.float64)
        dense = (decoded * self.asked[query]).sum(axis=1).astype(np.float32)
        legs = [np.argsort(-leg, kind="stable")[:CANDIDATES] for leg in (lexical, dense)]
        rows = np.union1d(legs[0][lexical[legs[0]] > 0], legs[1])
        fused = self.fusion.fuse(lexical[None, rows], dense[None, rows])[0]
        best = np.argsort(-fused, kind="stable")
        return [self.ids[order[row]] for row in rows[best]], fused[best]

    def write(self, folder):
        for name, text in self.files.items():
            path = folder / "recipes" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
        save_codecs(folder / "codec.safetensors", {self.format.name: self.numbers.codec})
        return folder / "recipes"


def same(found, wanted, scores, tolerance=1e-6):
    """Whether ids are in the order that is wanted; only scores that differ by rounding may swap."""
    places = {name: place for place, name in enumerate(wanted)}
    moved = [(scores[places[name]] - scores[place]) for place, name in enumerate(found) if places[name] != place]
    return len(set(found)) == len(found) and all(abs(gap) <= tolerance for gap in moved)


@pytest.mark.parametrize("normalisation", NORMALISATIONS)
@pytest.mark.parametrize("precision", ["float32", "float16", "int4", "int2", "binary"])
def test_the_sql_finds_what_was_measured(precision, normalisation, server, tmp_path):
    import psycopg

    shop = Shop(precision, normalisation)
    recipes = shop.write(tmp_path) / "pgvector"
    spec = importlib.util.spec_from_file_location("load", recipes / "load.py")
    load = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(load)
    with psycopg.connect(server) as connection:
        connection.execute("DROP SCHEMA IF EXISTS recipe CASCADE; CREATE SCHEMA recipe")
        connection.execute("SET search_path = recipe, public")
        connection.execute((recipes / "1-tables.sql").read_text())
        load.add(connection, shop.ids, shop.texts, shop.vectors)
        connection.execute((recipes / "2-weigh.sql").read_text())
        connection.execute("SET search_path = recipe, public")
        connection.execute((recipes / "3-search.sql").read_text())
        for query, vector in enumerate(shop.asked):
            rows = connection.execute(load.question(QUERIES[query], vector, CANDIDATES)).fetchall()
            wanted, scores = shop.ranked(query)
            assert len(rows) == CANDIDATES and same([name for name, *_ in rows], wanted, scores)
            assert [score for *_, score in rows] == pytest.approx(scores[:CANDIDATES].tolist(), abs=1e-6)
            assert all(text == shop.texts[shop.ids.index(name)] for name, text, _ in rows)
        connection.execute("DEALLOCATE nestvec_search; DROP SCHEMA recipe CASCADE")


def test_qdrants_answer_is_what_was_measured():
    """In the client's local mode, which computes exactly; on a server quantisation comes on top."""
    qdrant = pytest.importorskip("qdrant_client")
    from qdrant_client import models

    shop = Shop("float32", "best")
    files = {name: json.loads(text) for name, text in shop.files.items() if name.startswith("qdrant/")}
    collection = files["qdrant/collection.json"]
    client = qdrant.QdrantClient(":memory:")
    client.create_collection(
        "documents",
        vectors_config={"dense": models.VectorParams(**collection["vectors"]["dense"])},
        sparse_vectors_config={"words": models.SparseVectorParams(**collection["sparse_vectors"]["words"])},
    )
    split = split_words(shop.texts, LEXICAL.forms)
    places = {word: place for place, word in enumerate(sorted(set().union(*split)))}
    k1, b, mean = LEXICAL.k1, LEXICAL.b, shop.numbers.mean_length
    points = []
    for row, words in enumerate(split):
        times = {word: words.count(word) for word in words}
        values = [count / (count + k1 * (1 - b + b * len(words) / mean)) for count in times.values()]
        sparse = models.SparseVector(indices=[places[word] for word in times], values=values)
        vector = {"dense": shop.vectors[row].tolist(), "words": sparse}
        points.append(models.PointStruct(id=row, vector=vector, payload={"id": shop.ids[row]}))
    client.upsert("documents", points)
    for query in range(3):
        words = split_words([QUERIES[query]], LEXICAL.forms)[0]
        times = {places[word]: float(words.count(word)) for word in words if word in places}
        sparse = {"indices": list(times), "values": list(times.values())}
        best = {**files["qdrant/best_words.json"], "query": sparse}
        top = client.query_points("documents", **arguments(models.QueryRequest(**best))).points[0].score
        body = json.loads(shop.files["qdrant/search.json"])
        body["query"]["formula"]["sum"][0]["mult"][1]["div"]["right"] = top
        for leg, value in zip(body["prefetch"], (sparse, shop.asked[query].tolist()), strict=True):
            leg["query"] = value
            for inner, own in zip(leg["prefetch"], (sparse, shop.asked[query].tolist()), strict=True):
                inner["query"] = own
        found = client.query_points("documents", **arguments(models.QueryRequest(**body))).points
        wanted, scores = shop.ranked(query)
        assert same([point.payload["id"] for point in found], wanted, scores, 1e-5)
        assert [point.score for point in found] == pytest.approx(scores[:10].tolist(), abs=1e-5)


def arguments(request):
    """A request as the client's method takes it."""
    values = {name: getattr(request, name) for name in type(request).model_fields}
    return {name: value for name, value in values.items() if value is not None and name != "with_payload"} | {
        "with_payload": True
    }


@pytest.mark.parametrize("normalisation", NORMALISATIONS)
@pytest.mark.parametrize("precision", list(CODECS))
def test_every_file_can_be_read_and_has_the_fitted_numbers(precision, normalisation):
    shop = Shop(precision, normalisation, documents=20, weight=0.3)
    files = {name: json.loads(text) for name, text in shop.files.items() if name.endswith(".json")}
    assert len(files) == 10
    for engine in ("elasticsearch", "opensearch"):
        index = files[f"{engine}/index.json"]
        settings = index["settings"]
        similarity = settings["similarity"] if engine == "elasticsearch" else settings["index"]["similarity"]
        assert similarity["nestvec"] == {"type": "BM25", "k1": 0.3, "b": 0.6}
        analyzer = settings["analysis"]["analyzer"]["nestvec"]
        assert analyzer["filter"] == ["lowercase", "nestvec_stop", "nestvec_stem"]
        assert "the" in settings["analysis"]["filter"]["nestvec_stop"]["stopwords"]
        text = index["mappings"]["properties"]["text"]
        assert text == {"type": "text", "analyzer": "nestvec", "similarity": "nestvec"}
    schema = shop.files["vespa/documents.sd"]
    assert schema.count("{") == schema.count("}") and "bm25(text).k1: 0.3" in schema and "bm25(text).b: 0.6" in schema
    assert f"(x[{DIMENSION}])" in schema
    told = shop.files["README.md"]
    assert "k1 0.3, b 0.6" in told and "0.3 * words + 0.7 * vectors" in told and "one byte" in told
    assert "correct" not in told.lower()  # nothing was corrected
    if precision == "float32":
        models = pytest.importorskip("qdrant_client").models
        models.CreateCollection.model_validate(files["qdrant/collection.json"])
        models.QueryRequest.model_validate(files["qdrant/search.json"])


def test_the_vendors_clients_read_the_search_bodies():
    elastic = pytest.importorskip("elasticsearch.dsl")
    pytest.importorskip("opensearchpy")
    from opensearchpy import Search

    shop = Shop("binary", "best", documents=20)
    linear = json.loads(shop.files["elasticsearch/search.json"])["retriever"]["linear"]
    for part in linear["retrievers"]:
        query = part["retriever"].get("standard", {}).get("query")
        assert query is None or elastic.Q(query).to_dict() == query
    body = json.loads(shop.files["opensearch/search.json"])
    assert Search.from_dict({"size": body["size"]}).to_dict() == {"size": 10}


@pytest.fixture(scope="module")
def fitted(run, tmp_path_factory):
    """A copy of the run with a `hybrid.json`: words weigh .4 beside what it recommends, .7 beside small codes."""
    copy = copy_run(run, tmp_path_factory.mktemp("fitted") / "run")
    write_hybrid(copy / "hybrid.json", Hybrid(LEXICAL, Fusion(0.4), 50, 8.5, WEIGHTS))
    return copy


def test_an_export_holds_them_and_its_card_lists_them(fitted, tmp_path):
    made = export(fitted, tmp_path / "out", system="pretrained", dimension=48, precision="binary")
    wanted, held = read_hybrid(fitted / "hybrid.json"), read_hybrid(made.folder / "hybrid.json")
    assert held == replace(wanted, fusion=Fusion(0.7))  # the exported vectors' weight, as in the recipes beside it
    sql = (made.folder / "recipes" / "pgvector" / "3-search.sql").read_text()
    assert held.weights == WEIGHTS and "0.7::double precision * words" in sql
    recipes = made.folder / "recipes"
    assert {path.name for path in recipes.iterdir()} == {
        "README.md", "pgvector", "elasticsearch", "opensearch", "qdrant", "vespa"
    }  # fmt: skip
    assert "48.binary" in (recipes / "README.md").read_text()
    assert {"hybrid.json", "recipes/README.md", "recipes/pgvector/3-search.sql"} <= set(read_card(made.folder).files)


def test_a_damaged_hybrid_file_leaves_nothing(fitted, tmp_path, tmp_path_factory):
    copy = copy_run(fitted, tmp_path_factory.mktemp("damaged") / "run")
    (copy / "hybrid.json").write_text("{")
    with pytest.raises(InputError, match=r"hybrid\.json"):
        export(copy, tmp_path / "out", system="pretrained", dimension=48, precision="int8")
    assert not list(tmp_path.iterdir())


def test_a_run_without_one_exports_as_before(fitted, tmp_path, tmp_path_factory):
    copy = copy_run(fitted, tmp_path_factory.mktemp("old") / "run")
    (copy / "hybrid.json").unlink()
    made = export(copy, tmp_path / "out", system="pretrained", dimension=48, precision="int8")
    assert not (made.folder / "hybrid.json").exists() and not (made.folder / "recipes").exists()
