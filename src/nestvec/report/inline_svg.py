"""Prepares a drawing for the page: colours become CSS variables, and ids become unique on the page."""

from __future__ import annotations

import re
from xml.etree import ElementTree

from nestvec.report.figure_style import INK, MUTED, PAPER, RULE, STYLES

_DROPPED = {"metadata", "style"}  # the author's name, and a default that the page's style sheet sets
_KEPT_OF_ROOT = "viewBox"  # the page decides how wide a drawing is


def page_svg(svg: str, name: str) -> str:
    """Convert matplotlib's SVG to an element that can stand inside the page.

    `name` is put before the ids in the drawing, and must be unique on the page. The drawing is hidden from screen
    readers, which read the alternative text instead.
    """
    root = ElementTree.fromstring(svg)
    root.attrib = {_KEPT_OF_ROOT: root.attrib[_KEPT_OF_ROOT], "aria-hidden": "true", "focusable": "false"}
    for element in root.iter():
        element.tag = _local_name(element.tag)
        for child in [child for child in element if _local_name(child.tag) in _DROPPED]:
            element.remove(child)
        attributes = {_local_name(key): value for key, value in element.attrib.items()}
        element.attrib = {key: _rewrite_value(key, value, name) for key, value in attributes.items()}
        if element.tag != "text":  # only indentation
            element.text = element.tail = None
        element.tail = None
    return ElementTree.tostring(root, encoding="unicode")


def colour_variables() -> dict[str, str]:
    """Map each colour of the drawings to the name of its CSS variable on the page."""
    named = {INK: "ink", MUTED: "muted", RULE: "rule", PAPER: "paper"}
    return named | {style.light: f"s{index}" for index, style in enumerate(STYLES)}


def _local_name(name: str) -> str:  # HTML knows SVG's namespaces by heart
    return name.rpartition("}")[2]


def _rewrite_value(key: str, value: str, name: str) -> str:
    """Rewrite an attribute of the SVG for the page: ids, references to ids, typeface and colours."""
    if key == "id":
        return f"{name}-{value}"
    if key == "href":
        return value.replace("#", f"#{name}-")
    if key == "d":  # a path's line breaks are for people who read files
        return value.replace(" \n", " ").strip()
    value = re.sub(r"url\(#", f"url(#{name}-", value)
    value = re.sub(r"font-family: [^;]*;\s*", "", value)
    for colour, variable in colour_variables().items():
        value = value.replace(colour, f"var(--{variable})")
    return value
