"""Oracle: the hub's own reader of model cards, and the run's files."""

from __future__ import annotations

import json
import re
from dataclasses import replace

import pyarrow.parquet as pq
import pytest
from huggingface_hub import ModelCard

from nestvec.exporting.model_card import render_model_card
from nestvec.runs.point_files import select
from nestvec.runs.run import load_run

TARGETS = ("sentence-transformers", "onnx", "openvino")


@pytest.mark.parametrize("to", TARGETS)
@pytest.mark.parametrize(("system", "licence"), [("pretrained", "apache-2.0"), ("tiny", "unknown")])
def test_the_hub_reads_it(system, licence, to, exported, run):
    card = ModelCard.load(exported(system, to).folder / "README.md")
    assert (card.data.license, card.data.library_name) == (licence, to)
    assert card.data.pipeline_tag == "sentence-similarity"
    known = "sentence-transformers/all-MiniLM-L6-v2" if system == "pretrained" else None
    assert card.data.base_model == known
    measured = {result.metric_type: result.metric_value for result in card.data.eval_results}
    point = (system, exported(system, to).card.dimension, "int8", "test")
    row = next(
        row
        for row in json.loads((run / "results.json").read_text())["surface"]
        if (row["system"], row["dimension"], row["precision"], row["split"]) == point
    )
    assert measured == {name: pytest.approx(row["metrics"][name]["value"], abs=1e-4) for name in measured}
    assert set(measured) == {"recall@10", "mrr@10", "ndcg@10"}


def test_it_tells_what_the_run_found(exported, run):
    text = (exported("tiny", "onnx").folder / "README.md").read_text(encoding="utf-8")
    assert "**The run says: do not ship.**" in text
    audit = json.loads((run / "data" / "audit.json").read_text())
    for name, count in audit["leaks"].items():
        assert f"- {name}: {count}" in text
    queries = audit["queries"]
    assert f"| queries | {queries['train']} | {queries['validation']} | {queries['test']} |" in text
    row = next(line for line in text.splitlines() if line.startswith("| →"))
    assert [cell.strip() for cell in row.split("|")[2:6]] == ["tiny", "96", "int8", "96"]
    assert text.count("| bm25 |") == text.count("| pretrained | 384 | float32 | 1536 |") == 1
    assert "recall@10 of 40 test queries" in text


def test_no_text_of_the_users_data_is_in_it(exported, run):
    text = (exported("tiny", "onnx").folder / "README.md").read_text(encoding="utf-8")
    records = pq.read_table(run / "data" / "records.parquet")
    for column in ("query", "document"):
        assert not [found for found in records[column].to_pylist() if found in text]


def test_names_are_shown_and_not_obeyed(exported, run):
    hostile = "x](http://evil)<script>|`*_\n---\nlicense: mit"
    chosen = select(load_run(run), "tiny", 96, "int8")
    model = replace(chosen.model, name=hostile.replace("/", ""))
    renamed = replace(chosen, files=replace(chosen.files, model=model))
    prompts = {"query_prompt": '"\n```\n<script>', "document_prompt": "`` x](http://evil)"}
    text = render_model_card(renamed, replace(exported("tiny", "onnx").card, **prompts, base=hostile))
    text = re.sub(r"`+\".*?\"`+|return encode.*", "", text)  # code: in backticks, and in the snippet
    assert "<script>" not in text and "x](http" not in text
    assert ModelCard(text).data.license == "unknown"
    assert [line for line in text.splitlines() if line.startswith("```")] == ["```python", "```"]
    assert "\nlicense: mit" not in text


def test_what_is_recommended_is_said_to_be(exported, run):
    """The recommendation is changed to this very point, as it would be in a run that ships."""
    card, chosen = exported("tiny", "onnx").card, select(load_run(run), "tiny", 96, "int8")
    for point, words in (
        (chosen.point, "This is what the run recommends."),
        (replace(chosen.point, dimension=48), r"**This is not what the run recommends**, which is tiny.48.int8."),
    ):
        vars(chosen.run)["recommendation"] = replace(chosen.run.recommendation, point=point)
        assert words in render_model_card(chosen, card)
