"""Oracles: the same points from a run of its own; direct numpy figures; data whose truth was planted."""

from __future__ import annotations

import json
import sys

import numpy as np
import pytest
from tables import rows, write_csv
from tiny_mpnet import WIDTH

import nestvec
from nestvec.cli import main
from nestvec.errors import InputError
from nestvec.point import Point
from nestvec.vectors.cut import prefix
from nestvec.vectors.stored import load_codecs

OPTIONS = {"resamples": 300, "test": 0.3, "validation": 0.2, "seed": 7, "precisions": "int8,binary"}


@pytest.fixture(scope="session")
def judged(tmp_path_factory):
    return write_csv(tmp_path_factory.mktemp("judged") / "judged.csv", rows(queries=150))


@pytest.fixture(scope="session")
def evaluated(two_models):
    return nestvec.load_run(two_models)


def points(run):
    return {
        Point(row["system"], row["dimension"], row["precision"], axes=row["axes"]).name: row
        for row in run.results["surface"]
        if row["split"] == "test"
    }


def test_every_model_is_a_system_at_its_own_widths(evaluated):
    found = points(evaluated)
    own = {row["dimension"] for row in found.values() if row["system"] == "tiny"}
    assert own == {WIDTH, *(width for width in (384, 192, 96, 48) if width <= WIDTH)}
    assert found["pretrained.384.float32"]["bytes_per_vector"] == 1536
    assert {"bm25", "tiny+bm25." + f"{WIDTH}.float32"} <= set(found)
    assert list(evaluated.results["trained"]) == []
    assert evaluated.folder.path("report").stat().st_size > 0
    assert "could not be loaded" in evaluated.results["missing_models"]["all-mpnet-base-v2"]


def test_the_figures_do_not_depend_on_what_is_measured_beside(evaluated, judged, tiny, tmp_path):
    other = nestvec.evaluate([], str(judged), tmp_path / "run", **OPTIONS, model=str(tiny))
    mine, theirs = points(evaluated)[f"tiny.{WIDTH}.float32"], points(other)[f"pretrained.{WIDTH}.float32"]
    values = {name: entry["value"] for name, entry in mine["metrics"].items()}
    assert values == {name: entry["value"] for name, entry in theirs["metrics"].items()}


def test_codecs_are_saved_and_decode_to_what_was_ranked(evaluated):
    folder = evaluated.folder
    codecs = load_codecs(folder.codecs("pretrained"))
    cuts = ("384", "192", "96", "48", "192a", "96a", "48a")
    assert set(codecs) == {f"{cut}.{name}" for cut in cuts for name in ("float32", "int8", "binary")}
    asked = int(np.load(folder.embeddings("pretrained")).shape[0] - points(evaluated)["bm25"]["documents"])
    documents = np.load(folder.embeddings("pretrained"))[asked:]
    for name, codec in codecs.items():
        held = codec.cut(documents)
        if not codec.axes:
            assert np.array_equal(held, prefix(documents, int(name.split(".")[0])))
        if name.endswith("int8"):
            assert codec.scale == pytest.approx(np.abs(held).max(axis=0) / 127)
        assert codec.bytes_per_vector == points(evaluated)[f"pretrained.{name}"]["bytes_per_vector"]


def test_without_a_folder_the_figures_are_only_printed(monkeypatch, tmp_path, capsys):
    judged = write_csv(tmp_path / "judged.csv", rows(queries=40))
    monkeypatch.chdir(tmp_path)
    typed = ["nestvec", "evaluate", "all-MiniLM-L6-v2", "--data", str(judged), "--precisions", "float32"]
    monkeypatch.setattr(sys, "argv", [*typed, "--resamples", "100", "--dimensions", "48"])
    main_ended(0)
    printed = capsys.readouterr().out
    assert "pretrained 384 float32" in printed
    assert "Do not ship" in printed
    assert list(tmp_path.iterdir()) == [judged]


def main_ended(code):
    try:
        main()
    except SystemExit as ended:
        assert (ended.code or 0) == code


def test_models_that_cannot_be_had_are_refused(judged, tmp_path):
    with pytest.raises(InputError, match="no such model folder"):
        nestvec.evaluate([str(tmp_path / "nothing")], str(judged), tmp_path / "run", **OPTIONS)
    assert not (tmp_path / "run").exists()


def test_two_runs_are_compared_query_by_query(evaluated, finished, tmp_path, monkeypatch, capsys):
    """What both measured is the same, though other systems stood beside it."""
    runs = str(evaluated.folder.root), str(finished.folder.root)
    monkeypatch.setattr(sys, "argv", ["nestvec", "compare", *runs, "--out", str(tmp_path / "c.json")])
    main_ended(0)
    told = json.loads((tmp_path / "c.json").read_text())
    assert [row["name"] for row in told["rows"]] == ["chosen", "bm25", "bm25-default", "pretrained.384.float32"]
    for row in told["rows"][1:]:
        assert (row["difference"], row["p"], row["wins"], row["losses"]) == (0, 1, 0, 0)
    assert told["verdict"] in " ".join(capsys.readouterr().out.split())


def test_the_codec_of_what_is_recommended_is_saved_and_no_codes(finished):
    """A small vector holds up within the run's wide margin; index and page code the documents again with its codec."""
    point = finished.recommendation.point
    assert point is not None
    codec = load_codecs(finished.folder.codecs(point.system))[point.format.name]
    assert codec.bytes_per_vector == point.bytes == finished.points[point.name].bytes
    whole = np.load(finished.folder.embeddings(point.system))[-finished.documents :]
    cut = codec.cut(whole)
    similarities = (cut * codec.decode(codec.encode(cut))).sum(axis=1)
    assert similarities.mean() == pytest.approx(1, abs=0.02), "codes are right in the mean, however few bits they have"
    assert similarities == pytest.approx(np.ones(len(cut)), abs=0.25)
    assert not (finished.folder.root / "codes" / f"{point.name}.safetensors").exists()
