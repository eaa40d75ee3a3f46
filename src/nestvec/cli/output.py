"""Print results in the terminal as short forms of the HTML pages, up to 80 columns wide, readable without colour.

Queries and documents are mostly shown on the HTML pages only. Control characters in a printed text become "?".
"""

from __future__ import annotations

from pathlib import PurePath
from typing import TYPE_CHECKING

from rich.table import Table
from rich.text import Text

from nestvec.data.find_columns import COLUMNS_READ
from nestvec.data.grade_column import GRADES_IN_WORDS
from nestvec.report.check_page import check_headline, explain_threshold, read_checked, row_split_lines
from nestvec.report.formatting import (
    count,
    describe_point,
    grade_range,
    interval,
    number,
    percent,
    plain,
    pluralise,
    signed,
)
from nestvec.runs.schema import METRICS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.console import Console

    from nestvec.pipeline.checking import Check
    from nestvec.pipeline.comparing import RunComparison
    from nestvec.pipeline.dry_run import Plan
    from nestvec.report.checked import Checked, Spread, Tokens
    from nestvec.runs.list_runs import ListedRun
    from nestvec.runs.run import Run
    from nestvec.runs.schema import Bar

_LONGEST = 44  # width of the longest bar, in characters
_WIDTH = 80
_CELL = 16  # widest column of a table of texts, in characters; the last column gets at least this
_PLAIN = str.maketrans("█░─’–−", "#--'--")  # noqa: RUF001 - replacements for terminals without these characters


def print_check(check: Check, console: Console) -> None:
    """Print what `nestvec check` found in a data set, up to 80 columns wide."""
    checked = read_checked(check.facts)
    parts = (_print_summary, _print_grades, _print_spreads, _print_findings, _print_row_split, _print_split)
    for print_part in parts:
        if print_part is not parts[0]:
            console.print()
        print_part(checked, _Page(console))


def print_surface(run: Run, console: Console) -> None:
    """Print test results by system and vector size, without fused and two-stage searches, up to 80 columns wide."""
    rows = [row for row in run.points.values() if row.is_alone]
    page = _Page(console)
    page.print_text(f"{count(rows[0].queries)} test queries, {count(rows[0].documents)} documents", "bold")
    lines = []
    for row in sorted(rows, key=lambda row: (row.system, -row.bytes, -(row.dimension or 0))):
        name = describe_point(row, short=True)
        lines.append((name, count(row.bytes_per_vector), *(number(row.metrics[metric].value) for metric in METRICS)))
    page.print_table(("", "bytes", *METRICS), lines)


def print_comparison(comparison: RunComparison, console: Console) -> None:
    """Print the comparison of two runs, up to 80 columns wide."""
    page = _Page(console)
    page.print_text(
        f"{comparison.metric} on {count(comparison.queries)} test queries, {count(comparison.documents)} documents",
        "bold",
    )
    page.print_text(f"A: {comparison.a}")
    page.print_text(f"B: {comparison.b}")
    lines = []
    for row in comparison.rows:
        name = row.name if row.a == row.b == row.name else f"{row.name}: A {row.a}, B {row.b}"
        outcome = f"{count(row.wins)}/{count(row.ties)}/{count(row.losses)}"
        difference = f"{signed(row.difference)} {interval(row)}"
        lines.append((name, number(row.mean_a), number(row.mean_b), difference, number(row.p_holm), outcome))
    page.print_table(("", "A", "B", "B - A, 95 %", "p (Holm)", "+/=/-"), lines)
    for name, systems in (("A", comparison.only_a), ("B", comparison.only_b)):
        if systems:
            page.print_text(f"Only {name} measured {', '.join(systems)}.")
    page.print_text(comparison.verdict)


def print_runs(runs: Sequence[ListedRun], console: Console) -> None:
    """Print a list of runs, up to 80 columns wide."""
    lines = [(run.name, run.date, PurePath(run.source).name, _say_state(run), _say_choice(run)) for run in runs]
    _Page(console).print_texts(("run", "date", "source", "state", "recommended"), lines)


