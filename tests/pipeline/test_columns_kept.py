"""What a run keeps of the columns that it found. Oracle: the same run read again from its own config.toml."""

from __future__ import annotations

import json
import tomllib

import pyarrow.parquet as pq
import pytest
from tables import CASES

import nestvec

QUICK = {"epochs": 0, "bigger": "", "dimensions": "16", "precisions": "int8", "resamples": 100, "test": 0.4}


@pytest.mark.parametrize(
    ("case", "named"),
    [
        ("nested.jsonl", {"query": "query.text", "document": "{doc.title}", "document_id": "doc.id", "grade": "grade"}),
        ("tevatron.jsonl", {"query": "query", "document": "{title} {text}", "document_id": "docid", "grade": "grade"}),
        ("esci.csv", {"query": "query", "grade": "esci_label", "split_column": "split", "query_id": "query_id"}),
    ],
)
def test_the_columns_found_are_in_the_config_the_page_and_the_terminal(typed, tiny, tmp_path, case, named):
    root = tmp_path / "run"
    arguments = [f"--{name.replace('_', '-')}={value}" for name, value in QUICK.items()]
    command = ("run", CASES / case, "--out", root, "--model", tiny, *arguments)
    code, _, said = typed(*command)
    assert code == 0, said
    assert "columns read: " in said
    config = tomllib.loads((root / "config.toml").read_text())
    assert named.items() <= config.items()
    found = {finding["name"]: finding for finding in json.loads((root / "data" / "findings.json").read_text())}
    assert f"query: {named['query']};" in found["columns read"]["action"]
    assert f"query: {named['query']};" in (root / "report.html").read_text().replace("Query: ", "query: ")
    again = tmp_path / "again"
    assert typed("run", "--config", root / "config.toml", "--out", again)[0] == 0
    records = [pq.read_table(folder / "data" / "records.parquet") for folder in (root, again)]
    assert records[0].equals(records[1])
    assert typed(*command)[0] == 0  # goes on


def test_a_run_of_before_the_columns_were_kept_goes_on(tiny, tmp_path):
    options = {**QUICK, "model": str(tiny), "progress": False}
    run = nestvec.run(str(CASES / "semicolon.csv"), tmp_path / "run", **options)
    config = run.root / "config.toml"
    kept = ("query = ", "document = ", "document_id = ", "grade = ")
    lines = [line for line in config.read_text().splitlines(keepends=True) if not line.startswith(kept)]
    config.write_text("".join(lines))
    nestvec.run(str(CASES / "semicolon.csv"), tmp_path / "run", **options)


def test_a_check_names_the_columns_first(typed, tiny):
    code, output, said = typed("check", CASES / "semicolon.csv", "--model", tiny)
    assert code == 0, said
    printed = " ".join(output.split())
    assert "Read as query: query; document: {title}; document id: document_id; grade: grade." in printed
    assert "columns read" not in printed


def test_own_splits_give_way_to_a_protocol_that_is_asked_for(tiny):
    found = nestvec.check(str(CASES / "esci.csv"), model=str(tiny), protocol="by-query", progress=False)
    assert found.facts["split"]["protocol"] == "by-query"
    found = nestvec.check(str(CASES / "esci.csv"), model=str(tiny), progress=False)
    assert found.facts["split"]["protocol"] == "own"
    assert found.facts["split"]["queries"]["validation"] > 0
