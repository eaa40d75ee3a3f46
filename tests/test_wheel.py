"""The wheel as a user gets it: installed into an environment of its own, outside the clone.

Oracles: the files of the package; what the documents promise that the base alone can do.
"""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

import pytest
from shared_runs import make_once
from tables import rows, write_csv

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "src"

pytestmark = pytest.mark.slow  # a wheel is built, and installed twice; once with what it needs, from the package index


WITHOUT_THE_CLONE = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}


def call(*words, folder=None, code=0):
    command = [*map(str, words)]
    done = subprocess.run(command, cwd=folder, env=WITHOUT_THE_CLONE, capture_output=True, text=True)
    assert done.returncode == code, done.stdout + done.stderr
    return done


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """The wheel, built from the clone."""

    def build(folder):
        call(sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", folder, ROOT)

    [built] = make_once(tmp_path_factory, "wheel", build).glob("*.whl")
    return built


def make_environment(folder, wheel, *options):
    """Install the wheel into a new environment; gives the folder of its commands."""
    call(sys.executable, "-m", "venv", folder)
    call(folder / "bin" / "python", "-m", "pip", "install", "--quiet", *options, wheel)
    return folder / "bin"


@pytest.fixture(scope="module")
def whole(tmp_path_factory, wheel):
    """Commands of an environment that has the wheel, and borrows what it needs from the one that runs the tests."""
    folder = tmp_path_factory.mktemp("whole")
    commands = make_environment(folder, wheel, "--no-deps")
    [packages] = folder.glob("lib/python*/site-packages")
    # a path in a .pth file makes modules known, but runs no .pth file there: the clone's own package stays unknown
    (packages / "borrowed.pth").write_text(sysconfig.get_path("purelib"), encoding="utf-8")
    return commands


@pytest.fixture(scope="module")
def base(tmp_path_factory, wheel):
    """Commands of an environment that has what `pip install nestvec` installs, and nothing else."""
    return make_environment(tmp_path_factory.mktemp("base"), wheel)


@pytest.fixture
def judged(tmp_path):
    """A table of judgements, in a folder that is not the clone."""
    return write_csv(tmp_path / "judged.csv", rows(queries=80))


def test_it_holds_the_package_and_nothing_else(wheel):
    there = {path.relative_to(PACKAGE).as_posix() for path in PACKAGE.rglob("*") if path.is_file()}
    held = set(zipfile.ZipFile(wheel).namelist())
    about = {name for name in held if ".dist-info/" in name}
    assert held - about == {name for name in there if "__pycache__" not in name}
    assert {Path(name).name for name in about} == {"METADATA", "RECORD", "WHEEL", "entry_points.txt", "LICENSE"}


def test_it_measures_outside_the_clone(whole, judged):
    code = "import nestvec; print(nestvec.__file__)"
    assert str(whole.parent) in call(whole / "python", "-c", code, folder=judged.parent).stdout
    options = ["--epochs", 0, "--dimensions", "48", "--precisions", "binary", "--resamples", 100, "--test", 0.4]
    call(whole / "nestvec", "run", judged, "--out", "run", *options, folder=judged.parent)
    assert (judged.parent / "run" / "report.html").stat().st_size > 100_000


def test_it_offers_its_pages_and_its_sample(whole, tmp_path):
    call(whole / "nestvec", "check", "sample", "--max-records", 500, "--out", "check", folder=tmp_path)
    assert {path.name for path in (tmp_path / "check").iterdir()} == {"check.html", "check.json"}


def test_the_base_checks_data(base, judged):
    shown = call(base / "nestvec", "check", judged, folder=judged.parent)
    assert "80 queries" in shown.stdout
    assert " ".join(shown.stdout.split()).count("this needs the extra train: pip install 'nestvec[train]'") == 1


ASKED = {  # what is typed in the base environment, and the extras that it is told to install
    "check judged.csv --out check": "report",
    "check hf:someone/something": "train",
    "run judged.csv --out run": "train,evaluate,report",
    "evaluate someone/something --data judged.csv": "train,evaluate,report",
    "tune judged.csv --out tuning": "train,evaluate,report,tune",
    "reproduce home-depot --data judged.csv --out again": "train,evaluate,report",
    "encode someone/something judged.csv --out vectors.parquet --column query": "train",
    "serve run": "serve",
}


@pytest.mark.parametrize("typed", ASKED)
def test_the_base_says_in_one_sentence_what_to_install(base, judged, typed):
    shown = call(base / "nestvec", *typed.split(), folder=judged.parent, code=2)
    last = shown.stderr.splitlines()[-1]
    assert last.startswith("nestvec: ")
    assert last.endswith(f"pip install 'nestvec[{ASKED[typed]}]'")
    assert "Traceback" not in shown.stderr
    assert [path.name for path in judged.parent.iterdir()] == ["judged.csv"]


def test_from_python_too(base, judged):
    code = "import nestvec\ntry: nestvec.tune('judged.csv')\nexcept nestvec.MissingExtraError as error: print(error)"
    shown = call(base / "python", "-c", code, folder=judged.parent)
    assert "nestvec[train" in shown.stdout
