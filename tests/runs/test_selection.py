"""Oracle: the run's own files; which point is meant by what is named."""

from __future__ import annotations

import numpy as np
import pytest
from shipping import ship

from nestvec.errors import InputError
from nestvec.runs.point_files import select
from nestvec.runs.run import load_run
from nestvec.vectors.cut import prefix


def named(selection):
    return selection.point.system, selection.point.dimension, selection.point.precision


def test_a_run_that_ships_nothing_wants_a_system(measured):
    with pytest.raises(InputError, match=r"do not ship.*--system, one of pretrained"):
        select(load_run(measured))
    assert named(select(load_run(measured), "pretrained")) == ("pretrained", 384, "float32")
    assert named(select(load_run(measured), "pretrained", 48)) == ("pretrained", 48, "float32")
    assert named(select(load_run(measured), "pretrained", precision="int8")) == ("pretrained", 384, "int8")


def test_what_is_recommended_is_what_is_meant(run):
    ship(run, 48, "int8")
    assert named(select(load_run(run))) == ("pretrained", 48, "int8")
    assert named(select(load_run(run), dimension=96)) == ("pretrained", 96, "int8")
    assert named(select(load_run(run), "pretrained", precision="binary")) == ("pretrained", 48, "binary")


@pytest.mark.parametrize(
    ("parts", "said"),
    [
        ({"system": "mnr"}, "no system 'mnr'; expected one of pretrained"),
        ({"system": "bm25"}, "no system 'bm25'"),
        ({"system": "pretrained", "dimension": 50}, "did not measure pretrained at 50.float32; expected one of"),
        ({"system": "pretrained", "precision": "int4"}, "did not measure pretrained at 384.int4"),
    ],
)
def test_what_was_not_measured_is_refused(measured, parts, said):
    with pytest.raises(InputError, match=said):
        select(load_run(measured), **parts)


def test_vectors_and_codec_are_those_that_were_measured(measured):
    import nestvec.vectors.topk as search

    selection = select(load_run(measured), "pretrained", 48, "int8")
    ids, splits = selection.run.catalogue.ids, selection.run.queries.splits
    assert len(ids) == len(selection.run.catalogue.texts) == len(selection.document_vectors)
    assert len(selection.run.queries.ids) == len(selection.query_vectors)
    order = search.tie_order(ids)
    codes = selection.codec.encode(prefix(np.asarray(selection.document_vectors), 48))[order]
    rows, _ = search.top_k(prefix(np.asarray(selection.query_vectors), 48), codes, 10, selection.codec.decode)
    lines = (measured / "runs/pretrained.48.int8.trec").read_text().splitlines()
    told = [line.split()[2] for line in lines if int(line.split()[3]) <= 10]
    test = [row for row, split in enumerate(splits) if split == "test"]
    assert [ids[order[at]] for row in test for at in rows[row]] == told


@pytest.mark.parametrize("name", ["data/catalogue.parquet", "data/queries.parquet", "embeddings/pretrained.npy"])
@pytest.mark.parametrize("damage", [lambda path: path.unlink(), lambda path: path.write_bytes(path.read_bytes()[:90])])
def test_a_damaged_run_is_named(run, name, damage):
    damage(run / name)
    with pytest.raises(InputError, match=name):
        _ = select(load_run(run), "pretrained").document_vectors


def test_another_system_s_vectors_are_refused(run):
    np.save(run / "embeddings/pretrained.npy", np.zeros((5, 384), dtype=np.float32))
    with pytest.raises(InputError, match="holds 5 by 384"):
        _ = select(load_run(run), "pretrained").document_vectors
