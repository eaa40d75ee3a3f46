"""The page: the facts of a run in words and tables. Only here are numbers rounded and formatted.

Everything that comes from the run's files is escaped by the template engine; the drawings, the style sheet and the
script are our own. A content security policy in the page lets no other script run and nothing load.
"""

from __future__ import annotations

import base64
import hashlib
from typing import TYPE_CHECKING, Any, Protocol

from nestvec.errors import MissingExtraError
from nestvec.evaluation.metrics import CONDENSED
from nestvec.report import heatmap, words
from nestvec.report.budgets import budgets, ways
from nestvec.report.drawing import STYLES
from nestvec.report.figures import all_places
from nestvec.report.learning import relative
from nestvec.report.svg import page_colours, page_svg
from nestvec.runs.schema import METRICS

if TYPE_CHECKING:
    from collections.abc import Callable

    from nestvec.point import Point
    from nestvec.report.content import Content
    from nestvec.runs.schema import Grades

NBSP = "\N{NO-BREAK SPACE}"
MINUS = "\N{MINUS SIGN}"
NONE = "\N{EN DASH}"
CLAMP = 160  # characters of a document that are shown at once
TOLD = 12  # validations of a training that are all put into words


class Interval(Protocol):
    """Anything with an interval."""

    @property
    def low(self) -> float:
        """Its lower end."""

    @property
    def high(self) -> float:
        """Its upper end."""


def render(content: Content, drawings: dict[str, str]) -> str:
    """Write the report as one HTML file that loads nothing.

    Args:
        content: the facts.
        drawings: figure name to SVG text, from `draw_figures`.

    Returns:
        The file's text.
    """
    facts = {
        "content": content,
        "headline": headline(content),
        "places": all_places(content),
        "described": described(content),
        "metrics": METRICS,
        "heat_maps": heatmap.figure_names(content),
        "scale": heatmap.scale(content),
        "budgets": budgets(content, content.recommendation.metric),
        "ways": ways(content, content.recommendation.metric),
        "groups": grouped(content),
    }
    return fill("report.html.jinja", facts, drawings)


