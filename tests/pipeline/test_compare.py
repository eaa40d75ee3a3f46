"""Two runs beside each other.

Oracles: formulas of numpy and scipy over the values that the made-up runs hold; a run beside its own copy; both runs
swapped; a contract for what is refused: exit code 2, the file, the reason.
"""

from __future__ import annotations

import io
import json
import shutil
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from report_fixture import write_run
from rich.cells import cell_len
from rich.console import Console
from scipy import stats

from nestvec.cli.output import print_comparison
from nestvec.errors import InputError
from nestvec.pipeline.comparing import CHOSEN, compare
from nestvec.runs.folder import RunFolder

MNR = "mnr.384.float32"


def edit(path, change):
    value = json.loads(path.read_text(encoding="utf-8"))
    change(value)
    path.write_text(json.dumps(value), encoding="utf-8")


def shift(folder, seed):
    """Other values for what was trained, query by query; means are not made to follow."""
    table = pq.read_table(folder.path("per_query"))
    trained = ~np.isin(table["system"].to_numpy(zero_copy_only=False), ["bm25", "pretrained"])
    rng = np.random.default_rng(seed)
    values = table["value"].to_numpy()
    moved = trained & (rng.random(len(values)) < 0.5)
    changed = np.where(moved, np.clip(values + rng.normal(0.15, 0.2, len(values)).round(2), 0, 1), values)
    column = table.schema.get_field_index("value")
    pq.write_table(table.set_column(column, "value", pa.array(changed)), folder.path("per_query"))


def values(folder, name, metric="recall@10"):
    """Test values by query id."""
    table = pq.read_table(folder.path("per_query")).to_pylist()
    found = {}
    for row in table:
        place = "" if row["dimension"] is None else f".{row['dimension']}.{row['precision']}"
        if (row["split"], row["metric"], row["system"] + place) == ("test", metric, name):
            found[row["query_id"]] = row["value"]
    return np.array([found[query] for query in sorted(found)])


@pytest.fixture(scope="module")
def originals(tmp_path_factory):
    """Two runs on the same judgements whose trained systems differ; the second recommends nothing."""
    root = tmp_path_factory.mktemp("runs")
    first = write_run(root / "first")
    second = RunFolder(root / "second")
    shutil.copytree(first.root, second.root)
    shift(second, 3)
    edit(second.path("recommendation"), lambda made: made.update(point=None, decision="do not ship"))
    for folder in (first, second):
        folder.mark_done("report", {})
    return first, second


@pytest.fixture
def runs(originals, tmp_path):
    """Copies to damage."""
    for folder in originals:
        shutil.copytree(folder.root, tmp_path / folder.root.name)
    return RunFolder(tmp_path / "first"), RunFolder(tmp_path / "second")


@pytest.fixture(scope="module")
def found(originals):
    return compare(*(folder.root for folder in originals))


def by_name(comparison):
    return {row.name: row for row in comparison.rows}


def test_what_is_compared(found):
    """The recommended pair first; then what both have at full width: here the second's reference is one of these."""
    assert [(row.name, row.a, row.b) for row in found.rows] == [
        (CHOSEN, "matryoshka.48.int8", "matryoshka.384.float32"),
        ("bm25", "bm25", "bm25"),
        *((f"{name}.384.float32",) * 3 for name in ("pretrained", "mnr", "matryoshka")),
    ]


def test_nothing_is_asked_twice(originals):
    """Neither recommends anything: the stand-ins are one of the pairs at full width."""
    found = compare(originals[1].root, originals[1].root)
    assert [row.a for row in found.rows] == ["matryoshka.384.float32", "bm25", "pretrained.384.float32", MNR]
    assert found.verdict.startswith("A recommends nothing and B recommends nothing: the best point at full width is")


def test_everything_is_every_point_that_both_have(originals):
    rows = compare(*(folder.root for folder in originals), everything=True).rows
    names = {
        f"{system}.{width}.{precision}"
        for system in ("pretrained", "mnr", "matryoshka")
        for width in (384, 192, 96, 48)
        for precision in ("float32", "int8")
    }
    assert sorted(row.name for row in rows) == sorted([CHOSEN, "bm25", *names])


def test_against_the_formulas(originals, found):
    for row in found.rows:
        before, after = values(originals[0], row.a), values(originals[1], row.b)
        gap = after - before
        assert found.queries == len(gap)
        assert (row.mean_a, row.mean_b, row.difference) == pytest.approx((before.mean(), after.mean(), gap.mean()))
        assert (row.wins, row.ties, row.losses) == ((gap > 0).sum(), (gap == 0).sum(), (gap < 0).sum())
        assert row.detectable == pytest.approx(2.8 * stats.sem(gap) if len(gap) else 0)
        assert row.effect == pytest.approx(gap.mean() / gap.std(ddof=1) if gap.any() else 0)


