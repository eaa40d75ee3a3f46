"""Oracle: the run's own rankings, a model asked directly, and an index that nothing happened to."""

from __future__ import annotations

import json
import shutil
from contextlib import contextmanager

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from shipping import ship
from tables import write_csv

import nestvec
from nestvec.errors import InputError
from nestvec.indexing.index import build_index, open_index
from nestvec.progress import Silent

PRODUCTS = [
    {"sku": f"P {row}", "name": name, "brand": brand, "price": price}
    for row, (name, brand, price) in enumerate(
        [
            ("cordless drill 18V", "Makita", "129.5"),
            ("hammer drill with case", "Bosch", "89"),
            ("claw hammer", "Estwing", "25"),
            ("brushed nickel shower head", "Moen", "40"),
            ("kitchen faucet &amp; sprayer", "Moen", "210"),
            ("garden hose 50 ft", "Flexon", ""),
        ]
    )
]


@pytest.fixture
def products(tmp_path):
    return write_csv(tmp_path / "products.csv", PRODUCTS)


AXES = [(48, "int8", True), (96, "binary", True)]


@pytest.mark.parametrize("point", [(384, "float32", False), (48, "int8", False), (384, "binary", False), *AXES])
def test_the_index_finds_exactly_what_was_measured(run, point):
    dimension, precision, axes = point
    with build_index(run, system="pretrained", dimension=dimension, precision=precision, axes=axes) as index:
        found = index.verify()
    results = json.loads((run / "results.json").read_text())["surface"]
    names = ("dimension", "precision", "axes", "system", "split")
    [row] = [row for row in results if tuple(row[name] for name in names) == (*point, "pretrained", "test")]
    assert found.measured == row["metrics"]["recall@10"]["value"]
    assert found.found == pytest.approx(found.measured, abs=1e-12)
    assert (found.same, found.queries, found.holds) == (1.0, row["queries"], True)


def test_two_stages_find_what_two_stages_were_measured_at(run):
    with build_index(run, system="pretrained", precision="int8", shortlist="48.int8") as index:
        found = index.verify()
    assert found.point == "pretrained-via-48-int8.384.int8"
    assert found.same == 1.0


def test_a_shortlist_on_axes_is_ranked_by_the_whole_vectors(run):
    with build_index(run, system="pretrained", precision="int8", shortlist="96a.binary") as index:
        found = index.verify()
    assert found.point == "pretrained.384.int8"  # two stages on axes are not measured
    assert found.holds


@pytest.mark.parametrize(("dimension", "precision"), [point[:2] for point in AXES])
def test_a_database_serves_vectors_on_axes(run, server, dimension, precision):
    point = {"system": "pretrained", "dimension": dimension, "precision": precision, "axes": True}
    with build_index(run, server, name=f"axes-{dimension}", **point) as index:
        exact, rough = index.verify(exact=True), index.verify()
    assert exact.same == 1.0
    assert rough.holds


def test_a_database_serves_the_same(run, server):
    index = build_index(run, server, name="ours", system="pretrained", dimension=48, precision="int8")
    exact, rough = index.verify(exact=True), index.verify()
    index.close()
    assert exact.same == 1.0
    assert rough.holds
    again = open_index(run)  # the note says where
    assert [hit.id for hit in again.search("hammer", 3)] == [hit.id for hit in again.search("hammer", 3, exact=True)]
    again.close()
    assert json.loads((run / "index/store.json").read_text())["name"] == "ours"


def test_the_command_line(run, typed):
    ship(run, 48, "int8")
    code, out, _ = typed("index", run)
    assert code == 0
    assert "serves pretrained at 48.int8" in out
    code, out, _ = typed("search", run, "steel hammer", "--top", 3, "--json")
    hits = [json.loads(line) for line in out.splitlines()]
    assert code == 0
    assert len(hits) == 3
    assert [hit["id"] for hit in hits] == [hit.id for hit in nestvec.search(run, "steel hammer", 3)]
    code, out, _ = typed("search", run, "steel hammer", "--top", 3)
    assert all(hit["id"] in out and f"{hit['score']:.4f}" in out for hit in hits)
    code, out, _ = typed("index", run, "--verify")
    assert code == 0
    assert "100.0% of the queries find the same ten documents" in out