def print_plan(plan: Plan, console: Console) -> None:
    """Print the plan of a run for `--dry-run`, up to 80 columns wide."""
    from nestvec.cli.plan import describe_plan

    _Page(console).print_texts(("dry run", "nothing is written"), describe_plan(plan))


def _say_state(run: ListedRun) -> str:
    return run.state if run.next_stage is None else f"next: {run.next_stage}"


def _say_choice(run: ListedRun) -> str:
    """Describe what a run recommends, as a cell in the list of runs; for a damaged run, describe the damage."""
    if run.problem is not None:
        return run.problem.replace(f"{run.path}/", "")
    if run.point is None or run.value is None:
        return run.decision or ""
    beside = "" if run.words is None else f", bm25 {number(run.words)}"
    return f"{run.point}, {count(run.bytes_per_vector)} bytes: {run.metric} {number(run.value)}{beside}"


class _Page:
    """Prints paragraphs and tables, and replaces characters that the console cannot show."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._width = min(_WIDTH, console.width)

    def print_text(self, text: str, style: str = "") -> None:
        """Print a paragraph, with line breaks between words."""
        for line in self._make_printable(text, style).wrap(self._console, self._width):
            line.rstrip()
            self._console.print(line)

    def print_table(self, heads: tuple[str, ...], lines: Sequence[tuple[str, ...]]) -> None:
        """Print a table with names in the first column and numbers in all further columns."""
        table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style="bold")
        for column, head in enumerate(heads):
            table.add_column(self._make_printable(head), justify="right" if column else "left", overflow="fold")
        for line in lines:
            table.add_row(*map(self._make_printable, line))
        self._console.print(table, width=self._width)

    def print_texts(self, heads: tuple[str, ...], lines: Sequence[tuple[str, ...]]) -> None:
        """Print a table of texts, in which long texts wrap and the last column is the widest."""
        table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style="bold")
        for head in heads[:-1]:
            table.add_column(self._make_printable(head), overflow="fold", max_width=_CELL)
        table.add_column(self._make_printable(heads[-1]), overflow="fold", min_width=_CELL)
        for line in lines:
            table.add_row(*map(self._make_printable, line))
        self._console.print(table, width=self._width)

    def _make_printable(self, text: str, style: str = "") -> Text:
        """Replace characters that control a terminal, or that the user's terminal cannot show."""
        text = "".join(letter if letter.isprintable() else "?" for letter in text.replace("\N{NO-BREAK SPACE}", " "))
        try:
            text.encode(self._console.encoding)
        except UnicodeEncodeError:
            text = text.translate(_PLAIN).encode(self._console.encoding, "replace").decode(self._console.encoding)
        return Text(text, style)


def _print_summary(checked: Checked, page: _Page) -> None:
    """Print the start of a check's output: the data's source, the number of records and warnings, and each warning."""
    page.print_text(checked.source, "bold")
    page.print_text(check_headline(checked))
    for finding in checked.findings:
        if finding.name == COLUMNS_READ:
            page.print_text(f"Read as {finding.action}.")
        if finding.name == GRADES_IN_WORDS:
            page.print_text(f"Labels: {finding.action.removeprefix('Read as numbers: ')}")
    for warning in checked.warnings:
        page.print_text(f"! {warning}", "yellow")


def _print_grades(checked: Checked, page: _Page) -> None:
    """Print the histogram of the grades: relevant bars are solid, and a line marks the threshold."""
    bars = [bar for bar in checked.grades.bars if bar.relevant + bar.rest]
    longest = max(bar.relevant + bar.rest for bar in bars)
    names = [grade_range(bar.low, bar.high) for bar in bars]
    width = max(map(len, names))
    first_relevant = next(row for row, bar in enumerate(bars) if bar.relevant)
    page.print_text("Grades, by the number of records", "bold")
    for row, (bar, name) in enumerate(zip(bars, names, strict=True)):
        if row == first_relevant:
            page.print_text(f"{'─' * 8} {explain_threshold(checked.grades)} {'─' * 8}")
        page.print_text(f"{name:>{width}} {count(bar.relevant + bar.rest):>11} {_draw_bar(bar, longest)}")
    page.print_text(_describe_dip(checked))