def test_intervals_and_p_beside_scipys(originals, found):
    """Two random methods with 10,000 draws each: they agree to what the draws leave open."""
    row = by_name(found)[MNR]
    gap = values(originals[1], MNR) - values(originals[0], MNR)
    rng = np.random.default_rng(0)
    drawn = stats.bootstrap((gap,), np.mean, method="percentile", n_resamples=10_000, rng=rng).confidence_interval
    assert (row.low, row.high) == pytest.approx((drawn.low, drawn.high), abs=0.05 * gap.std())
    test = stats.permutation_test((gap,), np.mean, permutation_type="samples", n_resamples=10_000, rng=rng)
    assert row.p == pytest.approx(test.pvalue, abs=0.02)
    assert row.difference > 0.02 and row.p < 0.5  # not a comparison of nothing with nothing


def test_holm_over_what_is_shown(found):
    p = sorted((row.p, row.p_holm) for row in found.rows)
    running = 0.0
    for rank, (single, corrected) in enumerate(p):
        running = max(running, min(1.0, (len(p) - rank) * single))
        assert corrected == pytest.approx(running)


def test_a_run_beside_its_copy(originals):
    same = compare(originals[0].root, originals[0].root)
    for row in same.rows:
        assert (row.difference, row.low, row.high, row.effect, row.detectable) == (0, 0, 0, 0, 0)
        assert (row.p, row.p_holm, row.ties, row.wins, row.losses) == (1, 1, same.queries, 0, 0)
    assert "and A's are equal on every query" in same.verdict


def test_noise_of_floats_is_no_difference(runs):
    shutil.copy(runs[0].path("per_query"), runs[1].path("per_query"))
    table = pq.read_table(runs[1].path("per_query"))
    column = table.schema.get_field_index("value")
    pq.write_table(table.set_column(column, "value", pc.add(table["value"], 1e-15)), runs[1].path("per_query"))
    found = compare(*(run.root for run in runs))
    for row in found.rows[1:]:
        assert (row.p, row.ties, row.detectable) == (1, found.queries, 0)


def test_swapped_runs_tell_the_opposite(originals, found):
    turned = by_name(compare(originals[1].root, originals[0].root))
    for name, row in by_name(found).items():
        other = turned[name]
        assert (other.mean_a, other.mean_b, other.p_holm) == pytest.approx((row.mean_b, row.mean_a, row.p_holm))
        assert (other.difference, other.low, other.high) == pytest.approx((-row.difference, -row.high, -row.low))
        assert (other.wins, other.losses) == (row.losses, row.wins)


def test_the_first_runs_settings_decide_the_draws(runs, found):
    for line, path in ((b"resamples = 200\n", runs[0].path("config")), (b"resamples = 300\n", runs[1].path("config"))):
        path.write_bytes(line + path.read_bytes().replace(b"seed = 42", b"seed = 5"))
    other = compare(*(run.root for run in runs))
    assert (other.seed, other.resamples) == (5, 200)
    assert (found.seed, found.resamples) == (42, 10_000)
    assert min(row.p for row in other.rows) >= 1 / 201 > min(row.p for row in found.rows)


def test_a_text_that_is_asked_twice_is_one_draw(runs):
    """Every query asked four times, as records are under the published protocol: no more is known than before."""
    single = by_name(compare(*(run.root for run in runs)))[MNR]
    for folder in runs:
        edit(folder.path("results"), lambda results: results.update(protocol="published"))
        records = pq.read_table(folder.path("records")).to_pylist()
        texts = dict((row["query_id"], row["query"]) for row in records)
        table = [row for row in pq.read_table(folder.path("per_query")).to_pylist() if row["split"] == "test"]
        ids = sorted({row["query_id"] for row in table})
        place = {query: [f"r{4 * row + copy}" for copy in range(4)] for row, query in enumerate(ids)}
        asked = [{**row, "query_id": name} for row in table for name in place[row["query_id"]]]
        schema = pq.read_schema(folder.path("per_query"))
        pq.write_table(pa.Table.from_pylist(asked, schema), folder.path("per_query"))
        rows = [{"query_id": query, "query": texts[query]} for query in ids for _ in range(4)]
        pq.write_table(pa.Table.from_pylist(rows), folder.path("records"))
    repeated = compare(*(run.root for run in runs))
    row = by_name(repeated)[MNR]
    assert repeated.queries == 4 * (single.wins + single.ties + single.losses)
    assert (row.difference, row.detectable) == pytest.approx((single.difference, single.detectable))
    assert row.high - row.low == pytest.approx(single.high - single.low, rel=0.05)  # half of it if they were many
    assert row.p == pytest.approx(single.p, abs=0.02)


