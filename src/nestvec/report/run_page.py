"""The page of a run: the recommendation, and the measurements behind the recommendation in sentences and tables."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nestvec.evaluation.metrics import CONDENSED
from nestvec.point import BM25, HYBRID, PRETRAINED
from nestvec.report.alt_texts import describe_figures
from nestvec.report.answer import next_commands, read_origin, read_teams
from nestvec.report.byte_budgets import best_by_size, compare_bits_with_dimensions
from nestvec.report.figures import styles_of_all
from nestvec.report.formatting import count, describe_point, interval, number
from nestvec.report.heatmap import figure_names, value_range
from nestvec.report.html import fill_template
from nestvec.report.size_chart import draw_size_chart
from nestvec.report.words import metric_label
from nestvec.runs.schema import METRICS

if TYPE_CHECKING:
    from nestvec.report.content import Content


def render_run_page(content: Content, drawings: dict[str, str]) -> str:
    """Write the report as the text of one HTML file, with the drawings that `draw_figures` returned."""
    teams, origin = read_teams(content), read_origin(content)
    facts = {
        "content": content,
        "teams": teams,
        "origin": origin,
        "commands": next_commands(content, origin.folder),
        "chart": draw_size_chart(content, teams),
        "headline": run_headline(content),
        "styles": styles_of_all(content),
        "alt_texts": describe_figures(content),
        "metrics": METRICS,
        "heat_maps": figure_names(content),
        "map_range": value_range(content),
        "budgets": best_by_size(content, content.run.recommendation.metric),
        "shrinkings": compare_bits_with_dimensions(content, content.run.recommendation.metric),
        "groups": group_metrics(content),
    }
    return fill_template("report.html.jinja", facts, drawings)


def run_headline(content: Content) -> str:
    """Summarise the run's recommendation in one sentence."""
    chosen, recommendation = content.after, content.run.recommendation
    label = metric_label(recommendation.metric)
    if recommendation.point is None and (likely := content.run.likely):
        where = "beside your keyword search" if likely.kind == HYBRID else "alone"
        held = f"{count(likely.bytes_per_vector)} bytes per vector of {likely.vectors.system} {where}"
        return f"Nothing is proven yet, but {held} very likely hold up on {label}."
    if recommendation.point is None and content.within_gate:
        return f"Do not ship: nothing within the limits that you set holds up on {label}."
    untrained = content.run.systems.keys() <= {PRETRAINED, BM25}
    if recommendation.point is None and untrained:
        return "Do not ship yet: nothing was trained; only the pretrained model and BM25 were measured."
    if recommendation.point is None:
        return f"Do not ship: nothing measured clearly beats both the pretrained model and BM25 on {label}."
    size, full = chosen.bytes_per_vector, content.before.bytes_per_vector
    instead = f" instead of {count(full)}" if size != full else ", the size of the pretrained model"
    value = recommendation.test or chosen.metrics[recommendation.metric]
    reached = f"{label} {number(value.value, 2)} {interval(value, 2)} on test"
    if chosen.kind != HYBRID:
        return f"Ship {describe_point(chosen)}: {count(size)} bytes per vector{instead}, {reached}."
    words = content.lexical.metrics[recommendation.metric].value if content.lexical else None
    against = f", against {number(words, 2)} for keyword search alone" if words is not None else ""
    beside = f"beside your keyword search: {reached}{against}"
    if chosen.system.startswith(PRETRAINED):
        instead = instead if size != full else ""
        ship = f"Ship the pretrained model, {count(size)} bytes per vector{instead}, {beside}"
        return f"{ship}. {'Nothing was trained' if untrained else 'Fine-tuning brought no proven gain'}."
    return f"Ship {count(size)} bytes per vector{instead}, {beside}."


def group_metrics(content: Content) -> dict[str, list[str]]:
    """Group the run's metrics by cutoff, under keys such as `first 10` and `whole ranking`.

    In each group `judged@…` comes first, because it says how far to trust the other metrics; condensed metrics, which
    skip unjudged documents, come last.
    """
    groups: dict[str, list[str]] = {}
    names = [name for name in content.before.metrics if all(name in row.metrics for row in content.full_width)]
    for name in sorted(names, key=lambda name: (name.startswith(CONDENSED), not name.startswith("judged@"))):
        cutoff = name.partition("@")[2]
        groups.setdefault(f"first {cutoff}" if cutoff else "whole ranking", []).append(name)
    return dict(sorted(groups.items(), key=lambda group: (len(group[0]), group[0])))
