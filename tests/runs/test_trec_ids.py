"""Oracle: the ids themselves, written into TREC files and read back; trec_eval's fields end at white space."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nestvec.errors import InputError
from nestvec.runs.tables import read_qrels, read_ranking, write_ranking
from nestvec.runs.trec_ids import TrecIds, read_trec_ids

LETTERS = st.characters(exclude_categories=["Cs"]) | st.sampled_from(" %\t\u00a0\u3000\u2028\n20")
IDS = st.lists(st.text(LETTERS, min_size=1, max_size=8), min_size=1, max_size=20, unique=True)


@given(queries=IDS, documents=IDS)
@settings(max_examples=200, deadline=None)
def test_any_ids_come_back_from_trec_files(tmp_path_factory, queries, documents):
    folder = tmp_path_factory.mktemp("trec")
    asked, ranked = TrecIds.of(queries), TrecIds.of(documents)
    (folder / "ids.json").write_text(json.dumps({"queries": asked.names, "documents": ranked.names}), encoding="utf-8")
    names = read_trec_ids(folder / "ids.json")
    scores = np.linspace(2, 1, len(documents), dtype=np.float32)[None, :].repeat(len(queries), axis=0)
    forms = [ranked.write(name) for name in documents]
    write_ranking(folder / "run", "x", [asked.write(name) for name in queries], [forms] * len(queries), scores)
    ranked = read_ranking(folder / "run", None, names)
    assert {query: list(scores) for query, scores in ranked.items()} == dict.fromkeys(queries, documents)
    lines = [f"{asked.write(query)} 0 {form} 7\n" for query in queries for form in forms]
    (folder / "qrels").write_text("".join(lines), encoding="utf-8", newline="\n")
    assert read_qrels(folder / "qrels", names) == {query: dict.fromkeys(documents, 7) for query in queries}


def test_only_white_space_is_escaped_and_no_two_ids_meet():
    ids = ["a b", "a%20b", "a  b", "a%2520b", "100%", "?id=7&region=eu", "ü/ä"]
    written = [TrecIds.of(ids).write(name) for name in ids]
    assert written[1:2] + written[3:] == ["a%20b", "a%2520b", "100%", "?id=7&region=eu", "ü/ä"]
    assert (written[0], written[2]) == ("a%252520b", "a%20%20b")
    assert len(set(written)) == len(ids)


def test_runs_of_before_have_no_map(tmp_path):
    assert read_trec_ids(tmp_path / "none.json") == ({}, {})


@pytest.mark.parametrize("content", ["[]", '{"queries": {}}', '{"queries": {"a": 1}, "documents": {}}', "{"])
def test_a_damaged_map_is_named(tmp_path, content):
    (tmp_path / "trec_ids.json").write_text(content)
    with pytest.raises(InputError, match=r"trec_ids\.json"):
        read_trec_ids(tmp_path / "trec_ids.json")
