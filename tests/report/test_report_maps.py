"""The heat maps and the matrix of differences show what the results say.

Oracle: the formulas of the broad run, its JSON files, and the formula of WCAG 2.2 for contrast; drawings are read by
the standard library's XML parser and by Pillow.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING
from xml.etree import ElementTree

import numpy as np
import pytest
from PIL import Image
from report_broad import AXES, LOST_ON_AXES, MINUS, WIDTHS, draw_words, read, recall, signed, size

from nestvec.report.content import read_content
from nestvec.report.figure_style import INK
from nestvec.report.figures import draw_figures
from nestvec.report.heatmap import FAINT, FULL, HUE, figure_names
from nestvec.runs.folder import RunFolder
from nestvec.runs.run import Run

if TYPE_CHECKING:
    from pathlib import Path

    from report_page import Page

PRECISIONS = ("float32", "float16", "int8", "int4", "int2", "binary")
SVG = "{http://www.w3.org/2000/svg}"


# Heat maps


def cells(system: str) -> list[tuple[float, int]]:
    """The value and the bytes of every cell of a system's map, line by line."""
    found = []
    for width in WIDTHS[system]:
        found += [(recall(system, width, precision), size(width, precision)) for precision in PRECISIONS]
        if (system, width) in AXES:
            found.append((recall(system, width, "float32") - LOST_ON_AXES, size(width, "float32")))
    return found


@pytest.mark.parametrize("system", WIDTHS)
def test_heat_map_says_value_and_bytes_of_every_cell(broad: RunFolder, system: str) -> None:
    name = figure_names(read_content(Run(broad)))[system]
    texts = [one.text for one in ElementTree.parse(broad.path("figures") / f"{name}.svg").iter(f"{SVG}text")]
    expected = [
        text for value, bytes_per_vector in cells(system) for text in (f"{value:.3f}", f"{bytes_per_vector:,} B")
    ]
    assert [text for text in texts if text in expected] == expected
    label = draw_words(broad)[f"figure-{name.replace('_', '-')}"]
    assert f"48 dimensions: {recall(system, 48, 'float32'):.3f} in float32 (192 bytes)" in label


def test_the_better_the_stronger_and_the_recommended_cell_has_a_frame(broad: RunFolder) -> None:
    found: list[tuple[float, float]] = []
    for system, name in figure_names(read_content(Run(broad))).items():
        text = (broad.path("figures") / f"{name}.svg").read_text(encoding="utf-8")
        shades = [float(shade) for shade in re.findall(rf'style="fill: {HUE}; opacity: ([\d.]+)', text)]
        found += zip((value for value, _ in cells(system)), shades, strict=True)
        frames = re.findall(rf'style="fill: none; stroke: {INK}; stroke-width: 2;', text)
        assert len(frames) == (system == "matryoshka")
    low, high = min(found)[0], max(found)[0]
    for one, shade in found:
        assert shade == pytest.approx(FAINT + (FULL - FAINT) * (one - low) / (high - low), abs=1e-5)


def luminance(colour: tuple[float, ...]) -> float:
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in colour]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def test_words_on_colour_can_be_read_in_both_themes(broad_page: Page) -> None:
    """WCAG 2.2: 4.5 to 1, on the strongest shade of the maps and on the cells of the matrix."""
    css = broad_page.root.find("style")[0].raw.split("@media print")[0]
    pairs = re.findall(r"--(\w+): (#[0-9a-f]{6});", css)
    shares = {"s2": FULL, "good": 0.16, "bad": 0.16}
    assert css.count(" 16%, transparent)") == 2
    for theme in (dict(reversed(pairs)), dict(pairs)):  # the light one is said first, the dark one last
        parts = {name: tuple(int(text[at : at + 2], 16) / 255 for at in (1, 3, 5)) for name, text in theme.items()}
        for name, share in shares.items():
            behind = tuple(share * a + (1 - share) * b for a, b in zip(parts[name], parts["paper"], strict=True))
            texts = ["ink"] if name == "s2" else ["ink", "muted"]
            for text in texts:
                low, high = sorted((luminance(parts[text]), luminance(behind)))
                assert (high + 0.05) / (low + 0.05) >= 4.5, (name, text)