def test_a_file_of_documents_with_fields(run, products, typed):
    options = ["--system", "pretrained", "--dimension", 96, "--precision", "int8"]
    code, out, message = typed("index", run, *options, "--documents", products)
    assert code == 0, message
    assert "6 documents" in out
    assert not (run / "index/work").exists()
    hits = nestvec.search(run, "power drill", 2)
    assert {hit.id for hit in hits} == {"P 0", "P 1"}
    hits = nestvec.search(run, "power drill", 6, ["price<100", "brand!=Bosch"])
    assert {hit.id for hit in hits} == {"P 2", "P 3"}
    assert nestvec.search(run, "faucet with a sprayer", 1)[0].text == "kitchen faucet & sprayer"
    code, out, _ = typed("search", run, "drill", "--where", "brand=Bosch")
    assert code == 0
    assert "price=89" in out
    assert "Makita" not in out


def test_documents_come_and_go(run, products, tmp_path, typed):
    assert typed("index", run, "--system", "pretrained", "--documents", products)[0] == 0
    more = write_csv(
        tmp_path / "more.csv", [{**PRODUCTS[0], "price": "99"}, {**PRODUCTS[0], "sku": "P 9", "name": "saw"}]
    )
    code, out, message = typed("index", run, "--upsert", more)
    assert code == 0, message
    assert "7 documents" in out
    (tmp_path / "gone.txt").write_text("P 1\nP 77\n")
    code, out, _ = typed("index", run, "--delete", tmp_path / "gone.txt")
    assert "1 documents removed" in out
    assert "6 documents" in out
    [hit] = nestvec.search(run, "cordless drill", 1)
    assert (hit.id, hit.fields["price"]) == ("P 0", 99)
    code, _, message = typed("index", run, "--verify")
    assert code == 1
    assert "the index holds 6 documents; expected the" in message


def test_a_test_query_that_nobody_judged_is_named(run, typed):
    assert typed("index", run, "--system", "pretrained")[0] == 0
    qrels = run / "data/qrels.trec"
    query = qrels.read_text().split()[0]
    qrels.write_text("".join(line for line in qrels.read_text().splitlines(True) if line.split()[0] != query))
    code, _, message = typed("index", run, "--verify")
    assert code == 2
    assert f"qrels.trec: has no relevant document for 1 test queries, {query!r} first; expected judgements" in message


def test_a_folder_in_the_place_of_a_file_is_named(run, typed):
    (run / "index/store.json").mkdir(parents=True)
    code, _, message = typed("index", run, "--system", "pretrained")
    assert code == 2
    assert "store.json: is a folder, and a file is to be written there; expected a file, or a path that" in message


def test_numbers_of_a_parquet_file_stay_numbers(run, tmp_path):
    table = {"id": ["a", "b"], "text": ["red paint", "blue paint"], "stock": [3, None], "sale": [True, False]}
    pq.write_table(pa.table(table), tmp_path / "products.parquet")
    build_index(run, system="pretrained", documents=tmp_path / "products.parquet").close()
    hits = nestvec.search(run, "paint", 5, ["stock>=3"])
    assert [(hit.id, dict(hit.fields)) for hit in hits] == [("a", {"stock": 3, "sale": "true"})]


BAD = {
    "no run": (["search", "{tmp}/nothing", "x"], "nothing"),
    "no index yet": (["search", "{run}", "x"], "there is no index"),
    "a store that is none": (
        ["index", "{run}", "--system", "pretrained", "--store", "redis://"],
        "--store is 'redis://'",
    ),
    "nobody answers": (
        ["index", "{run}", "--system", "pretrained", "--store", "postgresql://me:secret@localhost:1/x"],
        "localhost:1",
    ),
    "not recommended": (["index", "{run}"], "do not ship"),
    "a shortlist that was not measured": (
        ["index", "{run}", "--system", "pretrained", "--shortlist", "50.int8"],
        "--shortlist 50.int8",
    ),
    "no such file": (["index", "{run}", "--system", "pretrained", "--documents", "{tmp}/none.csv"], "none.csv"),
    "no such column": (
        ["index", "{run}", "--system", "pretrained", "--documents", "{products}", "--document", "title"],
        "'title'",
    ),
    "no id": (["index", "{run}", "--system", "pretrained", "--documents", "{noid}"], "--document-id"),
    "an empty text": (["index", "{run}", "--system", "pretrained", "--documents", "{hole}"], "row 3, column 'name'"),
}


@pytest.mark.parametrize(("words", "said"), BAD.values(), ids=BAD)
def test_bad_input_is_one_message_and_nothing_is_written(run, tmp_path, products, typed, words, said):
    places = {
        "tmp": tmp_path, "run": run, "products": products,
        "noid": write_csv(tmp_path / "noid.csv", [{"name": "saw"}]),
        "hole": write_csv(tmp_path / "hole.csv", [{"sku": "1", "name": "saw"}, {"sku": "2", "name": " "}]),
    }  # fmt: skip
    code, out, message = typed(*(word.format(**places) for word in words))
    assert code == 2, message
    assert said in message
    assert message.count("\n") == 1
    assert "secret" not in message
    assert not out
    assert not (run / "index/store.json").exists()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["search", "{run}", " "], "the query is empty"),
        (["search", "{run}", "x", "--top", "0"], "--top is 0"),
        (["search", "{run}", "x", "--where", "brand"], "--where is 'brand'"),
    ],
)
def test_a_bad_question_is_one_message(run, typed, words, said):
    build_index(run, system="pretrained").close()
    code, _, message = typed(*(word.format(run=run) for word in words))
    assert code == 2
    assert said in message