def _draw_bar(bar: Bar, longest: int) -> str:
    """Draw a bar of the histogram, at least one character long: solid for relevant records, light for all others."""
    rest = round(_LONGEST * bar.rest / longest)
    whole = max(1, round(_LONGEST * (bar.rest + bar.relevant) / longest))
    rest = min(rest, whole) if bar.relevant else whole
    return "░" * rest + "█" * (whole - rest)


def _describe_dip(checked: Checked) -> str:
    dip, share = checked.grades.dip, percent(checked.grades.relevant_share)
    relevant = f"{share} of the records are relevant."
    if dip is None:
        return f"{relevant} The histogram has no dip between two humps."
    sentence = f"{relevant} The dip at {plain(dip.valley)} lies {percent(dip.depth, 0)} below the lower hump"
    if dip.low is None or dip.high is None or dip.seen is None:
        return f"{sentence}."
    threshold_at = f"at {plain(dip.low)}" if dip.low == dip.high else f"from {plain(dip.low)} to {plain(dip.high)}"
    resampled = f"{percent(dip.seen)} of resampled histograms have a dip"
    return f"{sentence}; {resampled}, and 95 % of those put the threshold {threshold_at}."


def _print_spreads(checked: Checked, page: _Page) -> None:
    """Print distributions: judgements per query, relevant documents per query, and text lengths."""
    tokens = checked.tokens
    lines = [
        ("judged documents per query", checked.judged_per_query),
        ("relevant documents per query", checked.relevant_per_query),
    ]
    if tokens is not None:
        lines += [("tokens per query", tokens.queries), ("tokens per document", tokens.documents)]
    page.print_table(("", "min", "25 %", "median", "75 %", "max", "mean"), [_format_spread(*line) for line in lines])
    if tokens is not None:
        page.print_text(_describe_limit(tokens))


def _describe_limit(tokens: Tokens) -> str:
    """Say how many tokens of a text the model reads, and how many documents are longer than that."""
    if tokens.limit is None:
        return "The model has no length limit: it reads every text to its end."
    cut = tokens.documents
    return (
        f"The model reads the first {count(tokens.limit)} tokens of a text: {pluralise(cut.too_long, 'document')} of "
        f"{count(cut.counted)} would be cut, and {percent(cut.share_cut)} of all document tokens lost."
    )


def _format_spread(name: str, spread: Spread) -> tuple[str, ...]:
    points = (spread.min, spread.p25, spread.median, spread.p75, spread.max)
    return name, *map(plain, points), number(spread.mean, 1)


def _print_findings(checked: Checked, page: _Page) -> None:
    """Print what was found while reading the data, and the number of near-duplicate documents."""
    near = checked.near_duplicates
    lines = [(finding.name, count(finding.count)) for finding in checked.findings if finding.name != COLUMNS_READ]
    name = f"near-duplicate documents, of {count(near.compared)}, in {pluralise(near.groups, 'group')}"
    lines.append((name, count(near.documents)))
    page.print_table(("Found", "count"), lines)


def _print_row_split(checked: Checked, page: _Page) -> None:
    lines = [(name, *cells) for name, cells in row_split_lines(checked)]
    page.print_table(("A split by row would leak", *checked.row_split), lines)


def _print_split(checked: Checked, page: _Page) -> None:
    """Print the split that a run would use: what difference it can prove, pairs withheld from training, and leaks."""
    audit = checked.split
    page.print_text(f"The split: {audit.protocol}", "bold")
    for line in checked.held_out.lines:
        page.print_text(line)
    page.print_text(
        f"{count(audit.training_pairs)} pairs to train on; {count(audit.withheld_pairs)} more are withheld to avoid "
        f"leaks ({percent(audit.withheld_share)} of all pairs)."
    )
    if audit.components is not None:
        page.print_text(
            f"{pluralise(audit.components.count, 'connected component')} of queries and documents; the largest holds "
            f"{percent(audit.components.largest_share)} of the records."
        )
    leaks = [f"{count(number)} {name}" for name, number in audit.leaks.items() if number]
    page.print_text(f"Leaks: {', '.join(leaks) if leaks else 'none'}.")
    if audit.note:
        page.print_text(audit.note)
