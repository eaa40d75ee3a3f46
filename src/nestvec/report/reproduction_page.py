"""Writes the page of `nestvec reproduce`: published and reproduced numbers, and how much of the gain was leakage."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from nestvec.files import replacing, write_text
from nestvec.report.figure_style import MUTED, STYLES, add_heading, draw_figure, legend_line
from nestvec.report.figures import style_indices
from nestvec.report.formatting import number
from nestvec.report.html import fill_template
from nestvec.report.words import metric_label
from nestvec.runs.schema import Measure

if TYPE_CHECKING:
    from pathlib import Path

    from matplotlib.axes import Axes

METRICS = ("recall@10", "mrr@10", "ndcg@10")  # the published ones
_DRAWN = ("pretrained", "mnr", "matryoshka")
_FIGURE = "recall_by_dimension"


def write_reproduction_page(facts: dict[str, Any], root: Path) -> None:
    """Write `reproduce.html` and its figure from the content of `reproduce.json`; equal contents give equal bytes."""
    with replacing(root / "figures") as directory:
        directory.mkdir()
        drawings = {_FIGURE: draw_figure(_FIGURE, _draw_truncation, facts, directory)}
    shown = {
        "facts": {**facts, "rows": [_with_measures(row) for row in facts["rows"]]},
        "headline": reproduction_headline(facts),
        "metrics": {metric: metric_label(metric) for metric in METRICS},
        "alt_texts": {_FIGURE: _describe_truncation(facts)},
        "styles": style_indices(_DRAWN),
    }
    write_text(root / "reproduce.html", fill_template("reproduction.html.jinja", shown, drawings))


def _with_measures(row: dict[str, Any]) -> dict[str, Any]:
    """Convert the reproduced values of a table row to `Measure` objects, which the page's filters can format."""
    ours = row["ours"]
    return {**row, "ours": ours and {metric: Measure(**ours[metric]) for metric in METRICS}}


def reproduction_headline(facts: dict[str, Any]) -> str:
    """Summarise the reproduction's result in one sentence."""
    gains = {entry["where"]: entry["gain"] for entry in facts["gains"] if entry["system"] == "mnr"}
    if gains.get("published protocol") is None:
        return "The published protocol, measured without training."
    published, leak_free = number(gains["published protocol"]), number(gains["leak-free protocol"])
    return (
        f"Fine-tuning gains {published} recall@10 with the published split, and {leak_free} when training sees nothing "
        "of the test data."
    )


def _draw_truncation(axes: Axes, facts: dict[str, Any]) -> None:
    """Draw recall@10 against the dimension: reproduced values as lines, published values as hollow markers."""
    styles = style_indices(_DRAWN)
    dimensions = sorted({row["dimension"] for row in facts["rows"] if row["system"] in _DRAWN})
    legends = []
    for system in _DRAWN:
        style = STYLES[styles[system]]
        rows = sorted((row for row in facts["rows"] if row["system"] == system), key=lambda row: row["dimension"])
        axes.plot(
            [row["dimension"] for row in rows], [row["published"]["recall@10"] for row in rows], linestyle=":",
            linewidth=1, color=style.light, marker=style.marker, fillstyle="none",
        )  # fmt: skip
        ours = [row for row in rows if row["ours"]]
        widths = [row["dimension"] for row in ours]
        low, high = ([row["ours"]["recall@10"][end] for row in ours] for end in ("low", "high"))
        axes.fill_between(widths, low, high, color=style.light, alpha=0.15, linewidth=0)
        axes.plot(
            widths, [row["ours"]["recall@10"]["value"] for row in ours], linestyle=style.dash, color=style.light,
            marker=style.marker,
        )  # fmt: skip
        legends.append(legend_line(system, color=style.light, marker=style.marker, linestyle=style.dash))
    axes.set_xscale("log", base=2)
    axes.set_xticks(dimensions, labels=[str(dimension) for dimension in dimensions])
    axes.minorticks_off()
    axes.set_xlabel("dimensions (log scale), float32")
    hollow = legend_line("as published", color=MUTED, marker="o", fillstyle="none", linestyle=":")
    add_heading(axes, f"recall@10, mean of n = {facts['counts']['test_queries']:,} test records", legends, [hollow])


def _describe_truncation(facts: dict[str, Any]) -> str:
    """Describe the chart of recall@10 by dimension in numbers, for people who cannot see it."""
    sentences = []
    for row in facts["rows"]:
        ours = f", {number(row['ours']['recall@10']['value'])} here" if row["ours"] else ""
        published = number(row["published"]["recall@10"])
        sentences.append(f"{row['system']} at {row['dimension']}: {published} published{ours}.")
    return "Line chart of recall@10 by dimension. " + " ".join(sentences)
