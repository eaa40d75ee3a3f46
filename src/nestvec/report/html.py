"""Fills the page templates in the folder `page`; every page is one HTML file that loads no other file.

The template engine escapes everything that comes from the run's files. Only nestvec's own drawings, style sheet and
script are inserted unescaped. The page's content security policy blocks all other scripts and all loading.
"""

from __future__ import annotations

import base64
import hashlib
from typing import TYPE_CHECKING, Any

from nestvec.errors import MissingExtraError
from nestvec.report import formatting, words
from nestvec.report.figure_style import STYLES
from nestvec.report.inline_svg import colour_variables, page_svg

if TYPE_CHECKING:
    from collections.abc import Callable

_FILTERS = (
    formatting.capitalise, formatting.count, formatting.describe_encoder, formatting.describe_point,
    formatting.duration, formatting.grade_range, formatting.interval, formatting.loss_interval,
    formatting.memory_size, formatting.millions, formatting.number, formatting.p_value, formatting.percent,
    formatting.plain, formatting.setting_text, formatting.shorten, formatting.signed, formatting.size_ratio,
)  # fmt: skip
FILTERS: dict[str, Callable[..., str]] = {function.__name__: function for function in _FILTERS}


def fill_template(template: str, facts: dict[str, Any], drawings: dict[str, str]) -> str:
    """Fill a page template of the folder `page` with facts and with the SVG texts of figures.

    Every text in the facts is escaped. Raises MissingExtraError if jinja2 is not installed.
    """
    try:
        from jinja2 import Environment, PackageLoader, StrictUndefined
        from markupsafe import Markup
    except ImportError as error:
        raise MissingExtraError(error.name or "jinja2", "report") from error

    loader = PackageLoader("nestvec.report", "page")
    environment = Environment(
        loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters.update(FILTERS)
    environment.globals.update(words=words, clamp=formatting.CLAMP)  # for the macros too
    script = loader.get_source(environment, "page.js")[0]
    ours = {
        "script": Markup(script),
        "script_hash": base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
        "css": Markup(loader.get_source(environment, "page.css")[0]),
        "colours": {colour_variables()[style.light]: style for style in STYLES},
        "svg": {name: Markup(page_svg(svg, name)) for name, svg in drawings.items()},
    }
    return environment.get_template(template).render(facts | ours) + "\n"