def test_no_two_systems_share_a_figure(broad: RunFolder, tmp_path: Path) -> None:
    copy = RunFolder(tmp_path / "run")
    copy.root.mkdir()
    for path in broad.root.iterdir():
        (copy.root / path.name).symlink_to(path)
    told = read(broad, "results")
    for row in told["surface"]:
        row["system"] = {"=wide": "a.b", "mnr": "A b"}.get(row["system"], row["system"])
    copy.path("results").unlink()
    copy.path("results").write_text(json.dumps(told), encoding="utf-8")
    content = read_content(Run(copy))
    names = [name.lower() for name in figure_names(content).values()]
    assert len(names) == len(set(names)) == 4
    assert set(figure_names(content).values()) <= set(draw_figures(content, tmp_path / "figures"))


@pytest.mark.parametrize("run", ["broad", "crowded", "stopped"])
def test_nothing_is_cut_off_at_a_border(request: pytest.FixtureRequest, run: str) -> None:
    drawn = sorted(request.getfixturevalue(run).path("figures").glob("*.png"))
    assert {"differences", "recall_by_bytes", "surface_mnr"} <= {path.stem for path in drawn}
    for path in drawn:
        with Image.open(path) as image:
            pixels = np.asarray(image.convert("RGB"))
        edges = np.concatenate([pixels[-1].ravel(), pixels[:, -1].ravel(), pixels[0].ravel(), pixels[:, 0].ravel()])
        assert (edges == 255).all(), path.stem


# Differences between systems


def test_matrix_has_every_pair_once_the_right_way_round(broad: RunFolder, broad_page: Page) -> None:
    told = {(one["a"].split(".")[0], one["b"].split(".")[0]): one for one in read(broad, "results")["comparisons"]
            if one["metric"] == "recall@10"}  # fmt: skip
    order = ["pretrained", "mnr", "matryoshka", "=wide", "bm25", "mnr+bm25", "=wide+bm25"]
    rows = [row for row in broad_page.root.find("table", class_="matrix")[0].find("tr") if row.find("td")]
    assert [row.find("th")[0].text for row in rows] == order[1:]
    for down, row in enumerate(rows, start=1):
        for across, cell in enumerate(row.find("td")):
            if across >= down:
                assert cell.text == ""
                continue
            pair = order[down], order[across]
            entry, turned = (told[pair], 1) if pair in told else (told[pair[::-1]], -1)
            outcomes = [entry["wins"], entry["ties"], entry["losses"]][::turned]
            assert cell.text == f"{signed(turned * entry['difference'])} {' / '.join(map(str, outcomes))}"
            clear = entry["p_holm"] < 0.05
            assert bool(cell.find("b")) == clear
            better = "better" if turned * entry["difference"] > 0 else "worse"
            assert cell.attributes.get("class", "") == (better if clear else "")
            assert "effect size" in cell.attributes["title"] and "p\u00a0=\u00a0" in cell.attributes["title"]


def test_matrix_as_a_drawing(broad: RunFolder) -> None:
    root = ElementTree.parse(broad.path("figures") / "differences.svg").getroot()
    texts = [one.text for one in root.iter(f"{SVG}text")]
    assert set(WIDTHS) | {"bm25", "mnr+bm25", "=wide+bm25"} <= set(texts)
    gaps = [abs(one["difference"]) for one in read(broad, "results")["comparisons"] if one["metric"] == "recall@10"]
    drawn = [float(text.replace(MINUS, "-")) for text in texts if text and re.fullmatch(r"[+\u2212]?\d\.\d{3}", text)]
    assert sorted(map(abs, drawn)) == pytest.approx(sorted(gaps), abs=0.0005)
    assert sum("font-weight: 700" in one.attrib["style"] for one in root.iter(f"{SVG}text")) == sum(
        gap > 0.05 for gap in gaps
    )