def test_an_index_of_another_model_is_refused(run, tmp_path):
    build_index(run, system="pretrained").close()
    path = run / "index/embedded/current.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "model_sha256": "1" * 64}))
    with pytest.raises(InputError, match="another model"):
        open_index(run)


def test_an_index_of_another_run_is_refused(run, tmp_path):
    """Another run measured other points."""
    build_index(run, system="pretrained", dimension=96, precision="int8").close()
    path = run / "index/embedded/current.json"
    state = json.loads(path.read_text())
    path.write_text(json.dumps({**state, "system": "mnr"}))
    with pytest.raises(InputError, match="mnr"):
        open_index(run)


class Disturbing(Silent):
    """Does something, once, when a step begins; any, or that of a label."""

    def __init__(self, work, label=None):
        self.work, self.label = [work], label

    @contextmanager
    def step(self, label, total):
        if self.work and self.label in (None, label):
            self.work.pop()()
        yield lambda done: None


def test_an_index_that_is_built_anew_at_another_point_is_followed(run, products):
    """What is searched, upserted and verified is of the point that is served now."""

    def build(dimension, precision):
        build_index(run, system="pretrained", dimension=dimension, precision=precision).close()

    build(48, "int8")
    with open_index(run) as held:
        before = held.search("hammer", 3)
        build(96, "binary")
        after = held.search("hammer", 3)
        assert held.selection.point.name == "pretrained.96.binary"
        assert [(hit.id, hit.score) for hit in after] != [(hit.id, hit.score) for hit in before]
        assert held.verify().same == 1.0
        with pytest.raises(InputError, match=r"built anew.*pretrained at 48\.int8"):
            held.upsert(products, reporter=Disturbing(lambda: build(48, "int8")))  # while documents are encoded
        assert held.search("hammer", 3) == before
        assert held.upsert(products) == len(PRODUCTS)


def test_an_index_that_changes_while_it_is_verified_is_named(run):
    with build_index(run, system="pretrained", dimension=48, precision="int8") as index, open_index(run) as other:
        gone = other.selection.run.catalogue.ids[:1]
        with pytest.raises(InputError, match="changed while it was verified"):
            index.verify(reporter=Disturbing(lambda: other.delete(gone), "verify"))
        with pytest.raises(InputError, match="that were measured"):
            index.verify()


def test_a_failed_build_leaves_the_index_that_was_there(run, tmp_path, typed):
    build_index(run, system="pretrained", dimension=48, precision="int8").close()
    before = nestvec.search(run, "hammer", 5)
    broken = tmp_path / "broken.parquet"
    broken.write_bytes(b"PAR1" + bytes(100))
    code, _, message = typed("index", run, "--system", "pretrained", "--documents", broken)
    assert code == 2, message
    assert nestvec.search(run, "hammer", 5) == before


def test_encoding_that_was_done_is_not_done_again(run, products, monkeypatch):
    """A build that is killed between encoding and its end goes on with the vectors that are there."""
    from nestvec.encoding import encode_file
    from nestvec.stores.embedded import EmbeddedStore

    whole, calls = encode_file.encode, []
    monkeypatch.setattr(encode_file, "encode", lambda *args, **options: calls.append(1) or whole(*args, **options))
    with monkeypatch.context() as broken:
        broken.setattr(EmbeddedStore, "_new_generation", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            build_index(run, system="pretrained", documents=products)
    build_index(run, system="pretrained", documents=products).close()
    assert len(calls) == 1
    assert nestvec.search(run, "saw hammer", 1)[0].id == "P 2"


def test_vectors_of_queries_are_the_models_own(run):
    from nestvec.models.find import find_model
    from nestvec.models.load import load_model

    index = build_index(run, system="pretrained")
    [hit] = index.search("claw hammer", 1, mode="vectors")
    index.close()
    model = load_model(find_model("all-MiniLM-L6-v2"))
    sides = model.encode(["claw hammer", hit.text], normalize_embeddings=True)
    assert hit.score == pytest.approx(float(np.dot(*sides)), abs=1e-5)
    shutil.rmtree(run / "index")
    with pytest.raises(InputError, match="there is no index"):
        open_index(run)
