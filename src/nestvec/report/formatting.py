"""Formats numbers, vector formats and settings for people, so that all pages and summaries show them alike.

The templates use these functions as filters (`html.FILTERS`); the terminal's summaries use them too.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from nestvec.settings import CUTOFF

if TYPE_CHECKING:
    from nestvec.point import Point
    from nestvec.runs.schema import EncodedBy

NBSP = "\N{NO-BREAK SPACE}"
MINUS = "\N{MINUS SIGN}"
NONE = "\N{EN DASH}"
CLAMP = 160  # characters of a document that are shown at once


class Interval(Protocol):
    """A type for any object with the ends of a 95 % interval, `low` and `high`."""

    @property
    def low(self) -> float:
        """The lower end of the 95 % interval."""

    @property
    def high(self) -> float:
        """The upper end of the 95 % interval."""


class Difference(Protocol):
    """A type for any object with the ends of a difference's 95 % interval."""

    @property
    def difference_low(self) -> float:
        """The lower end of the difference's interval."""

    @property
    def difference_high(self) -> float:
        """The upper end of the difference's interval."""


def number(value: float, digits: int = 3) -> str:
    """Format a number with `digits` decimals and a real minus sign; a value that rounds to zero has no sign."""
    text = f"{value:,.{digits}f}"
    return text.lstrip("-") if not text.strip("-0.") else text.replace("-", MINUS)


def signed(value: float, digits: int = 3) -> str:
    """Format a difference with a sign, plus or minus; a difference that rounds to zero has no sign."""
    text = number(value, digits)
    return f"+{text}" if value > 0 and text.strip("0.") else text


def interval(measure: Interval, digits: int = 3) -> str:
    """Format an interval's ends; an end below 0 keeps its minus, even if it rounds to 0, to show significance."""
    low, high = (f"{end:,.{digits}f}".replace("-", MINUS) for end in (measure.low, measure.high))
    return f"[{low},{NBSP}{high}]"


def loss_interval(difference: Difference, digits: int = 3) -> str:
    """Format the interval of a loss: that of the difference with the signs reversed."""
    low, high = (number(-end, digits) for end in (difference.difference_high, difference.difference_low))
    return f"[{low},{NBSP}{high}]"


def count(value: int | None) -> str:
    """Format a count with thousands separators; None becomes a dash."""
    return NONE if value is None else f"{value:,}"


def plain(value: float) -> str:
    """Format a setting or a grade with at most six significant digits."""
    return f"{value:.6g}".replace("e-0", "e-").replace("-", MINUS if value < 0 else "-")


def grade_range(low: float, high: float) -> str:
    """Format the grade of a histogram's bar, or its range of grades: `1 to 1.07`."""
    return f"{low:.4g}" if low == high else f"{low:.3g} to {high:.3g}"


def percent(value: float, digits: int = 1) -> str:
    """Format a share between 0 and 1 as per cent: `98.2 %`."""
    return f"{number(100 * value, digits)}{NBSP}%"


def p_value(value: float) -> str:
    """Format a p-value; below 0.001 as `p < 0.001`, because the randomisation test is not exact enough for less."""
    return f"p{NBSP}<{NBSP}0.001" if value < 0.001 else f"p{NBSP}={NBSP}{value:.3f}"


def size_ratio(whole: int, part: int) -> str:
    """Format how many times larger one size is than another, such as `16`."""
    return f"{whole / part:.3g}"


def memory_size(bytes_per_vector: int, vectors: int) -> str:
    """Format the memory of many vectors in decimal units: `480 MB`, `15.4 GB`."""
    size = bytes_per_vector * vectors / 1e9
    return f"{size:,.1f}{NBSP}GB" if size >= 1 else f"{1000 * size:,.0f}{NBSP}MB"


def pluralise(amount: int, noun: str) -> str:
    """Format a count with its noun: `1 query`, `2,000 queries`."""
    plural = f"{noun[:-1]}ies" if noun.endswith("y") else f"{noun}s"
    return f"{count(amount)} {noun if amount == 1 else plural}"


def millions(value: int) -> str:
    """Format a number of millions: `one million`, `10 million`."""
    whole = value // 1_000_000
    return "one million" if whole == 1 else f"{whole:,} million"


def duration(seconds: float) -> str:
    """Format a time: `1.8 s`, `1 min 29 s`, `1 h 2 min`."""
    if round(seconds, 1) < 60:
        return f"{seconds:.1f}{NBSP}s"
    minutes, seconds_left = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}{NBSP}h {minutes}{NBSP}min" if hours else f"{minutes}{NBSP}min {seconds_left}{NBSP}s"


def describe_point(row: Point, short: bool = False) -> str:
    """Name a system and vector format: `mnr at 192 dimensions in int8`, short `mnr 192 int8`; BM25 by name alone."""
    if row.dimension is None:
        return row.system
    return f"{row.system} {row.cut} {row.precision}" if short else f"{row.system} at {row.format.in_words}"


def shorten(text: str, limit: int = CLAMP) -> str:
    """Cut a text longer than `limit` characters at the end of a word, and add an ellipsis."""
    return text if len(text) <= limit else text[: limit - 1].rsplit(" ", 1)[0].rstrip(" ,.;:") + "…"


def capitalise(text: str) -> str:
    """Make the first letter of a text a capital, and leave the rest of the text unchanged."""
    return text[:1].upper() + text[1:]


def describe_encoder(by: EncodedBy) -> str:
    """Name the encoders of a system's queries and documents, and say how a faster encoder compared with float32."""
    told = f"queries: {by.queries}; documents: {by.documents}"
    if (trial := by.trial) is None:
        return told
    used = "and is used" if trial.encoder == by.documents else "and is not used"
    return (
        f"{told}. {trial.encoder} was compared with float32 on {trial.documents:,} documents {used}: lowest cosine "
        f"{trial.cosine:.5f}, change in recall@{CUTOFF} of {trial.queries:,} validation queries {trial.change:+.4f}"
    )


def setting_text(value: object) -> str:
    """Format a value of a setting: yes or no, a short number, or a list joined by commas."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return plain(value)
    return ", ".join(setting_text(item) for item in value) if isinstance(value, list) else str(value)