def test_systems_of_one_run_only_and_other_full_widths(tmp_path, originals):
    other = write_run(tmp_path / "other", trained=("mnr", "graded"))
    other.mark_done("report", {})
    wide = lambda row: row.update(dimension=768, bytes_per_vector=3072)  # noqa: E731
    edit(
        other.path("results"),
        lambda results: [wide(row) for row in results["surface"] if (row["system"], row["dimension"]) == ("mnr", 384)],
    )
    table = pq.read_table(other.path("per_query")).to_pylist()
    for row in table:
        if (row["system"], row["dimension"]) == ("mnr", 384):
            row["dimension"] = 768
    pq.write_table(pa.Table.from_pylist(table, pq.read_schema(other.path("per_query"))), other.path("per_query"))
    found = compare(originals[0].root, other.root)
    assert (found.only_a, found.only_b) == (("matryoshka",), ("graded",))
    assert (found.rows[0].a, found.rows[0].b) == ("matryoshka.48.int8", "graded.48.int8")
    assert [(row.a, row.b) for row in found.rows[1:]] == [
        ("bm25", "bm25"),
        ("pretrained.384.float32", "pretrained.384.float32"),
        (MNR, "mnr.768.float32"),
    ]


def verdict(runs, gain):
    """B's recommended point is A's and so much better on every other query."""
    table = pq.read_table(runs[0].path("per_query")).to_pylist()
    for place, row in enumerate(table):
        row["value"] += gain if place % 2 else gain / 2
    pq.write_table(pa.Table.from_pylist(table, pq.read_schema(runs[0].path("per_query"))), runs[1].path("per_query"))
    shutil.copy(runs[0].path("recommendation"), runs[1].path("recommendation"))
    return compare(*(run.root for run in runs))


@pytest.mark.parametrize(("gain", "word"), [(0.1, "better"), (-0.1, "worse")])
def test_a_verdict_that_can_be_given(runs, gain, word):
    found = verdict(runs, gain)
    row = found.rows[0]
    assert row.seen
    assert found.verdict == (
        f"B's matryoshka at 48 in int8 is {word} than A's by {row.difference:+.3f} [{row.low:+.3f}, {row.high:+.3f}]: "
        f"recall@10 on {found.queries} test queries."
    )
    assert abs(row.difference) == pytest.approx(0.075, abs=0.025)


def test_a_verdict_that_cannot(runs):
    table = pq.read_table(runs[0].path("per_query")).to_pylist()
    for place, row in enumerate(table):
        row["value"] += 0.1 * (-1) ** place
    pq.write_table(pa.Table.from_pylist(table, pq.read_schema(runs[0].path("per_query"))), runs[1].path("per_query"))
    edit(runs[1].path("recommendation"), lambda made: made["reference"].update(dimension=48, precision="int8"))
    found = compare(*(run.root for run in runs))
    row = found.rows[0]
    assert row.a == row.b and row.detectable > 0
    assert not row.seen and row.p_holm > 0.05
    assert found.verdict.startswith("B recommends nothing: the best point at full width is compared instead. No clear")
    assert found.verdict.endswith(f"; 80 % power to detect {row.detectable:.3f}.")


def test_what_counts_as_seen(found):
    row = replace(found.rows[0], difference=0.02, low=0.01, high=0.03, p=0.001, p_holm=0.049)
    assert row.seen
    assert not replace(row, p_holm=0.051).seen  # too many others were asked
    assert not replace(row, low=-0.001).seen
    assert replace(row, difference=-0.02, low=-0.03, high=-0.01).seen


def refused(runs, **options):
    with pytest.raises(InputError) as caught:
        compare(*(run.root for run in runs), **options)
    assert caught.value.exit_code == 2
    return caught.value


def test_a_folder_that_is_no_finished_run(runs, tmp_path):
    (runs[1].path("stages") / "report.json").unlink()
    assert "not the folder of a finished run" in refused(runs).problem
    assert refused(runs).location.file == str(runs[1].root)
    assert refused((runs[0], RunFolder(tmp_path / "nothing"))).location.file == str(tmp_path / "nothing")


def test_other_judgements(runs):
    path = runs[1].path("qrels")
    lines = path.read_text(encoding="utf-8").splitlines()
    query = lines[0].split()[0]
    changed = [line for line in lines[1:] if line.split()[0] != query]
    gone = len(lines) - len(changed)
    changed[0] = changed[0].rsplit(" ", 1)[0] + " 12345"
    path.write_text("\n".join([*changed, "q9 0 d9 1000"]) + "\n", encoding="utf-8")
    error = refused(runs)
    assert error.problem == f"{gone + 2} judgements of 3 test queries differ between the runs"
    assert error.location.file == str(path) and str(runs[0].root) in error.expected


