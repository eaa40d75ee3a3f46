"""The page says what the run's files say.

Oracle: the files themselves, read here with json, tomllib and pyarrow alone, and the page taken apart by the standard
library's parser; gains and losses are recomputed from `per_query.parquet`, marks from `qrels.trec`.
"""

from __future__ import annotations

import json
import tomllib
from typing import TYPE_CHECKING, Any

import pyarrow.parquet as pq
import pytest
from report_page import FIGURES

if TYPE_CHECKING:
    from report_page import Page

    from nestvec.runs.folder import RunFolder

METRICS = ("recall@10", "mrr@10", "ndcg@10", "judged@10")


def read(folder: RunFolder, name: str) -> Any:
    return json.loads(folder.path(name).read_text(encoding="utf-8"))


def shown(value: float, digits: int = 3) -> str:
    return f"{value:.{digits}f}".replace("-", "\u2212")


def measured(entry: dict[str, float], digits: int = 3) -> str:
    return f"{shown(entry['value'], digits)} [{shown(entry['low'], digits)}, {shown(entry['high'], digits)}]"


def test_headline_is_one_sentence_with_the_recommendation(shipped: RunFolder, page: Page) -> None:
    made = read(shipped, "recommendation")
    [head] = page.root.find("h1")
    assert head.text == (
        "Ship matryoshka at 48 dimensions in int8: 48 bytes per vector instead of 1,536, recall@10 "
        f"{measured(made['test'], 2)} on test."
    )
    assert "Confirmed on test." in page.text
    assert (
        "difference to the reference is \u22120.0030 with a lower bound of \u22120.0072; the margin is 0.01."
        in page.text
    )
    assert made["reason"] in page.text


def test_full_width_table_has_every_system_and_metric(shipped: RunFolder, page: Page) -> None:
    table = page.table("comparison-table")
    rows = [row for row in read(shipped, "results")["surface"] if row["split"] == "test"]
    full = {
        row["system"]: row["metrics"] for row in rows if row["dimension"] in (384, None) and row["precision"] != "int8"
    }
    assert list(table) == ["pretrained", "mnr", "matryoshka", "bm25"]
    for system, cells in table.items():
        assert [cells[place] for place in (0, 2, 4, 6)] == [measured(full[system][metric]) for metric in METRICS]


def test_differences_are_taken_from_the_pretrained_model_whichever_way_they_were_made(
    shipped: RunFolder, page: Page
) -> None:
    table = page.table("comparison-table")
    for place, metric in ((1, "recall@10"), (3, "mrr@10"), (5, "ndcg@10")):
        found = {(c["a"], c["b"]): c for c in read(shipped, "results")["comparisons"] if c["metric"] == metric}
        for system in ("mnr", "matryoshka"):
            entry = found[f"{system}.384.float32", "pretrained.384.float32"]
            sign = "+" if entry["difference"] > 0 else ""
            assert table[system][place].startswith(
                f"{sign}{shown(entry['difference'])} [{shown(entry['low'])}, {shown(entry['high'])}] p"
            )
        entry = found["pretrained.384.float32", "bm25"]  # made the other way round: the ends change places and signs
        sign = "+" if entry["difference"] < 0 else ""
        assert table["bm25"][place].startswith(
            f"{sign}{shown(-entry['difference'])} [{shown(-entry['high'])}, {shown(-entry['low'])}] p"
        )
        assert table["pretrained"][place] == "\u2013"
    assert "p < 0.001" in table["mnr"][1]
    assert "Holm-corrected for 18 comparisons" in page.text


@pytest.mark.parametrize("split", ["test", "validation"])
def test_surface_has_every_row(shipped: RunFolder, page: Page, split: str) -> None:
    rows = [row for row in read(shipped, "results")["surface"] if row["split"] == split]
    expected = set()
    for row in rows:
        place = [str(row["dimension"]), row["precision"], f"{row['bytes_per_vector'] or 0:,}"]
        point = place if row["dimension"] else ["\u2013"] * 3
        expected.add((row["system"], *point, *(measured(row["metrics"][metric]) for metric in METRICS)))
    found = {(cells[0].split()[0], *cells[1:-1]) for cells in page.cells(f"surface-{split}")}
    assert found == expected
    assert len(page.cells(f"surface-{split}")) == len(rows) == 25


def test_recommended_row_is_marked_in_words(page: Page) -> None:
    [row] = [cells for cells in page.cells("surface-test") if "recommended" in cells[0]]
    assert row[1:4] == ["48", "int8", "48"]


