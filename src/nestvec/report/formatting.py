"""How numbers, points and settings are written: only here is anything rounded.

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
    """Anything with the two ends of an interval."""

    @property
    def low(self) -> float:
        """The lower end of the interval."""

    @property
    def high(self) -> float:
        """The upper end of the interval."""


class Difference(Protocol):
    """Anything with the two ends of a difference's interval."""

    @property
    def difference_low(self) -> float:
        """The lower end of the interval."""

    @property
    def difference_high(self) -> float:
        """The upper end of the interval."""


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


def loss_interval(difference: Difference, digits: int = 3) -> str:
    """The ends of a loss, which is a difference turned round."""
    low, high = (number(-end, digits) for end in (difference.difference_high, difference.difference_low))
    return f"[{low},{NBSP}{high}]"


def count(value: int | None) -> str:
    """A count, thousands set apart; a dash where there is none."""
    return NONE if value is None else f"{value:,}"


def plain(value: float) -> str:
    """A setting or a grade, as short as it can be written."""
    return f"{value:.6g}".replace("e-0", "e-").replace("-", MINUS if value < 0 else "-")


def grade_range(low: float, high: float) -> str:
    """A grade, or the two ends of a bar of the histogram: `1 to 1.07`."""
    return f"{low:.4g}" if low == high else f"{low:.3g} to {high:.3g}"


def percent(value: float, digits: int = 1) -> str:
    """A share as per cent: `98.2 %`."""
    return f"{number(100 * value, digits)}{NBSP}%"


def p_value(value: float) -> str:
    """A p-value; small ones are only bounded, as a randomisation test knows no better."""
    return f"p{NBSP}<{NBSP}0.001" if value < 0.001 else f"p{NBSP}={NBSP}{value:.3f}"


def size_ratio(whole: int, part: int) -> str:
    """How many times as large the whole is as the part: `16`."""
    return f"{whole / part:.3g}"


def memory_size(bytes_per_vector: int, vectors: int) -> str:
    """The memory of many vectors in decimal units: `480 MB`, `15.4 GB`."""
    size = bytes_per_vector * vectors / 1e9
    return f"{size:,.1f}{NBSP}GB" if size >= 1 else f"{1000 * size:,.0f}{NBSP}MB"


def pluralise(amount: int, noun: str) -> str:
    """A count with its noun: `1 query`, `2,000 queries`."""
    plural = f"{noun[:-1]}ies" if noun.endswith("y") else f"{noun}s"
    return f"{count(amount)} {noun if amount == 1 else plural}"


def millions(value: int) -> str:
    """A count of millions: `one million`, `10 million`."""
    whole = value // 1_000_000
    return "one million" if whole == 1 else f"{whole:,} million"


def duration(seconds: float) -> str:
    """A time: `1.8 s`, `1 min 29 s`, `1 h 2 min`."""
    if round(seconds, 1) < 60:
        return f"{seconds:.1f}{NBSP}s"
    minutes, seconds_left = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}{NBSP}h {minutes}{NBSP}min" if hours else f"{minutes}{NBSP}min {seconds_left}{NBSP}s"


def describe_point(row: Point, short: bool = False) -> str:
    """A system with its dimension and precision, in words."""
    if row.dimension is None:
        return row.system
    return f"{row.system} {row.cut} {row.precision}" if short else f"{row.system} at {row.format.in_words}"


def shorten(text: str, limit: int = CLAMP) -> str:
    """The text, or its beginning up to a word's end."""
    return text if len(text) <= limit else text[: limit - 1].rsplit(" ", 1)[0].rstrip(" ,.;:") + "…"


def capitalise(text: str) -> str:
    """The text with a capital first letter, the rest as it is."""
    return text[:1].upper() + text[1:]


def describe_encoder(by: EncodedBy) -> str:
    """Name the encoders of a system's queries and documents, and what the trial of a faster one found."""
    told = f"queries: {by.queries}; documents: {by.documents}"
    if (trial := by.trial) is None:
        return told
    tried = f"tried on {trial.documents:,} documents beside float32"
    verdict = f"It was {tried}" if trial.encoder == by.documents else f"{trial.encoder} was {tried} and is not used"
    return (
        f"{told}. {verdict}: lowest cosine {trial.cosine:.5f}, recall@{CUTOFF} of {trial.queries:,} validation queries "
        f"among these documents {trial.change:+.4f}"
    )


def setting_text(value: object) -> str:
    """A value of a setting as a person would write it."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return plain(value)
    return ", ".join(setting_text(item) for item in value) if isinstance(value, list) else str(value)
