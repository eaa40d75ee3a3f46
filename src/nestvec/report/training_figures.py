"""Draws learning curves: the training loss, and the metrics on validation during training."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from nestvec.report.figure_style import INK, MUTED, PAPER, STYLES, add_heading, legend_line
from nestvec.report.words import metric_label

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from matplotlib.artist import Artist
    from matplotlib.axes import Axes
    from numpy.typing import ArrayLike, NDArray

    from nestvec.runs.schema import Training

MOST = 300  # most points of a drawn line; a screen shows no more
AROUND = 0.05  # share of all steps that the running mean includes on either side

_KINDS: tuple[dict[str, Any], ...] = ({"linestyle": "-"}, {"linestyle": (0, (4, 2)), "markerfacecolor": PAPER})
_RING: dict[str, Any] = {"marker": "o", "markerfacecolor": "none", "markeredgecolor": INK, "linestyle": ""}


def running_mean(losses: ArrayLike) -> NDArray[np.float64]:
    """Compute the running mean of n losses over a tenth of all steps; the window is shorter at both ends."""
    values = np.asarray(losses, dtype=np.float64)
    steps, reach = np.arange(len(values)), max(1, round(AROUND * len(values)))
    sums = np.concatenate([[0.0], np.cumsum(values)])
    first, last = np.maximum(steps - reach, 0), np.minimum(steps + reach + 1, len(values))
    means: NDArray[np.float64] = (sums[last] - sums[first]) / (last - first)
    return means


def relative_losses(losses: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Divide the losses and their running mean by the running mean's first value, unless that is 0."""
    mean = running_mean(losses)
    start = mean[0] or 1.0
    return np.asarray(losses) / start, mean / start


def draw_loss(axes: Axes, trainings: Sequence[Training], styles: Mapping[str, int]) -> None:
    """Draw the loss of every step as a light line, and its running mean, which begins at 1 for every system."""
    entries: list[Artist] = []
    for training in trainings:
        if not training.losses:
            continue
        style = STYLES[styles[training.system]]
        losses, mean = relative_losses(training.losses)
        axes.plot(*_thin_outline(losses), color=style.light, alpha=0.4, linewidth=0.7)
        chosen = _spread_evenly(len(mean))
        [line] = axes.plot(chosen + 1, mean[chosen], color=style.light, linestyle=style.dash, label=training.system)
        entries.append(line)
    axes.set_ylim(bottom=0)
    _set_step_axis(axes, trainings)
    add_heading(axes, "training loss relative to its start", entries)


def draw_validation(axes: Axes, trainings: Sequence[Training], styles: Mapping[str, int], metric: str) -> None:
    """Draw a metric by training step at the widest and the narrowest dimension, and ring the step that was kept."""
    entries: list[Artist] = []
    for training in trainings:
        style = STYLES[styles[training.system]]
        look: dict[str, Any] = {"color": style.light, "marker": style.marker}
        for end, kind in zip(training.ends, _KINDS, strict=False):
            line = training.line(end, metric)
            axes.plot([step for step, _ in line], [value for _, value in line], **look, **kind)
            kept_value = [value for step, value in line if step == training.best_step]
            axes.plot([training.best_step] * len(kept_value), kept_value, markersize=13, zorder=4, **_RING)
        if training.ends:
            entries.append(legend_line(training.system, linestyle="", **look))
    ends = dict.fromkeys(end for training in trainings for end in training.ends)
    _set_step_axis(axes, trainings)
    kinds = [
        legend_line(f"{end.dimension} dimensions", color=MUTED, marker="o", **kind)
        for end, kind in zip(ends, _KINDS, strict=False)
    ]
    kinds.append(legend_line("kept", markersize=10, **_RING))
    add_heading(axes, f"{metric_label(metric)} while training, in a small catalogue", entries, kinds)


def _set_step_axis(axes: Axes, trainings: Sequence[Training]) -> None:
    """Show training steps on the horizontal axis: whole numbers from 0 (before training), alike in every chart."""
    from matplotlib.ticker import MaxNLocator

    axes.xaxis.set_major_locator(MaxNLocator("auto", integer=True))
    axes.xaxis.set_major_formatter("{x:,.0f}")
    last = max(training.steps for training in trainings)
    axes.set_xlim(-0.04 * last, 1.04 * last)
    axes.set_xlabel("step")


def _spread_evenly(count: int) -> NDArray[np.int64]:
    """Choose `MOST` evenly spaced indices below `count`, including the first and the last; all if there are fewer."""
    return np.unique(np.linspace(0, count - 1, min(count, MOST)).round().astype(np.int64))


def _thin_outline(values: NDArray[np.float64]) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Keep only the lowest and the highest value of each stretch of steps, so that a long line looks the same."""
    steps = np.arange(len(values))
    if len(values) > MOST:
        runs = np.array_split(steps, MOST // 2)
        chosen = [run[index] for run in runs for index in (values[run].argmin(), values[run].argmax())]
        steps = np.unique(chosen)
    return steps + 1, values[steps]