def test_share_kept_is_of_the_same_systems_full_width(shipped: RunFolder, page: Page) -> None:
    recall = {(row["system"], row["dimension"], row["precision"]): row["metrics"]["recall@10"]["value"]
              for row in read(shipped, "results")["surface"] if row["split"] == "test"}  # fmt: skip
    share = recall["mnr", 48, "float32"] / recall["mnr", 384, "float32"]
    [row] = [
        cells for cells in page.cells("surface-test") if cells[0].startswith("mnr") and cells[1:3] == ["48", "float32"]
    ]
    assert row[-1] == f"{100 * share:.0f} %"
    assert f"{100 * share:.1f} %" in page.text


def test_figures_are_told_in_numbers(shipped: RunFolder, page: Page) -> None:
    drawings = {figure.attributes["id"]: figure.find("div", role="img")[0] for figure in page.root.find("figure")}
    assert len(drawings) == len(FIGURES)
    rows = [row for row in read(shipped, "results")["surface"] if row["split"] == "test"]
    for figure, metric in (("figure-recall-by-dimension", "recall@10"), ("figure-mrr-by-dimension", "mrr@10")):
        label = drawings[figure].attributes["aria-label"]
        for row in rows:
            if row["precision"] == "float32":
                assert f"{shown(row['metrics'][metric]['value'])} at {row['dimension']}" in label
    for row in rows:
        assert (
            shown(row["metrics"]["recall@10"]["value"]) in drawings["figure-recall-by-bytes"].attributes["aria-label"]
        )
    grades = read(shipped, "grades")
    for level, count in zip(grades["levels"], grades["counts"], strict=True):
        assert f"{level:g}: {count:,}" in drawings["figure-grades"].attributes["aria-label"]


def test_numbers_behind_the_line_charts(shipped: RunFolder, page: Page) -> None:
    table = page.table("numbers-MRR@10")
    rows = {(row["system"], row["dimension"]): row["metrics"]["mrr@10"] for row in read(shipped, "results")["surface"]
            if row["split"] == "test" and row["precision"] != "int8"}  # fmt: skip
    for system in ("pretrained", "mnr", "matryoshka"):
        assert table[system] == [measured(rows[system, width]) for width in (48, 96, 192, 384)]
    assert table["bm25"] == [measured(rows["bm25", None])] * 4


def test_histogram_and_threshold(shipped: RunFolder, page: Page) -> None:
    grades = read(shipped, "grades")
    table = page.table("histogram-table")
    assert len(table) == len(grades["levels"])
    for level, count in zip(grades["levels"], grades["counts"], strict=True):
        assert table[f"{level:g}"] == ([f"{count:,}", "0"] if level < 2.5 else ["0", f"{count:,}"])
    section = page.by_id("grades")
    assert "relevant from grade 2.5 on" in page.text and section.text == "Grades and threshold"
    assert f"{100 * grades['relevant_share']:.1f} % of {sum(grades['counts']):,} records" in page.text


def test_split_and_leak_audit(shipped: RunFolder, page: Page) -> None:
    audit = read(shipped, "audit")
    split = {name.split()[0].lower(): cells for name, cells in page.table("split-table").items()}
    for name in ("train", "validation", "test"):
        assert split[name] == [f"{audit[kind][name]:,}" for kind in ("queries", "records", "documents")]
    assert split["withheld"] == ["\u2013", "57", "22"]
    assert [cells[-1] for cells in page.cells("leak-table")] == ["0", "0", "0", "0"]
    assert [cells[-1] for cells in page.cells("row-split-table")] == ["98.2 %", "94.1 %"]
    assert "2 test queries have no relevant document" in page.text
    assert "1 validation query has no relevant document" in page.text


def test_findings_with_examples(shipped: RunFolder, page: Page) -> None:
    for finding, cells in zip(read(shipped, "findings"), page.cells("findings-table"), strict=True):
        assert cells[1] == f"{finding['count']:,}"
        assert cells[0].lower().startswith(f"{finding['name']} {finding['action']}".lower())
        assert all(example in cells[0] for example in finding["examples"])


def changed(folder: RunFolder) -> dict[str, tuple[float, float, float]]:
    """Query text to recall@10 before, after, and nDCG@10's difference, from the per-query values alone."""
    values: dict[tuple[str, str], dict[str, float]] = {}
    for row in pq.read_table(folder.path("per_query")).to_pylist():
        point = row["system"], row["dimension"], row["precision"]
        if row["split"] == "test" and point in (("pretrained", 384, "float32"), ("matryoshka", 48, "int8")):
            values.setdefault((row["metric"], row["system"]), {})[row["query_id"]] = row["value"]
    texts = {row["query_id"]: row["query"] for row in pq.read_table(folder.path("records")).to_pylist()}
    before, after = (values["recall@10", system] for system in ("pretrained", "matryoshka"))
    gap = {query: values["ndcg@10", "matryoshka"][query] - values["ndcg@10", "pretrained"][query] for query in before}
    return {texts[query]: (before[query], after[query], gap[query]) for query in before}


