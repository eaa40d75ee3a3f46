"""`nestvec report` and `nestvec runs`, and what a run ends with.

Oracles: the report that the run itself wrote; the run's files; the width of the text.
"""

from __future__ import annotations

import json
import webbrowser

import pytest
from report_fixture import write_run
from shared_runs import copy_run

from nestvec import report
from nestvec.cli.answer import list_next_steps, read_answer
from nestvec.errors import InputError
from nestvec.runs.folder import RunFolder
from nestvec.runs.run import Run, load_run


def contents(folder):
    return {path: path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def test_a_report_is_written_anew_from_the_runs_files(typed, tmp_path, measured):
    run = copy_run(measured, tmp_path / "run")
    before = contents(run)
    (run / "report.html").unlink()
    (run / "figures" / "grades.svg").write_text("an old one")
    (run / "tables" / "of an earlier version.csv").write_text("")
    code, output, message = typed("report", run)
    assert (code, message) == (0, "")
    assert output == f"Do not ship yet: nothing was trained; only the pretrained model and BM25 were measured.\n" \
                     f"The report: {run / 'report.html'}\n"  # fmt: skip
    after = contents(run)
    assert after.keys() == before.keys()
    changed = {path.name for path in after if after[path] != before[path]}
    assert changed <= {"report.html"}  # which names the folder that it was written in


def test_a_report_that_cannot_be_made_leaves_the_old_one_whole(typed, tmp_path, measured, monkeypatch):
    run = copy_run(measured, tmp_path / "run")
    before = contents(run)

    def fail(content, drawings):
        raise InputError("no template")

    monkeypatch.setattr(report, "render_run_page", fail)
    code, output, message = typed("report", run)
    assert (code, output, message) == (2, "", "nestvec: no template\n")
    assert contents(run) == before


@pytest.mark.parametrize("name", ["missing", "empty", "unfinished", "damaged"])
def test_a_folder_that_is_no_finished_run_is_refused_and_nothing_written(typed, tmp_path, measured, name):
    folder = tmp_path / name
    if name == "empty":
        folder.mkdir()
    elif name != "missing":
        copy_run(measured, folder)
        (folder / ("results.json" if name == "damaged" else ".stages/report.json")).unlink()
    before = contents(folder)
    code, output, message = typed("report", folder)
    assert (code, output) == (2, "")
    assert message.count("\n") == 1 and str(folder) in message
    assert contents(folder) == before
    assert folder.exists() == (name != "missing")


@pytest.mark.parametrize("opens", [True, False])
def test_a_report_is_opened_in_the_browser(typed, tmp_path, measured, monkeypatch, opens):
    run, opened = copy_run(measured, tmp_path / "a run"), []
    monkeypatch.setattr(webbrowser, "open", lambda url: opened.append(url) or opens)
    code, _, message = typed("report", run, "--open")
    assert code == 0
    assert opened == [(run / "report.html").as_uri()]
    assert ("no browser could be started" in message) is not opens


# runs


@pytest.fixture
def folder(tmp_path, measured):
    """A finished run that ships, one that does not, one that is unfinished, and one that is damaged."""
    root = tmp_path / "runs"
    write_run(root / "ships", choices=True).mark_done("report", {})
    copy_run(measured, root / "none")
    RunFolder(copy_run(measured, root / "half")).stage_marker("report").unlink()
    copy_run(measured, root / "broken").joinpath("results.json").write_text("{")
    return root


def test_runs_are_a_table_of_80_columns(typed, folder, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    code, output, _ = typed("runs", folder)
    assert code == 0
    assert max(map(len, output.splitlines())) <= 80
    text = " ".join(output.split())
    assert text.startswith("run date source state recommended broken ")
    assert "damaged results.json: is damaged" in text
    assert "judged.csv next: report" in text
    assert "judged.csv finished do not ship" in text
    told = json.loads((folder / "ships" / "recommendation.json").read_text())
    assert f"{told['point']['bytes_per_vector']} bytes: recall@10 0." in text
    assert ", bm25 0." in text


def test_runs_as_json_are_an_object_a_line(typed, folder):
    code, output, message = typed("runs", folder, "--json")
    assert (code, message) == (0, "")
    listed = [json.loads(line) for line in output.splitlines()]
    assert [run["state"] for run in listed] == ["damaged", "unfinished", "finished", "finished"]
    assert listed[1]["next_stage"] == "report"
    assert listed[3]["decision"] == "ship"


def test_a_folder_without_runs_says_so(typed, tmp_path):
    assert typed("runs", tmp_path)[:2] == (0, f"No run was found in {tmp_path} or up to 3 folders below it.\n")
    assert typed("runs", tmp_path, "--json")[:2] == (0, "")
    assert typed("runs", tmp_path / "missing")[0] == 2


# the end of a run


def test_a_run_that_ships_ends_with_what_to_type_next(tmp_path):
    run = Run(write_run(tmp_path / "my run", choices=True))
    assert read_answer(run).startswith("Ship ")
    steps = list_next_steps(run)
    assert len(steps) == 4
    for command in ("export", "index", "serve"):
        assert any(step.startswith(f"  nestvec {command} '{run.root}'") for step in steps)


def test_a_run_that_does_not_ship_ends_with_what_would_help(measured):
    helps, _, command = list_next_steps(load_run(measured))
    assert helps.startswith("What would help: more judged queries (about ")
    assert "fine-tuning (nestvec run with --epochs 3 and another --out)" in helps  # nothing was trained
    assert command == f"  nestvec serve {measured}"


def test_a_run_that_proves_nothing_names_the_vectors_that_likely_hold_up(tmp_path):
    folder = write_run(tmp_path / "run", choices=True)
    root, path = folder.root, folder.path("recommendation")
    path.write_text(json.dumps({**json.loads(path.read_text()), "decision": "do not ship", "point": None}))
    run, options = Run(folder), "--system matryoshka --dimension 384 --precision binary"
    assert "bytes per vector of matryoshka beside your keyword search very likely hold up" in read_answer(run)
    steps = list_next_steps(run)
    assert f'  nestvec index {root} {options} && nestvec search {root} "your query" --mode fused' in steps
    assert f"  nestvec export {root} {options} --out {root / 'export'}" in steps
    with pytest.raises(InputError, match=f"{options} names the vectors that likely hold up"):
        run.choose()
    assert run.choose("matryoshka", 384, "binary") == run.likely.vectors
