"""An index of a run that corrects queries. Oracles: the run's own lists, `runs/*+bm25.*.trec`, which its evaluation
wrote; the letters that were swapped in its queries, swapped back."""

from __future__ import annotations

import json

import pytest
from misspelt import POINT, make_corrected, swap_letters
from shared_runs import copy_run
from tables import write_csv

import nestvec
from nestvec.indexing.index import build_index, open_index
from nestvec.runs.run import load_run


@pytest.fixture
def run(tmp_path_factory, tmp_path):
    """A copy of the run that corrects queries, to build indexes in."""
    return copy_run(make_corrected(tmp_path_factory), tmp_path / "run")


@pytest.fixture
def misspelt(run):
    """A query of the run that is corrected."""
    return next(text for text in load_run(run).queries.texts if swap_letters(text) != text)


@pytest.mark.parametrize("store", ["embedded", "postgres"])
def test_the_measured_lists_are_found_id_for_id(run, request, store):
    place = store if store == "embedded" else request.getfixturevalue("server")
    with build_index(run, place, name="corrected", **POINT) as index:
        verified = index.verify(exact=True)
        queries = load_run(run).queries
        texts = [text for text, split in zip(queries.texts, queries.splits, strict=True) if split == "test"]
        assert index.store.correct(texts) == list(map(swap_letters, texts)) != texts
    assert verified.fused.point == "pretrained+bm25.48.binary"
    assert (verified.same, verified.fused.same) == (1.0, 1.0)
    assert verified.fused.found == pytest.approx(verified.fused.measured, abs=1e-12)


@pytest.mark.parametrize("mode", ["fused", "words", "vectors", None])
def test_the_command_says_what_was_searched(run, typed, misspelt, mode):
    build_index(run, **POINT).close()
    by_words, options = mode in ("fused", "words"), ["--mode", mode] if mode else []  # a system was named
    told = f"searched for: {swap_letters(misspelt)}\n" if by_words else ""
    code, out, message = typed("search", run, misspelt, *options)
    assert code == 0, message
    assert out.startswith(told) and ("searched for" in out) == by_words
    assert "searched for" not in typed("search", run, swap_letters(misspelt), *options)[1]
    code, out, message = typed("search", run, misspelt, *options, "--json")
    assert (code, message) == (0, told)
    ids = [json.loads(line)["id"] for line in out.splitlines()]
    assert ids == [hit.id for hit in nestvec.search(run, misspelt, mode=mode)]


def test_documents_that_hold_the_word_stop_its_correction(run, typed, misspelt, tmp_path):
    build_index(run, **POINT).close()
    goods = write_csv(tmp_path / "goods.csv", [{"sku": "new", "name": misspelt}])
    assert typed("index", run, "--upsert", goods)[0] == 0
    with open_index(run) as index:
        assert index.store.correct([misspelt]) == [misspelt]
        assert index.search(misspelt, 1, mode="words")[0].id == "new"
        index.delete(["new"])
        assert index.store.correct([misspelt]) == [swap_letters(misspelt)]
