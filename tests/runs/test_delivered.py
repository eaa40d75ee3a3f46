"""Oracle: the run's own files; which point is meant by what is named."""

from __future__ import annotations

import numpy as np
import pytest
from shipping import ship

from nestvec.runs.delivered import choose
from nestvec.errors import InputError
from nestvec.vectors.codecs import prefix


def place(delivered):
    return delivered.point.system, delivered.point.dimension, delivered.point.precision


def test_a_run_that_ships_nothing_wants_a_system(measured):
    with pytest.raises(InputError, match=r"do not ship.*--system, one of pretrained"):
        choose(measured)
    assert place(choose(measured, "pretrained")) == ("pretrained", 384, "float32")
    assert place(choose(measured, "pretrained", 48)) == ("pretrained", 48, "float32")
    assert place(choose(measured, "pretrained", precision="int8")) == ("pretrained", 384, "int8")


def test_what_is_recommended_is_what_is_meant(run):
    ship(run, 48, "int8")
    assert place(choose(run)) == ("pretrained", 48, "int8")
    assert place(choose(run, dimension=96)) == ("pretrained", 96, "int8")
    assert place(choose(run, "pretrained", precision="binary")) == ("pretrained", 48, "binary")


@pytest.mark.parametrize(
    ("named", "said"),
    [
        ({"system": "mnr"}, "no system 'mnr'; expected one of pretrained"),
        ({"system": "bm25"}, "no system 'bm25'"),
        ({"system": "pretrained", "dimension": 50}, "did not measure pretrained at 50.float32; expected one of"),
        ({"system": "pretrained", "precision": "int4"}, "did not measure pretrained at 384.int4"),
    ],
)
def test_what_was_not_measured_is_refused(measured, named, said):
    with pytest.raises(InputError, match=said):
        choose(measured, **named)


def test_vectors_and_codec_are_those_that_were_measured(measured):
    import nestvec.vectors.topk as search

    delivered = choose(measured, "pretrained", 48, "int8")
    ids, texts = delivered.catalogue()
    asked, _, splits = delivered.queries()
    assert len(ids) == len(texts) == len(delivered.vectors())
    assert len(asked) == len(delivered.query_vectors())
    order = search.tie_order(ids)
    codes = delivered.codec.encode(prefix(np.asarray(delivered.vectors()), 48))[order]
    rows, _ = search.top_k(prefix(np.asarray(delivered.query_vectors()), 48), codes, 10, delivered.codec.decode)
    lines = (measured / "runs/pretrained.48.int8.trec").read_text().splitlines()
    told = [line.split()[2] for line in lines if int(line.split()[3]) <= 10]
    test = [row for row, split in enumerate(splits) if split == "test"]
    assert [ids[order[place]] for row in test for place in rows[row]] == told


@pytest.mark.parametrize("name", ["data/catalogue.parquet", "data/queries.parquet", "embeddings/pretrained.npy"])
@pytest.mark.parametrize("damage", [lambda path: path.unlink(), lambda path: path.write_bytes(path.read_bytes()[:90])])
def test_a_damaged_run_is_named(run, name, damage):
    damage(run / name)
    with pytest.raises(InputError, match=name):
        choose(run, "pretrained").vectors()


def test_another_system_s_vectors_are_refused(run):
    np.save(run / "embeddings/pretrained.npy", np.zeros((5, 384), dtype=np.float32))
    with pytest.raises(InputError, match="holds 5 by 384"):
        choose(run, "pretrained").vectors()
