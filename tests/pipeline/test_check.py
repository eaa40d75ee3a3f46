"""`nestvec check`: what it finds, and the command.

Oracles: counts made by hand from tables whose making is known; sets of texts for what a split leaks; the model's own
tokenizer; and the exit codes' contract.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from tables import rows, spoilt, write_csv

import nestvec
from nestvec.data.load_records import load_records
from nestvec.models.find import find_model
from nestvec.models.load import load_model
from nestvec.pipeline.checking import load_check
from nestvec.recommending.power import describe_power

HOME_DEPOT = Path(__file__).parents[2] / "shared" / "data" / "home-depot.csv"


@pytest.fixture
def checked(tmp_path):
    def check(table, **options):
        return nestvec.check(str(write_csv(tmp_path / "judged.csv", table)), **options)

    return check


# --- facts


def test_sizes_and_grades(plain):
    facts = plain.facts
    assert [facts[key] for key in ("records", "queries", "documents", "rejected")] == [300, 60, 291, 0]
    assert facts["judged_per_query"] == dict.fromkeys(("min", "p25", "median", "p75", "p95", "max", "mean"), 5)
    assert set(facts["relevant_per_query"].values()) == {3}
    grades = facts["grades"]
    assert grades["levels"] == [1, 2, 3] and grades["counts"] == [120, 60, 120]
    assert (grades["threshold"], grades["threshold_source"]) == (1.5, "dip")
    assert grades["dip"]["depth"] == 0.5 and grades["relevant_share"] == 180 / 300
    assert facts["queries_without_relevant"] == facts["unjudged_documents"] == 0
    assert facts["near_duplicates"]["documents"] == 0
    assert plain.warnings == [
        "The dip of the grades is uncertain: resampling puts the threshold anywhere between 1.5 and 2.5. "
        "Look at the histogram and give --threshold."
    ], "the histogram is symmetric, so either side of the dip is as good"


def test_components_and_cost(plain):
    """Nine pairs of queries share a document: 51 components, the largest with the ten judgements of two queries."""
    split = plain.facts["split"]
    assert split["components"] == {"count": 51, "largest_share": 10 / 300}
    assert set(split["leaks"].values()) == set(split["exact_leaks"].values()) == {0}
    assert sum(split["records"].values()) == 300
    train = split["queries"]["train"] * 5
    assert split["records"]["train"] + split["records"]["withheld"] == train
    assert split["training_pairs"] + split["withheld_pairs"] == train * 3 / 5


def test_what_the_held_out_queries_can_prove(plain, checked):
    """By hand: of 60 queries, all with a relevant document, those that the audit counts; the numbers by the formula."""
    split, held_out = plain.facts["split"], plain.facts["held_out"]
    counted = {name: held_out[name] for name in ("validation", "test")}
    assert counted == {name: split["queries"][name] for name in counted}
    assert (held_out["metric"], held_out["margin"], held_out["power"]) == ("recall@10", 0.01, 0.8)
    choosing = describe_power(counted["validation"], 0.01, systems=3)  # mnr, matryoshka and the pretrained model
    confirming = describe_power(counted["test"], 0.01, systems=1)
    assert held_out["provable"] == pytest.approx(choosing.provable, abs=0.001)
    assert held_out["confirmable"] == pytest.approx(confirming.provable, abs=0.001)
    assert (held_out["needed"], held_out["needed_to_confirm"]) == (2140, 1500)
    alone = checked(rows(), systems="mnr", margin=0.3).facts["held_out"]
    assert alone["provable"] < held_out["provable"], "two systems share the confidence"
    assert alone["needed_in_all"] is None, "enough for such a margin"
    untrained = checked(rows(), epochs=0).facts["held_out"]
    assert untrained["needed"] == untrained["needed_to_confirm"] == 1500


def test_what_was_planted_is_found(found):
    facts = found.facts
    counted = {finding["name"]: finding["count"] for finding in facts["findings"]}
    assert counted["bad rows"] == facts["rejected"] == 1
    assert counted["judged again with another grade"] == 1
    assert counted["texts cleaned"] == 3  # the query's blanks, the long text's last blank, the entities
    assert facts["records"] == 298  # one bad row, one judged again
    assert facts["queries"] == 61
    assert facts["queries_without_relevant"] == 3  # from 2.5 on: the two with all 1, and the one judged 3 and then 1
    near = facts["near_duplicates"]
    assert (near["documents"], near["identical"], near["groups"]) == (3, 2, 1)
    assert len(set(near["examples"][0])) == 3
    assert [warning.split()[0] for warning in found.warnings] == ["The", "0.3", "1", "3"]


def test_texts_that_are_cut_off(found):
    texts, lengths = found.facts["tokens"], found.facts["tokens"]["documents"]
    tokens = load_model(find_model(texts["model"])).tokenizer
    documents = dict.fromkeys(" ".join(row["document"].split()) for row in spoilt() if row["grade"] != "good")
    ours = [len(tokens.encode(text, truncation=False, verbose=False)) for text in documents if "&lt;" not in text]
    ours.append(len(tokens.encode("<b> glue")))
    assert texts["limit"] == 256
    assert lengths["counted"] == len(ours) == found.facts["documents"]
    assert lengths["max"] == max(ours) and lengths["mean"] == pytest.approx(np.mean(ours))
    assert lengths["too_long"] == 1 and lengths["tokens_cut"] == max(ours) - 256
    assert lengths["share_cut"] == pytest.approx((max(ours) - 256) / sum(ours))
    assert texts["queries"]["too_long"] == 0


@pytest.mark.parametrize("way", ["exact", "normalised"])
def test_what_a_row_split_leaks(found, way):
    """The same rows drawn, the texts compared as strings."""
    settings = nestvec.Settings.from_flat({"source": found.facts["source"], "on_bad_row": "set-aside"})
    records = load_records(settings.data)
    drawn = np.random.default_rng(42).permutation(298).tolist()
    split, leak = found.facts["split"], found.facts["row_split"][way]
    held = split["records"]["test"]
    for kind, row in (("queries", records.query), ("documents", records.document)):
        texts = [getattr(records, kind)[place] for place in row]
        texts = [" ".join(text.casefold().split()) if way == "normalised" else text for text in texts]
        test, train = [texts[place] for place in drawn[:held]], {texts[place] for place in drawn[held:]}
        assert leak["recurring"][kind] == {"test": len(set(test)), "in_training": len(set(test) & train)}
        word = {"queries": "query", "documents": "document"}[kind]
        share = sum(text in train for text in test) / held
        assert leak["shares"][f"test records whose {word} is in training"] == pytest.approx(share)
    assert found.facts["row_split"]["normalised"]["shares"] == split["row_split"]


def test_texts_that_differ_in_form_only(checked):
    """Each query once in capitals and once not: to the letter nothing recurs, normalised nearly everything does."""
    table = [
        {"query": query, "document": f"{query} {place}", "grade": 1 + place % 3}
        for number in range(300)
        for place, query in enumerate((f"saw {number}", f"SAW {number}"))
    ]
    for row in table[::5]:
        row["grade"] = 3
    leaks = checked(table, threshold=2.5).facts["row_split"]
    assert leaks["exact"]["recurring"]["queries"]["in_training"] == 0
    assert leaks["normalised"]["shares"]["test records whose query is in training"] > 0.6


def test_leaks_of_a_split_that_the_source_brings(checked):
    table = [{**row, "part": ("train", "dev", "test")[place % 3]} for place, row in enumerate(rows())]
    found = checked(table, split_column="part", threshold=1.5)
    assert found.facts["split"]["protocol"] == "own"
    leaks = found.facts["split"]["leaks"]
    assert leaks["test queries in training"] == leaks["validation queries in training"] == 60
    assert found.warnings[0].startswith("The source's own split leaks: 60 test queries in training, ")


def test_without_a_dip(checked):
    table = rows()
    for place, row in enumerate(table):
        row["grade"] = (1, 1, 1, 2, 3)[place % 5]
    found = checked(table)
    assert found.facts["grades"]["dip"] is None
    assert found.facts["grades"]["threshold"] == 1.5
    assert found.warnings[0].startswith("The histogram of the grades has no dip between two humps, so the threshold is")
    assert "the middle of their range, 1.5. " in found.warnings[0]
    assert "--threshold" in found.warnings[0]


def test_an_unsure_dip(checked):
    table = rows()
    rng = np.random.default_rng(0)
    for row in table:
        row["grade"] = int(rng.integers(1, 7))
    found = checked(table)
    assert found.facts["grades"]["threshold_source"] == "dip"
    assert found.warnings[0].startswith("The dip of the grades is uncertain: ")
    assert not any("dip" in warning for warning in checked(table, threshold=3.5).warnings)


def test_it_is_json_and_stable(tmp_path, found):
    again = nestvec.check(found.facts["source"], tmp_path / "out", on_bad_row="set-aside")
    assert again == found
    assert load_check(tmp_path / "out") == found
    assert json.loads(json.dumps(found.facts, allow_nan=False)) == found.facts
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["check.html", "check.json"]


def test_the_function_is_not_hidden_by_a_module():
    """Whoever imports modules of the package first still finds the function."""
    modules = "nestvec, nestvec.cli, nestvec.pipeline.checking, nestvec.report.check_page"
    code = f"import {modules}; assert callable(nestvec.check)"
    subprocess.run([sys.executable, "-c", code], check=True)
    assert nestvec.check.__module__ == "nestvec.pipeline.checking"
    assert {"check", "Check"} <= set(nestvec.__all__)


@pytest.mark.skipif(not HOME_DEPOT.exists(), reason="the judgements are not on this machine")
def test_real_judgements(tmp_path):
    found = nestvec.check(str(HOME_DEPOT), tmp_path).facts
    assert [found[key] for key in ("records", "queries", "documents")] == [59_095, 9_400, 45_784]
    grades = found["grades"]
    assert (grades["threshold"], grades["threshold_source"]) == (2.5, "dip")
    assert grades["dip"]["low"] == grades["dip"]["high"] == 2.5 and grades["dip"]["seen"] > 0.99
    for leak in found["row_split"].values():
        assert leak["shares"]["test records whose query is in training"] > 0.9
        assert leak["recurring"]["queries"]["in_training"] > 0.9 * leak["recurring"]["queries"]["test"]
    assert set(found["split"]["leaks"].values()) == {0}
    assert found["near_duplicates"]["documents"] == pytest.approx(4_014, rel=0.01), "by an exact join of all pairs"
    assert found["titles_only"]


# --- the command line


def test_it_writes_nothing_unless_told(typed, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_csv(tmp_path / "judged.csv", rows())
    code, output, _ = typed("check", "judged.csv")
    assert code == 0
    assert "300 records, 60 queries, 291 documents" in output
    assert [path.name for path in tmp_path.iterdir()] == ["judged.csv"]


def test_it_says_which_number_each_label_was_read_as(typed, tmp_path):
    words = {1: "Irrelevant", 2: "Partial", 3: "Exact"}
    table = [{**row, "grade": words[row["grade"]]} for row in rows()]
    _, output, _ = typed("check", write_csv(tmp_path / "judged.csv", table))
    assert "Labels: Exact=2, Partial=1, Irrelevant=0 (WANDS's labels)" in " ".join(output.split())


def test_it_writes_data_and_page(typed, tmp_path):
    out = tmp_path / "new" / "check"
    code, output, _ = typed("check", write_csv(tmp_path / "judged.csv", rows()), "--out", out, "--margin", "0.05")
    assert code == 0
    assert "The margin of 0.05 takes about 160 validation and 120 test queries;" in " ".join(output.split())
    assert str(out / "check.html") in output.replace("\n", "")
    assert sorted(path.name for path in out.iterdir()) == ["check.html", "check.json"]
    assert json.loads((out / "check.json").read_text(encoding="utf-8"))["records"] == 300


@pytest.mark.parametrize("content", ["query,document,grade\na,b,1\na,c,best\n", "", "a,b\n1,2\n"])
def test_bad_input_writes_nothing(typed, tmp_path, content):
    (tmp_path / "judged.csv").write_text(content)
    code, output, message = typed("check", tmp_path / "judged.csv", "--out", tmp_path / "out", "--quiet")
    assert code == 2
    assert output == "" and message.startswith("nestvec: ") and message.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_an_output_that_is_a_file_or_below_one(typed, tmp_path):
    source = write_csv(tmp_path / "judged.csv", rows())
    (tmp_path / "taken").write_text("mine")
    for out in (tmp_path / "taken", tmp_path / "taken" / "check"):
        code, _, message = typed("check", source, "--out", out, "--quiet")
        assert code == 2
        assert message.startswith(f"nestvec: {out}: ") and message.count("\n") == 1
    assert (tmp_path / "taken").read_text() == "mine"


def test_no_source(typed):
    assert typed("check")[0] == 2
