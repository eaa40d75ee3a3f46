"""What was found, in the terminal: pages in short, 80 columns wide, readable without colour.

Texts of the data are left to the page; the little that is shown of them cannot steer the terminal.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.table import Table
from rich.text import Text

from nestvec.errors import printable
from nestvec.point import PLAIN
from nestvec.report.check_page import check_headline, explain_threshold, read_checked, row_split_lines
from nestvec.report.formatting import count, grade_range, interval, number, percent, plain, pluralise, signed
from nestvec.runs.schema import METRICS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.console import Console

    from nestvec.pipeline.checking import Check
    from nestvec.pipeline.comparing import RunComparison
    from nestvec.report.checked import Checked, Spread
    from nestvec.runs.run import Run
    from nestvec.runs.schema import Bar
    from nestvec.stores.store import Hit

_LONGEST = 44  # cells of the longest bar
_WIDTH = 80
_PLAIN = str.maketrans("█░─’–−", "#--'--")  # noqa: RUF001 - what a terminal may have no letters for


def print_hits(hits: Sequence[Hit], console: Console) -> None:
    """Print what a search found: score, id, text, and the fields.

    Args:
        hits: best first.
        console: where to.
    """
    if not hits:
        console.print("nothing was found")
        return
    table = Table(box=None, pad_edge=False)
    for name, justify in (("score", "right"), ("id", "left"), ("text", "left"), ("fields", "left")):
        if name != "fields" or any(hit.fields for hit in hits):
            table.add_column(name, justify=justify, overflow="fold")  # type: ignore[arg-type]
    for hit in hits:
        fields = ", ".join(f"{name}={value}" for name, value in hit.fields.items())
        cells = [f"{hit.score:.4f}", hit.id, hit.text, fields][: len(table.columns)]
        table.add_row(*(Text(printable(cell)) for cell in cells))
    console.print(table)


def print_check(found: Check, console: Console) -> None:
    """Print a summary.

    Args:
        found: by `nestvec.check`.
        console: where to; its width is used up to 80 columns.
    """
    checked = read_checked(found.facts)
    parts = (_top, _grades, _spreads, _findings, _row_split, _split)
    for place, part in enumerate(parts):
        if place:
            console.print()
        part(checked, _Page(console))


def print_surface(run: Run, console: Console) -> None:
    """Print every point on the test split, by system and falling bytes.

    Args:
        run: the run.
        console: where to; its width is used up to 80 columns.
    """
    rows = [row for row in run.points.values() if row.kind == PLAIN]
    page = _Page(console)
    page.say(f"{count(rows[0].queries)} test queries, {count(rows[0].documents)} documents", "bold")
    lines = []
    for row in sorted(rows, key=lambda row: (row.system, -row.bytes, -(row.dimension or 0))):
        name = row.system if row.dimension is None else f"{row.system} {row.dimension} {row.precision}"
        lines.append((name, count(row.bytes_per_vector), *(number(row.metrics[metric].value) for metric in METRICS)))
    page.table(("", "bytes", *METRICS), lines)


def print_comparison(found: RunComparison, console: Console) -> None:
    """Print two runs beside each other.

    Args:
        found: by `nestvec.compare`.
        console: where to; its width is used up to 80 columns.
    """
    page = _Page(console)
    page.say(f"{found.metric} on {count(found.queries)} test queries, {count(found.documents)} documents", "bold")
    page.say(f"A: {found.a}")
    page.say(f"B: {found.b}")
    lines = []
    for row in found.rows:
        name = row.name if row.a == row.b == row.name else f"{row.name}: A {row.a}, B {row.b}"
        outcome = f"{count(row.wins)}/{count(row.ties)}/{count(row.losses)}"
        ends = f"{signed(row.difference)} {interval(row)}"
        lines.append((name, number(row.mean_a), number(row.mean_b), ends, number(row.p_holm), outcome))
    page.table(("", "A", "B", "B less A, 95 %", "p, Holm", "+/=/-"), lines)
    for name, systems in (("A", found.only_a), ("B", found.only_b)):
        if systems:
            page.say(f"Only {name} has {', '.join(systems)}.")
    page.say(found.verdict)


class _Page:
    """Prints paragraphs and tables as the console can show them.

    Args:
        console: where to.
    """

    def __init__(self, console: Console) -> None:
        self._console = console
        self._width = min(_WIDTH, console.width)

    def say(self, text: str, style: str = "") -> None:
        """A paragraph."""
        for line in self._shown(text, style).wrap(self._console, self._width):
            line.rstrip()
            self._console.print(line)

    def table(self, heads: tuple[str, ...], lines: Sequence[tuple[str, ...]]) -> None:
        """A table whose first column is a name and whose others are numbers."""
        table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style="bold")
        for place, head in enumerate(heads):
            table.add_column(self._shown(head), justify="right" if place else "left", overflow="fold")
        for line in lines:
            table.add_row(*map(self._shown, line))
        self._console.print(table, width=self._width)

    def _shown(self, text: str, style: str = "") -> Text:
        """The text without what steers a terminal, or what this one has no letters for."""
        text = "".join(letter if letter.isprintable() else "?" for letter in text.replace("\N{NO-BREAK SPACE}", " "))
        try:
            text.encode(self._console.encoding)
        except UnicodeEncodeError:
            text = text.translate(_PLAIN).encode(self._console.encoding, "replace").decode(self._console.encoding)
        return Text(text, style)


def _top(checked: Checked, page: _Page) -> None:
    """The source, the sentence of the page, and the warnings."""
    page.say(checked.source, "bold")
    page.say(check_headline(checked))
    for warning in checked.warnings:
        page.say(f"! {warning}", "yellow")


def _grades(checked: Checked, page: _Page) -> None:
    """The histogram, relevant bars solid, with the threshold before the first of them."""
    found = checked.grades
    bars = [bar for bar in found.bars if bar.relevant + bar.rest]
    longest = max(bar.relevant + bar.rest for bar in bars)
    names = [grade_range(bar.low, bar.high) for bar in bars]
    first = next(place for place, bar in enumerate(bars) if bar.relevant)
    page.say("Grades, by the number of records", "bold")
    for place, (bar, name) in enumerate(zip(bars, names, strict=True)):
        if place == first:
            page.say(f"{'─' * 8} {explain_threshold(found)} {'─' * 8}")
        page.say(f"{name:>{max(map(len, names))}} {count(bar.relevant + bar.rest):>11} {_drawn(bar, longest)}")
    page.say(_dip(checked))


def _drawn(bar: Bar, longest: int) -> str:
    """A bar: light where records are not relevant, solid where they are; never nothing."""
    rest = round(_LONGEST * bar.rest / longest)
    whole = max(1, round(_LONGEST * (bar.rest + bar.relevant) / longest))
    rest = min(rest, whole) if bar.relevant else whole
    return "░" * rest + "█" * (whole - rest)


def _dip(checked: Checked) -> str:
    """How deep and how sure the dip is."""
    dip, share = checked.grades.dip, percent(checked.grades.relevant_share)
    relevant = f"{share} of the records are relevant."
    if dip is None:
        return f"{relevant} There is no dip between two humps."
    told = f"{relevant} The dip at {plain(dip.valley)} lies {percent(dip.depth, 0)} below the lower hump"
    if dip.low is None or dip.high is None or dip.seen is None:
        return f"{told}."
    place = f"at {plain(dip.low)}" if dip.low == dip.high else f"from {plain(dip.low)} to {plain(dip.high)}"
    return f"{told}; {percent(dip.seen)} of resampled histograms have one, 95 % of these with the threshold {place}."


def _spreads(checked: Checked, page: _Page) -> None:
    """Judgements per query and lengths of texts."""
    tokens = checked.tokens
    lines = [
        ("documents judged per query", checked.judged_per_query),
        ("relevant ones per query", checked.relevant_per_query),
        ("tokens of a query", tokens.queries),
        ("tokens of a document", tokens.documents),
    ]
    page.table(("", "least", "25 %", "median", "75 %", "most", "mean"), [_numbers(*line) for line in lines])
    cut = tokens.documents
    page.say(
        f"The model reads {count(tokens.limit)} tokens: {pluralise(cut.too_long, 'document')} of {count(cut.counted)} "
        f"would be cut, and {percent(cut.share_cut)} of all their tokens."
    )


def _numbers(name: str, spread: Spread) -> tuple[str, ...]:
    """A distribution as a line of a table."""
    points = (spread.min, spread.p25, spread.median, spread.p75, spread.max)
    return name, *map(plain, points), number(spread.mean, 1)


def _findings(checked: Checked, page: _Page) -> None:
    """What was found while reading, and documents that say nearly the same."""
    near = checked.near_duplicates
    lines = [(finding.name, count(finding.count)) for finding in checked.findings]
    name = f"near-duplicate documents, of {count(near.compared)}, in {pluralise(near.groups, 'group')}"
    lines.append((name, count(near.documents)))
    page.table(("Found", "count"), lines)


def _row_split(checked: Checked, page: _Page) -> None:
    """What a split by row would leak."""
    lines = [(name, *cells) for name, cells in row_split_lines(checked)]
    page.table(("A split by row would leak", *checked.row_split), lines)


def _split(checked: Checked, page: _Page) -> None:
    """What the split that a run would use costs and leaks."""
    audit = checked.split
    page.say(f"The split: {audit.protocol}", "bold")
    page.say(
        f"{count(audit.training_pairs)} pairs to train on; {count(audit.withheld_pairs)} more are withheld, "
        f"{percent(audit.withheld_share)} of them all."
    )
    if audit.components is not None:
        page.say(
            f"{pluralise(audit.components.count, 'connected component')} of queries and documents; the largest holds "
            f"{percent(audit.components.largest_share)} of the records."
        )
    leaks = [f"{count(number)} {name}" for name, number in audit.leaks.items() if number]
    page.say(f"Leaks: {', '.join(leaks) if leaks else 'none'}.")