def test_judgements_in_another_order_are_the_same(runs, found):
    path = runs[1].path("qrels")
    lines = path.read_text(encoding="utf-8").splitlines()[::-1]
    assert lines != lines[::-1]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    again = compare(*(run.root for run in runs))
    assert (again.rows, again.verdict) == (found.rows, found.verdict)
    path.write_text("\n".join([f"{lines[0]}1", *lines[1:]]) + "\n", encoding="utf-8")  # ten times the gain
    assert refused(runs).problem == "1 judgements of 1 test queries differ between the runs"


def test_another_threshold(runs):
    edit(runs[1].path("results"), lambda results: results.update(relevant_from=1200))
    error = refused(runs)
    assert error.problem == "the lowest relevant grade is 2.2", "1.2 above the lowest grade, which is 1"
    assert error.location.file == str(runs[1].path("results"))
    assert error.expected.startswith("2.5 as in ")


def test_another_catalogue(runs):
    edit(runs[1].path("results"), lambda results: [row.update(documents=9) for row in results["surface"]])
    assert refused(runs).problem == "the number of documents searched is 9"


def test_other_queries(runs):
    table = pq.read_table(runs[1].path("per_query"))
    name = sorted(set(table.filter(pc.equal(table["split"], "test"))["query_id"].to_pylist()))[0]
    pq.write_table(table.filter(pc.not_equal(table["query_id"], name)), runs[1].path("per_query"))
    error = refused(runs)
    assert error.problem == "1 test queries are in one run only"
    assert error.location.file == str(runs[1].path("per_query"))


def test_other_texts_under_the_same_ids(runs):
    table = pq.read_table(runs[1].path("records"))
    column = table.schema.get_field_index("query")
    pq.write_table(table.set_column(column, "query", pc.utf8_upper(table["query"])), runs[1].path("records"))
    error = refused(runs)
    assert "test queries have a different text" in error.problem
    assert error.location.file == str(runs[1].path("records"))


@pytest.mark.parametrize("place", [0, 1])
def test_a_metric_that_one_lacks(runs, place):
    edit(runs[place].path("results"), lambda results: [row["metrics"].pop("ndcg@10") for row in results["surface"]])
    error = refused(runs, metric="ndcg@10")
    assert error.location.file == str(runs[place].path("results"))
    assert (error.problem, error.expected) == (
        "'ndcg@10' was not measured",
        "a metric of both runs: recall@10, mrr@10, judged@10",
    )


def test_another_metric(originals):
    row = by_name(compare(*(folder.root for folder in originals), metric="mrr@10"))[MNR]
    assert row.mean_b == pytest.approx(values(originals[1], MNR, "mrr@10").mean())


@pytest.mark.parametrize("name", ["results", "recommendation", "qrels", "records", "per_query", "config"])
@pytest.mark.parametrize("damage", ["gone", "garbage"])
def test_damage_is_named(runs, name, damage):
    path = runs[0].path(name)
    path.unlink() if damage == "gone" else path.write_bytes(b"\xff\xfe {[ no file of ours\n")
    assert refused(runs).location.file == str(path)


def test_json_holds_what_was_found(found, tmp_path):
    path = tmp_path / "new" / "compare.json"
    found.save(path)
    found.save(path)  # one that is there is replaced
    told = json.loads(path.read_text(encoding="utf-8"))
    assert told == found.to_json()
    assert told["verdict"] == found.verdict and told["ships"] == [True, False]
    assert [row["difference"] for row in told["rows"]] == [row.difference for row in found.rows]
    assert [entry.name for entry in path.parent.iterdir()] == ["compare.json"]


def test_a_folder_is_not_replaced_by_the_json(found, tmp_path):
    (tmp_path / "kept").write_text("kept")
    with pytest.raises(InputError, match="is a folder"):
        found.save(tmp_path)
    assert (tmp_path / "kept").read_text() == "kept"
    with pytest.raises(InputError):
        found.save(tmp_path / "kept" / "compare.json")


def test_the_terminal_shows_it(found):
    stream = io.TextIOWrapper(io.BytesIO(), encoding="utf-8", newline="")
    print_comparison(found, Console(file=stream, highlight=False, width=80))
    stream.seek(0)
    text = stream.read()
    assert max(map(cell_len, text.splitlines())) <= 80 and "\x1b" not in text
    words = " ".join(text.split())
    assert found.verdict.split(": ")[0].rsplit(" by ")[0] in words
    for row in found.rows:
        assert f"{row.mean_a:.3f}" in words and f"{row.mean_b:.3f}" in words
