"""How the systems were trained: the table, the curves, and runs that have none.

Oracle: `training.json` of the made-up run and strings written by hand; running means by hand and by slices; the
contract that a run of before the file was written still has its report.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree

import numpy as np
import pytest
from report_page import LEARNING, Page

from nestvec.report import words, write_report
from nestvec.report.figure_style import STYLES
from nestvec.report.figures import style_indices
from nestvec.report.training_figures import MOST, draw_loss, relative_losses, running_mean
from nestvec.runs.run import Run
from nestvec.runs.schema import Training
from nestvec.settings import TRAINABLE

if TYPE_CHECKING:
    from collections.abc import Callable

    from nestvec.runs.folder import RunFolder

    Rendered = Callable[[str, Callable[[Any], object]], Page]

SVG = "{http://www.w3.org/2000/svg}"


@pytest.fixture(scope="module")
def crowd(crowded: RunFolder) -> Page:
    return Page.read(crowded.path("report"))


def trainings(folder: RunFolder) -> dict[str, dict[str, Any]]:
    told = json.loads(folder.path("training").read_text(encoding="utf-8"))
    return {entry["system"]: entry for entry in told["systems"]}


def test_the_table(crowd: Page) -> None:
    plain = ["1,296", "0", "40", "28", "bfloat16", "2", "0.00015", "1", "1 min 11 s"]
    mixed = ["1,296", "178", "40", "28", "bfloat16", "2", "0.00015", "0.75", "1 min 11 s"]
    expected = {"mnr": plain, "matryoshka": plain, "cosine-matryoshka": plain, "graded": mixed}
    assert crowd.table("training-table") == expected


def test_what_was_kept_is_told(crowded: RunFolder, crowd: Page, page: Page) -> None:
    assert "a part of the validation split and in a smaller catalogue. A smaller catalogue is easier" in crowd.text
    assert "The final model of graded is a mixture of 75 % tuned and 25 % pretrained weights" in crowd.text
    assert "; for graded the average includes quantised vectors, which the charts leave out:" in crowd.text
    [kept] = crowd.by_id("what-was-kept").find("table")
    rows = [[cell.text for cell in row.find("td")] for row in kept.find("tr")[1:]]
    means = [[sum(value["recall"] for value in entry["curve"] if value["step"] == step) for step in (0, 28)]
             for entry in trainings(crowded).values()]  # fmt: skip
    assert rows == [["28 of 40", f"{before:.3f}", f"{after:.3f}"] for before, after in means]
    assert "a mixture of" not in page.text and "quantised vectors" not in page.text


def test_validations_in_numbers(crowded: RunFolder, crowd: Page) -> None:
    cells = crowd.cells("validations-table")
    rows = [(entry, step) for entry in trainings(crowded).values() for step in entry["curve"]]
    assert len(cells) == len(rows) == 16
    for (entry, step), found in zip(rows, cells, strict=True):
        kept = " kept" if step["step"] == 28 else ""
        assert found[:3] == [entry["system"] + kept, str(step["step"]), f"{step['recall']:.3f}"]
        values = [f"{point['metrics']['recall@10']:.3f} {point['metrics']['ndcg@10']:.3f}" for point in step["points"]]
        in_order = [values[0], values[2], values[1]] if len(values) == 3 else [values[0], "\u2013", values[1]]
        assert found[3:] == in_order, "384 float32, 384 binary, 48 float32"


def test_curves_are_told_in_numbers(page: Page) -> None:
    labels = {
        figure.attributes["id"]: figure.find("div", role="img")[0].attributes["aria-label"]
        for figure in page.root.find("figure")
    }
    assert (
        "mnr at 384 dimensions: 0.410 at step 0, 0.530 at step 14, 0.581 at step 28, 0.572 at step 40. mnr at 48 "
        "dimensions: 0.360 at step 0, 0.480 at step 14, 0.531 at step 28, 0.522 at step 40. mnr kept step 28."
        in labels["figure-learning-recall"]
    )
    assert "matryoshka at 384 dimensions: 0.240 at step 0, 0.300 at step 14" in labels["figure-learning-ndcg"]
    assert re.search(
        r"mnr: 0\.[234]\d at step 40\. matryoshka: 0\.[234]\d at step 40\.$", labels["figure-learning-loss"]
    )


def test_of_a_long_curve_only_the_steps_that_matter_are_told(rendered: Rendered) -> None:
    def lengthen(told: dict[str, Any]) -> None:
        curve = told["systems"][0]["curve"]
        told["systems"][0]["curve"] = [{**curve[2 if step == 28 else 1], "step": step} for step in range(2, 42, 2)]

    page = rendered("training", lengthen)
    [figure] = page.root.find("figure", id="figure-learning-recall")
    assert (
        "mnr at 384 dimensions: 0.530 at step 2, 0.581 at step 28, 0.530 at step 40."
        in figure.find("div", role="img")[0].attributes["aria-label"]
    )


@pytest.mark.parametrize(("name", "metric"), [("learning_recall", "recall@10"), ("learning_ndcg", "ndcg@10")])
def test_points_stand_where_the_validations_say(shipped: RunFolder, name: str, metric: str) -> None:
    """Heights of the markers are an affine map of the values, their places of the steps."""
    text = (shipped.path("figures") / f"{name}.svg").read_text(encoding="utf-8")
    xs, ys, steps, values = [], [], [], []
    for system, entry in trainings(shipped).items():
        colour = STYLES[style_indices((system,))[system]].light
        marks = re.findall(rf'x="([\d.]+)" y="([\d.]+)" style="[^"]*stroke: {colour}', text)
        marks = sorted({(float(x), -float(y)) for x, y in marks if float(y) > 60})  # not the legend
        told = [(step["step"], point["metrics"][metric]) for step in entry["curve"] for point in step["points"]]
        assert len(marks) == len(told) == 8
        for (x, y), (step, value) in zip(marks, sorted(told), strict=True):
            xs, ys, steps, values = [*xs, x], [*ys, y], [*steps, step], [*values, value]
    for drawn, said in ((xs, steps), (ys, values)):
        slope, offset = np.polyfit(said, drawn, 1)
        assert slope > 0
        assert np.allclose(np.polyval([slope, offset], said), drawn, atol=0.01)
    texts = {element.text for element in ElementTree.fromstring(text).iter(f"{SVG}text")}
    assert {"mnr", "matryoshka", "384 dimensions", "48 dimensions", "kept", "step"} <= texts


def test_running_mean_by_hand() -> None:
    assert running_mean([4, 2, 0, 2]).tolist() == pytest.approx([3, 2, 4 / 3, 1])
    assert running_mean([5]).tolist() == [5]


def test_running_mean_takes_in_a_tenth_of_the_steps() -> None:
    values = np.random.default_rng(3).random(200)
    expected = [values[max(0, step - 10) : step + 11].mean() for step in range(200)]
    assert running_mean(values) == pytest.approx(expected)


@pytest.mark.parametrize("factor", [1, 4.5])
def test_a_loss_begins_at_one_whatever_its_scale(factor: float) -> None:
    losses, mean = relative_losses(np.array([4, 2, 0, 2]) * factor)
    assert losses.tolist() == pytest.approx([4 / 3, 2 / 3, 0, 2 / 3])
    assert mean.tolist() == pytest.approx([1, 2 / 3, 4 / 9, 1 / 3])


def test_a_loss_of_nothing_stays_nothing() -> None:
    losses, mean = relative_losses([0.0, 0.0, 0.0])
    assert not losses.any() and not mean.any()


def test_a_long_training_is_drawn_with_few_points_and_all_its_extremes() -> None:
    from matplotlib.figure import Figure

    losses = np.random.default_rng(5).random(20_000) + 1
    losses[[7_777, 15_000]] = 9, 0.1
    told = Training("mnr", 20_000, "float32", 1, 1e-4, 1, 0, tuple(losses), (), 20_000, 1.0, 1.0)
    axes = Figure().add_subplot()
    draw_loss(axes, [told], {"mnr": 1})
    drawn, mean = (np.asarray(line.get_xydata()) for line in axes.lines)
    scaled, exact = relative_losses(losses)
    assert len(drawn) <= MOST and len(mean) <= MOST
    for line, values in ((drawn, scaled), (mean, exact)):
        assert line[:, 1] == pytest.approx(values[line[:, 0].astype(int) - 1])
    assert {7_778, 15_001} <= set(drawn[:, 0].tolist())
    assert (mean[0, 0], mean[-1, 0]) == (1, 20_000)


def changed(folder: RunFolder, name: str, change: Callable[[Any], object]) -> Page:
    path = folder.path(name)
    value = json.loads(path.read_text(encoding="utf-8"))
    change(value)
    path.write_text(json.dumps(value), encoding="utf-8")
    return Page.read(write_report(Run(folder)))


def test_a_run_of_before_has_its_report_without_the_section(changed_run: RunFolder) -> None:
    changed_run.path("training").unlink()
    page = changed(changed_run, "results", lambda results: results.pop("trained"))
    assert not page.root.find(id="training") and not page.root.find("a", href="#training")
    assert not {path.stem for path in changed_run.path("figures").iterdir()} & set(LEARNING)


def test_a_run_that_trained_nothing_needs_no_file(changed_run: RunFolder) -> None:
    changed_run.path("training").unlink()
    page = changed(changed_run, "results", lambda results: results.update(trained=[]))
    assert not page.root.find(id="training")


def test_without_validation_there_is_the_loss_alone(changed_run: RunFolder) -> None:
    def strip(told: dict[str, Any]) -> None:
        for entry in told["systems"]:
            entry.update(curve=[], best_step=40)

    page = changed(changed_run, "training", strip)
    assert "There were no validation queries to choose a step with, so the last step was kept." in page.text
    assert [name for name in LEARNING if (changed_run.path("figures") / f"{name}.svg").exists()] == ["learning_loss"]
    assert "What was kept" not in page.text and not page.root.find(id="validations-table")


def test_one_width_is_one_line(changed_run: RunFolder) -> None:
    def narrow(told: dict[str, Any]) -> None:
        for entry in told["systems"]:
            for step in entry["curve"]:
                del step["points"][1]

    changed(changed_run, "training", narrow)
    text = (changed_run.path("figures") / "learning_recall.svg").read_text(encoding="utf-8")
    assert "384 dimensions" in text and "48 dimensions" not in text


def test_every_system_is_explained(crowd: Page) -> None:
    assert set(words.SYSTEMS) == {"pretrained", "bm25", *TRAINABLE}
    [told] = crowd.root.find("dl", **{"aria-labelledby": "systems"})
    names = [name.text for name in told.find("dt")]
    assert names == ["pretrained", "mnr", "matryoshka", "cosine-matryoshka", "graded", "bm25"]
    assert [meaning.text for meaning in told.find("dd")] == [words.SYSTEMS[name] for name in names]


def test_another_system_can_be_recommended(crowd: Page) -> None:
    assert crowd.root.find("h1")[0].text.startswith("Ship graded at 48 dimensions in int8")
    assert "From pretrained at 384 dimensions in float32 to graded at 48 dimensions in int8, on test" in crowd.text
    gained = crowd.root.find("div", class_="changes")[0].find("details", class_="change")
    assert gained and "After: graded 48 int8" in gained[0].text
    assert list(crowd.table("comparison-table")) == [
        "pretrained", "mnr", "matryoshka", "cosine-matryoshka", "graded", "bm25"
    ]  # fmt: skip


def test_every_system_is_named_in_the_figures(crowded: RunFolder) -> None:
    for name in (*LEARNING, "recall_by_dimension", "recall_by_bytes"):
        tree = ElementTree.parse(crowded.path("figures") / f"{name}.svg")
        assert {*trainings(crowded)} <= {element.text for element in tree.iter(f"{SVG}text")}
