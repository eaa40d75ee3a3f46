"""Oracle: the exit codes and the one-message rule of the errors' contract, read off the real command line."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from tables import rows, write_csv


@pytest.fixture
def source(tmp_path):
    return write_csv(tmp_path / "judged.csv", rows())


@pytest.fixture(scope="module")
def model_folder():
    from nestvec.models.find import find_model

    return find_model("all-MiniLM-L6-v2").path


def refused(typed, tmp_path, *words, said):
    """The command ends with 2 and one message that says all of `said`, and no folder is made."""
    out = tmp_path / "out"
    code, output, message = typed("run", *words, "--out", out, "--quiet")  # else lines of steps may come before
    assert code == 2, message
    assert output == ""
    assert message.startswith("nestvec: ")
    assert message.count("\n") == 1
    assert "Traceback" not in message
    for word in said:
        assert word in message
    assert not out.exists()


SETTINGS = {
    "a threshold above all grades": (["--threshold", "3.5"], ["--threshold 3.5", "none", "up to 3"]),
    "a threshold below all grades": (["--threshold", "1"], ["--threshold 1", "all", "above 1"]),
    "a dimension beyond the model's": (["--dimensions", "384,500"], ["--dimensions", "500", "1 to 384"]),
    "a dimension of zero": (["--dimensions", "0"], ["--dimensions", "0", "1 to the model's width"]),
    "a dimension that is a word": (["--dimensions", "wide"], ["--dimensions", "'wide'", "whole numbers"]),
    "an unknown system": (["--systems", "mnr,magic"], ["--systems", "magic", "mnr, matryoshka"]),
    "a column that is not there": (["--query", "words"], ["judged.csv", "'words'", "'query', 'document', 'grade'"]),
    "too few records": (["--max-records", "20"], ["queries are left to split", "at least 20"]),
    "a model that is nowhere": (["--model", "/no/such/model"], ["/no/such/model", "no such model folder"]),
    "a hash that differs": (["--model-sha256", "0" * 64], ["model.safetensors", "53aa5117", "0" * 64]),
    "a batch of one": (["--batch-size", "1"], ["--batch-size", "1", "2 or more"]),
}


@pytest.mark.parametrize("case", SETTINGS, ids=list(SETTINGS))
def test_wrong_settings(typed, tmp_path, source, case):
    words, said = SETTINGS[case]
    refused(typed, tmp_path, source, *words, said=said)


FILES = {
    "no such file": (None, ["judged.csv", "no such file"]),
    "an empty file": ("", ["judged.csv", "is empty"]),
    "a grade that is no number": ("query,document,grade\na,b,1\na,c,best\n", ["row 3", "'grade'", "'best'", "number"]),
    "an infinite grade": ("query,document,grade\na,b,-inf\n", ["row 2", "'grade'", "'-inf'"]),
    "a grade that is NaN": ("query,document,grade\na,b,NaN\n", ["row 2", "'grade'", "'NaN'"]),
    "an empty query": ("query,document,grade\n,b,1\n", ["row 2", "'query'", "is empty", "text"]),
    "an empty document": ("query,document,grade\na, ,1\n", ["row 2", "'document'", "is empty"]),
    "an ambiguous column": ("query,document,grade,label\na,b,1,2\n", ["'grade', 'label'", "--grade"]),
    "one grade": ("query,document,grade\na,b,1\nc,d,1\n", ["every grade is 1"]),
}


@pytest.mark.parametrize("case", FILES, ids=list(FILES))
def test_wrong_files(typed, tmp_path, source, case):
    content, said = FILES[case]
    source.unlink()
    if content is not None:
        source.write_text(content)
    refused(typed, tmp_path, source, said=said)


def test_an_unknown_format(typed, tmp_path, source):
    other = source.rename(tmp_path / "judged.xlsx")
    refused(typed, tmp_path, other, said=["judged.xlsx", "'.xlsx'", ".csv, .tsv, .jsonl, .parquet"])


def test_a_damaged_model(typed, tmp_path, source, model_folder):
    copy = shutil.copytree(model_folder, tmp_path / "model")
    weights = (copy / "model.safetensors").read_bytes()
    (copy / "model.safetensors").write_bytes(weights[: len(weights) // 2])
    refused(typed, tmp_path, source, "--model", copy, said=["model.safetensors", "is damaged"])
    (copy / "model.safetensors").unlink()
    refused(typed, tmp_path, source, "--model", copy, said=["model.safetensors", "no such file"])


def test_an_output_path_that_is_a_file(typed, tmp_path, source):
    (tmp_path / "taken").write_text("mine")
    code, _, message = typed("run", source, "--out", tmp_path / "taken")
    assert code == 2
    assert "is a file" in message
    assert (tmp_path / "taken").read_text() == "mine"


def test_an_output_path_that_cannot_be_written(typed, source):
    code, _, message = typed("run", source, "--out", "/proc/nestvec-run")
    assert code == 2
    assert "/proc/nestvec-run" in message
    assert "cannot be written" in message


def test_a_folder_with_other_files_is_left_alone(typed, tmp_path, source):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "notes.txt").write_text("keep")
    code, _, message = typed("run", source, "--out", tmp_path / "mine")
    assert code == 2
    assert "holds files that no run made" in message
    assert [path.name for path in (tmp_path / "mine").iterdir()] == ["notes.txt"]


@pytest.mark.parametrize(
    ("words", "said"),
    [(["run"], "SOURCE"), (["run", "sample"], "--out"), (["run", "sample", "--wat"], "--wat"), (["fly"], "fly"),
     (["run", "sample", "--epochs", "many"], "--epochs")],
)  # fmt: skip
def test_wrong_words(typed, words, said):
    code, _, message = typed(*words)
    assert code == 2
    assert said in message
    assert "Traceback" not in message


def test_version(typed):
    from importlib.metadata import version

    assert typed("--version")[:2] == (0, version("nestvec") + "\n")


@pytest.fixture
def pointless(tmp_path):
    """Judgements that mean nothing: grades drawn at random."""
    table = rows(queries=80)
    rng = np.random.default_rng(1)
    for row in table:
        row["grade"] = int(rng.integers(1, 4))
        row["document"] = " ".join(rng.choice(list("abcdefghij"), 5))
    path = tmp_path / "random.parquet"
    pq.write_table(pa.Table.from_pylist(table), path)
    return path


def test_a_config_file_is_read_and_the_command_line_wins(typed, tmp_path, pointless):
    config = tmp_path / "settings.toml"
    config.write_text(
        f'source = "{pointless}"\nepochs = 3\nresamples = 200\nthreshold = 2.5\n[tune.space]\nepochs = [1, 2]\n'
    )
    code, output, message = typed("run", "--config", config, "--epochs", "0", "--out", tmp_path / "run", "--strict")
    assert code == 3, message
    assert output.startswith("Do not ship")
    for line in ("80 queries", "\nencode with pretrained: done in ", "\nevaluate: done in "):
        assert line in message
    assert "nestvec: Do not ship" in message
    written = (tmp_path / "run" / "config.toml").read_text()
    assert "epochs = 0" in written
    assert "resamples = 200" in written
    assert json.loads((tmp_path / "run" / "recommendation.json").read_text())["decision"] == "do not ship"
    code, output, message = typed("run", "--config", config, "--epochs", "0", "--out", tmp_path / "run", "--quiet")
    assert (code, message) == (0, "")
    assert "report.html" in output


def test_an_unknown_name_in_a_config_file(typed, tmp_path, source):
    config = tmp_path / "settings.toml"
    config.write_text("epoch = 3\n")
    refused(typed, tmp_path, source, "--config", config, said=["settings.toml", "'epoch'", "epochs"])


def test_help_loads_nothing_heavy():
    heavy = {"torch", "transformers", "sentence_transformers", "pyarrow", "matplotlib"}
    code = (
        "import sys\nsys.argv = ['nestvec', 'run', '--help']\nfrom nestvec.cli import main\n"
        f"try:\n    main()\nexcept SystemExit:\n    print('heavy', sorted({heavy} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.endswith("heavy []\n")