def test_gained_and_lost_most(shipped: RunFolder, page: Page) -> None:
    truth = changed(shipped)
    keys = {query: (round(after - before, 9), round(gap, 9)) for query, (before, after, gap) in truth.items()}
    gained, lost = ([entry for entry in group.find("details", class_="change")]
                    for group in page.root.find("div", class_="changes"))  # fmt: skip
    for entries, order in ((gained, sorted(keys.values(), reverse=True)), (lost, sorted(keys.values()))):
        queries = [entry.find(class_="query")[0].text for entry in entries]
        assert [keys[query] for query in queries] == order[: len(queries)]
        assert len(queries) == min(
            10, sum(key > (0, 0) if entries is gained else key < (0, 0) for key in keys.values())
        )
        for entry, query in zip(entries, queries, strict=True):
            before, after, _ = truth[query]
            assert f"recall@10 {before:.2f} → {after:.2f}" in entry.find(class_="moved")[0].text
    better, worse = (sum(key[0] > 0 for key in keys.values()), sum(key[0] < 0 for key in keys.values()))
    expected = f"better for {better} queries, worse for {worse} and the same for {len(keys) - better - worse}"
    assert expected in page.text


def test_rankings_before_and_after_with_judgements(shipped: RunFolder, page: Page) -> None:
    records = pq.read_table(shipped.path("records")).to_pylist()
    queries = {row["query"]: row["query_id"] for row in records}
    texts = {row["document_id"]: row["document"] for row in records}
    gains = {}
    for line in shipped.path("qrels").read_text(encoding="utf-8").splitlines():
        query, _, document, gain = line.split()
        gains[query, document] = int(gain)
    for entry in page.root.find("details", class_="change"):
        query = queries[entry.find(class_="query")[0].text]
        sides = entry.find("div", class_="ranking")
        for side, run in zip(sides, ("pretrained.384.float32", "matryoshka.48.int8"), strict=True):
            lines = [line.split() for line in shipped.run(run).read_text(encoding="utf-8").splitlines()]
            ranked = [line[2] for line in lines if line[0] == query][:10]
            kept = [
                rank for rank, document in enumerate(ranked, 1) if rank <= 5 or gains.get((query, document), -1) >= 1500
            ]
            items = side.find("li")
            assert [int(item.attributes["value"]) for item in items] == kept
            for item in items:
                document = ranked[int(item.attributes["value"]) - 1]
                assert item.find(class_="whole")[0].text == texts.get(document, document).strip()
                gain = gains.get((query, document))
                mark = item.find(class_="mark")[0].text
                if gain is None:
                    assert mark == "not judged"
                else:
                    assert mark.startswith("relevant," if gain >= 1500 else "not relevant,")
                    assert float(mark.split()[-1]) == pytest.approx(1 + gain / 1000)


def test_steps_and_gate(shipped: RunFolder, page: Page) -> None:
    made = read(shipped, "recommendation")
    rows = page.cells("steps-table")
    assert len(rows) == len(made["steps"])
    for step, cells in zip(made["steps"], rows, strict=True):
        assert cells[1].split()[0] == step["system"]
        assert cells[2:5] == [str(step["dimension"]), step["precision"], f"{step['bytes_per_vector']:,}"]
        assert cells[5:7] == [shown(step["difference"], 4), shown(step["lower_bound"], 4)]
        assert cells[7] == ("holds" if step["passed"] else "not shown")
    gate = page.table("gate-table")
    for name, entry in made["gate"].items():
        assert gate[name][0] == f"+{shown(entry['difference'])} [{shown(entry['low'])}, {shown(entry['high'])}]"
        assert gate[name][1] == "beats it"
        assert shown(made["test_gate"][name]["low"]) in gate[name][2]


def test_settings_versions_hashes_and_timings(shipped: RunFolder, page: Page) -> None:
    config = tomllib.loads(shipped.path("config").read_text(encoding="utf-8"))
    tables = {}
    for table in page.root.find("table"):
        pairs = {row.find("th")[0].text: row.find("td")[0].text for row in table.find("tr") if row.find("td")}
        tables[table.attributes.get("aria-labelledby")] = pairs
    assert tables["versions-table"] == config["versions"]
    assert tables["inputs-table"] == config["inputs"]
    assert set(tables["settings-table"]) == set(config) - {"versions", "inputs"}
    assert tables["settings-table"]["dimensions"] == "384, 192, 96, 48"
    assert tables["settings-table"]["learning_rate"] == "5e-5"
    assert tables["timings-table"]["train matryoshka"] == "1 min 29 s"
    assert tables["timings-table"]["total"] == "3 min 26 s"


def test_synthetic_data_is_named_as_such(page: Page, stopped: RunFolder) -> None:
    assert "This is the built-in sample." in page.text
    assert "built-in sample" not in stopped.path("report").read_text(encoding="utf-8")
