"""The figures are valid PNG and SVG files that show what was measured, and the page's copies read in both themes.

Oracle: Pillow and the standard library's XML parser as readers, the results for the positions of the points, and the
formula of WCAG 2.2 for contrast.
"""

from __future__ import annotations

import json
import re
from itertools import pairwise
from typing import TYPE_CHECKING
from xml.etree import ElementTree

import numpy as np
import pytest
from PIL import Image
from report_page import FIGURES

from nestvec.report.figure_style import LEGEND, LINES, add_heading, draw_figure, legend_line
from nestvec.report.figures import STYLES, style_indices
from nestvec.report.inline_svg import colour_variables, page_svg
from nestvec.settings import TRAINABLE

if TYPE_CHECKING:
    from pathlib import Path

    from matplotlib.axes import Axes
    from report_page import Page

    from nestvec.runs.folder import RunFolder

SVG = "{http://www.w3.org/2000/svg}"


@pytest.mark.parametrize("name", FIGURES)
@pytest.mark.parametrize("run", ["shipped", "crowded"])
def test_files_are_valid(request: pytest.FixtureRequest, run: str, name: str) -> None:
    figures = request.getfixturevalue(run).path("figures")
    with Image.open(figures / f"{name}.png") as image:
        image.load()
        assert image.format == "PNG" and image.width >= 600
        pixels = np.asarray(image.convert("RGB"))
    assert (pixels[0, -1] == 255).all() and pixels.std() > 10, "white paper with something on it"
    edges = np.concatenate([pixels[-1].ravel(), pixels[:, -1].ravel(), pixels[0].ravel()])
    assert (edges == 255).all(), "nothing is cut off at the border"
    root = ElementTree.parse(figures / f"{name}.svg").getroot()
    assert root.tag == f"{SVG}svg"


@pytest.mark.parametrize("name", FIGURES[:3])
def test_every_system_is_named(shipped: RunFolder, name: str) -> None:
    texts = {element.text for element in ElementTree.parse(shipped.path("figures") / f"{name}.svg").iter(f"{SVG}text")}
    assert {"pretrained", "mnr", "matryoshka", "bm25"} <= texts
    assert ("recommended" in texts) == (name == "recall_by_bytes")


def test_points_stand_where_the_results_say(shipped: RunFolder) -> None:
    """Heights of a line's markers are an affine map of the values, its widths evenly spaced on the log scale."""
    text = (shipped.path("figures") / "recall_by_dimension.svg").read_text(encoding="utf-8")
    results = json.loads(shipped.path("results").read_text(encoding="utf-8"))
    xs, ys, values = [], [], []
    for system, place in style_indices(("pretrained", "mnr", "matryoshka")).items():
        marks = re.findall(rf'x="([\d.]+)" y="([\d.]+)" style="fill: {STYLES[place].light};', text)
        marks = sorted({(float(x), float(y)) for x, y in marks})
        marks = [(x, y) for x, y in marks if x > 0 and y > 60]  # neither the band nor the legend
        rows = [
            row
            for row in results["surface"]
            if (row["system"], row["split"], row["precision"]) == (system, "test", "float32")
        ]
        rows.sort(key=lambda row: row["dimension"])
        assert len(marks) == len(rows) == 4
        xs.append([x for x, _ in marks])
        ys += [y for _, y in marks]
        values += [row["metrics"]["recall@10"]["value"] for row in rows]
    slope, offset = np.polyfit(values, ys, 1)
    assert slope < 0
    assert np.allclose(np.polyval([slope, offset], values), ys, atol=0.01)
    assert np.allclose(xs, xs[0])
    steps = [right - left for left, right in pairwise(xs[0])]
    assert np.allclose(steps, steps[0], atol=0.01)


@pytest.mark.parametrize("name", FIGURES)
def test_the_pages_copy_follows_the_theme(shipped: RunFolder, name: str) -> None:
    svg = (shipped.path("figures") / f"{name}.svg").read_text(encoding="utf-8")
    drawing = page_svg(svg, name)
    root = ElementTree.fromstring(drawing)
    assert not re.search(r"#[0-9a-f]{6}\b", drawing), "a colour of its own would not turn with the theme"
    assert set(re.findall(r"var\(--(\w+)\)", drawing)) <= set(colour_variables().values())
    ids = {element.attrib["id"] for element in root.iter() if "id" in element.attrib}
    used = re.findall(r"url\(#([^)]+)\)", drawing) + re.findall(r'href="#([^"]+)"', drawing)
    assert used and set(used) <= ids
    assert all(one.startswith(f"{name}-") for one in ids)
    assert [element.text for element in ElementTree.fromstring(svg).iter(f"{SVG}text")] == [
        element.text for element in root.iter("text")
    ]


def luminance(colour: str) -> float:
    parts = [int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(a: str, b: str) -> float:
    high, low = sorted((luminance(a), luminance(b)), reverse=True)
    return (high + 0.05) / (low + 0.05)


def test_colours_have_enough_contrast(page: Page) -> None:
    css = page.root.find("style")[0].raw
    for theme in ("light", "dark"):
        found = {match[0]: match[1] for match in re.findall(r"--(\w+): (#[0-9a-f]{6});", css.split("@media print")[0])}
        if theme == "light":  # the first declarations; the dark ones come later and overwrite them above
            found = {match[0]: match[1] for match in reversed(re.findall(r"--(\w+): (#[0-9a-f]{6});", css))}
        for text in ("ink", "muted", "accent", "good", "bad"):
            assert contrast(found[text], found["paper"]) >= 4.5, (theme, text)
            assert contrast(found[text], found["tint"]) >= 4.5, (theme, text)
        for style in STYLES:
            colour = style.light if theme == "light" else style.dark
            assert contrast(colour, found["paper"]) >= 3, (theme, colour)


def test_systems_differ_without_colour() -> None:
    looks = [(style.marker, style.dash) for style in STYLES]
    assert len({marker for marker, _ in looks}) == len({str(dash) for _, dash in looks}) == len(looks)
    assert len({style.light for style in STYLES}) == len({style.dark for style in STYLES}) == len(STYLES)


def test_every_system_of_ours_has_a_place_of_its_own_whatever_else_is_drawn() -> None:
    ours = ("pretrained", *TRAINABLE, "bm25")
    fixed = style_indices(ours)
    assert len(set(fixed.values())) == len(ours)
    assert all(style_indices((system,))[system] == place for system, place in fixed.items())
    assert len(set(style_indices(("a", *ours, "b")).values())) == len(ours) + 2


def test_a_legend_with_many_lines_makes_the_figure_higher_and_stays_inside_it(tmp_path: Path) -> None:
    def paint(axes: Axes, names: list[str]) -> None:
        add_heading(axes, "many", [legend_line(name, color="#1d2024") for name in names])

    heights = []
    for names in (["short"] * 4, ["cosine-matryoshka"] * 12):
        draw_figure("many", paint, names, tmp_path)
        with Image.open(tmp_path / "many.png") as image:
            pixels = np.asarray(image.convert("RGB"))
        assert (pixels[:, -1] == 255).all() and (pixels[:, 0] == 255).all()
        heights.append(len(pixels))
    assert heights[1] - heights[0] == pytest.approx(150 * (6 - LINES) * LEGEND, abs=1)