def fill(template: str, facts: dict[str, Any], drawings: dict[str, str]) -> str:
    """Fill a template of the folder `page` with facts; every text in them is escaped.

    Args:
        template: the file's name.
        facts: what the template speaks of, by name.
        drawings: figure name to SVG text.

    Returns:
        A page that loads nothing.

    Raises:
        MissingExtraError: jinja2 is not installed.
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
    environment.globals.update(words=words, clamp=CLAMP)  # for the macros too
    script = loader.get_source(environment, "page.js")[0]
    ours = {
        "script": Markup(script),
        "script_hash": base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
        "css": Markup(loader.get_source(environment, "page.css")[0]),
        "colours": {page_colours()[style.light]: style for style in STYLES},
        "svg": {name: Markup(page_svg(svg, name)) for name, svg in drawings.items()},
    }
    return environment.get_template(template).render(facts | ours) + "\n"


def headline(content: Content) -> str:
    """The recommendation in one sentence."""
    chosen, made = content.after, content.recommendation
    label = words.label(made.metric)
    if made.point is None and content.within_gate:
        return f"Do not ship: nothing within the limits that were set holds up on {label}."
    if made.point is None:
        return f"Do not ship: nothing measured clearly beats both the pretrained model and BM25 on {label}."
    size, full = chosen.bytes_per_vector, content.before.bytes_per_vector
    instead = f" instead of {count(full)}" if size != full else ", as the pretrained model"
    value = made.test or chosen.metrics[made.metric]
    found = f"{label} {number(value.value, 2)} {interval(value, 2)} on test"
    return f"Ship {point(chosen)}: {count(size)} bytes per vector{instead}, {found}."


def described(content: Content) -> dict[str, str]:
    """Figure name to what it shows in numbers, for people who do not see it."""
    full = content.before.precision
    return {
        "recall_by_dimension": f"Line chart of recall@10 by dimension in {full}. " + _lines(content, "recall@10"),
        "mrr_by_dimension": f"Line chart of MRR@10 by dimension in {full}. " + _lines(content, "mrr@10"),
        "recall_by_bytes": "Chart of recall@10 by bytes per vector. " + _sizes(content),
        "grades": histogram(content.grades),
        **{figure: heatmap.described(name, content) for name, figure in heatmap.figure_names(content).items()},
        "learning_loss": "Line chart of the training loss by step, 1 where a system begins. " + _losses(content),
        **{f"learning_{name}": _learning(content, f"{name}@10") for name in ("recall", "ndcg")},
    }


def grouped(content: Content) -> dict[str, list[str]]:
    """All metrics that the run measured, by where rankings are cut; what stands beside them says how far to trust it.

    Args:
        content: the facts.

    Returns:
        A group's name to its metrics, the share of judged places first, the condensed ones last.
    """
    groups: dict[str, list[str]] = {}
    names = [name for name in content.before.metrics if all(name in row.metrics for row in content.full_width)]
    for name in sorted(names, key=lambda name: (name.startswith(CONDENSED), not name.startswith("judged@"))):
        cutoff = name.partition("@")[2]
        groups.setdefault(f"first {cutoff}" if cutoff else "whole ranking", []).append(name)
    return dict(sorted(groups.items(), key=lambda group: (len(group[0]), group[0])))


def _lines(content: Content, metric: str) -> str:
    """One sentence per line of a chart by dimension."""
    sentences = []
    for system in content.systems:
        values = [f"{number(row.metrics[metric].value)} at {row.dimension}" for row in content.line(system)]
        sentences += [f"{system}: {', '.join(values)}."] if values else []
    if content.lexical is not None:
        sentences.append(f"{content.lexical.system}: {number(content.lexical.metrics[metric].value)} at any dimension.")
    return " ".join(sentences)


def _sizes(content: Content) -> str:
    """One sentence per system and precision of the chart by bytes."""
    sentences = []
    for system in content.systems:
        for precision in content.precisions:
            rows = content.line(system, precision)
            values = [f"{number(row.metrics['recall@10'].value)} at {count(row.bytes_per_vector)}" for row in rows]
            sentences += [f"{system} in {precision}: {', '.join(values)} bytes."] if values else []
    if content.lexical is not None:
        sentences.append(f"{content.lexical.system}: {number(content.lexical.metrics['recall@10'].value)}, no vectors.")
    best = [f"{point(row)} at {count(row.bytes_per_vector)}" for row in content.frontier("recall@10")]
    sentences.append(f"The frontier, by bytes: {', '.join(best)}.")
    if content.ship:
        sentences.append(f"Recommended: {point(content.after)}.")
    return " ".join(sentences)


def _losses(content: Content) -> str:
    """One sentence per system of the chart of losses: where the running mean ends."""
    return " ".join(
        f"{training.system}: {number(relative(training.losses)[1][-1], 2)} at step {count(len(training.losses))}."
        for training in content.trainings
        if training.losses
    )


def _learning(content: Content, metric: str) -> str:
    """One sentence per line of a chart of validation by step; of a long line the first, the kept and the last step."""
    sentences = [f"Line chart of {words.METRICS[metric]} on validation by step."]
    for training in content.validated:
        steps = [validation.step for validation in training.curve]
        told = {steps[0], training.best_step, steps[-1]} if len(steps) > TOLD else set(steps)
        for end in training.ends:
            line = [(step, value) for step, value in training.line(end, metric) if step in told]
            values = ", ".join(f"{number(value)} at step {count(step)}" for step, value in line)
            sentences.append(f"{training.system} at {end.dimension} dimensions: {values}.")
        sentences.append(f"{training.system} kept step {count(training.best_step)}.")
    return " ".join(sentences)


def histogram(grades_: Grades) -> str:
    """The histogram of the grades in words, one phrase per bar."""
    bars = [f"{grades(bar.low, bar.high)}: {count(bar.relevant + bar.rest)}" for bar in grades_.bars]
    told = f"Records per grade: {', '.join(bars)}. The threshold is {plain(grades_.threshold)}."
    return f"Histogram of the grades. {told}"


def number(value: float, digits: int = 3) -> str:
    """A number with a fixed count of digits; zero has no sign."""
    text = f"{value:,.{digits}f}"
    return text.lstrip("-") if not text.strip("-0.") else text.replace("-", MINUS)


def signed(value: float, digits: int = 3) -> str:
    """A difference, which always has a sign unless it rounds to zero."""
    text = number(value, digits)
    return f"+{text}" if value > 0 and text.strip("0.") else text


def interval(measure: Interval, digits: int = 3) -> str:
    """The ends of an interval; one below zero keeps its sign even if it rounds to zero: significance hangs on it."""
    low, high = (f"{end:,.{digits}f}".replace("-", MINUS) for end in (measure.low, measure.high))
    return f"[{low},{NBSP}{high}]"


def count(value: int | None) -> str:
    """A count, thousands set apart; a dash where there is none."""
    return NONE if value is None else f"{value:,}"


def plain(value: float) -> str:
    """A setting or a grade, as short as it can be written."""
    return f"{value:.6g}".replace("e-0", "e-").replace("-", MINUS if value < 0 else "-")


def grades(low: float, high: float) -> str:
    """A grade, or the range of a bin."""
    return f"{low:.4g}" if low == high else f"{low:.3g} to {high:.3g}"


def percent(value: float, digits: int = 1) -> str:
    """A share as per cent."""
    return f"{number(100 * value, digits)}{NBSP}%"


def p_value(value: float) -> str:
    """A p-value; small ones are only bounded, as a randomisation test knows no better."""
    return f"p{NBSP}<{NBSP}0.001" if value < 0.001 else f"p{NBSP}={NBSP}{value:.3f}"


def times(whole: int, part: int) -> str:
    """How many times one size is another."""
    return f"{whole / part:.3g}"


def gigabytes(bytes_per_vector: int, vectors: int) -> str:
    """The memory of many vectors, in decimal units."""
    size = bytes_per_vector * vectors / 1e9
    return f"{size:,.1f}{NBSP}GB" if size >= 1 else f"{1000 * size:,.0f}{NBSP}MB"


def millions(value: int) -> str:
    """A large count in words."""
    number_ = value // 1_000_000
    return "one million" if number_ == 1 else f"{number_:,} million"


def duration(seconds: float) -> str:
    """A time a person can judge."""
    if round(seconds, 1) < 60:
        return f"{seconds:.1f}{NBSP}s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}{NBSP}h {minutes}{NBSP}min" if hours else f"{minutes}{NBSP}min {rest}{NBSP}s"


def point(row: Point, short: bool = False) -> str:
    """A system with its dimension and precision, in words."""
    if row.dimension is None:
        return row.system
    where = f"{row.dimension} {row.precision}" if short else f"at {row.dimension} dimensions in {row.precision}"
    return f"{row.system} {where}"


def shortened(text: str, limit: int = CLAMP) -> str:
    """The text, or its beginning up to a word's end."""
    return text if len(text) <= limit else text[: limit - 1].rsplit(" ", 1)[0].rstrip(" ,.;:") + "…"


def capital(text: str) -> str:
    """The text with a capital first letter, the rest as it is."""
    return text[:1].upper() + text[1:]


def setting(value: object) -> str:
    """A value of a setting as a person would write it."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return plain(value)
    return ", ".join(setting(item) for item in value) if isinstance(value, list) else str(value)


_FILTERS = (
    capital, count, duration, gigabytes, grades, interval, millions, number, p_value, percent, plain, point, setting,
    shortened, signed, times,
)  # fmt: skip
FILTERS: dict[str, Callable[..., str]] = {function.__name__: function for function in _FILTERS}
