"""How a model grows with its judgements: a curve through trainings on parts of the queries, and where it leads.

A power law that levels off, v(n) = a - b n^(-c), is fitted to the mean at each size (Cortes et al. 1993; Hestness et
al. 2017 find it in most of deep learning). The interval of a forecast comes from trainings that are drawn anew around
their means with the spread that repeats showed, and fitted again.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product
from typing import TYPE_CHECKING, Any

import numpy as np

from nestvec.errors import NestvecError
from nestvec.evaluation.significance import LEVEL

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    _Number = float | NDArray[np.float64]  # one for all, or one a curve

DRAWS = 500
Parameters = tuple[float, float, float]  # level, factor and exponent of the law
_EXPONENTS = np.geomspace(0.05, 2.0, 400)  # of the power law
_FEWEST = 3  # sizes that a curve takes
_SAME = 1e-9  # differences below this are float noise


@dataclass(frozen=True)
class TrainingsBySize:
    """Trainings by size: s sizes, each trained several times."""

    queries: NDArray[np.float64]  # (s,) training queries, rising
    values: Sequence[Sequence[float]]  # s lists of what the trainings reached
    grain: float = 0.0  # the standard deviation of rounding a value to whole queries; 0 where that does not count

    @property
    def means(self) -> NDArray[np.float64]:
        """(s,) the mean of each size."""
        return np.array([np.mean(values) for values in self.values])

    @property
    def counts(self) -> NDArray[np.float64]:
        """(s,) trainings of each size."""
        return np.array([len(values) for values in self.values], dtype=np.float64)

    @property
    def pooled_spread(self) -> tuple[float, int]:
        """The standard deviation of trainings of one size, pooled over sizes, and its degrees of freedom."""
        freedom = int(sum(len(values) - 1 for values in self.values))
        squares = sum(float(np.var(values)) * len(values) for values in self.values)
        return (float(np.sqrt(squares / freedom + self.grain**2)) if freedom else 0.0), freedom

    def smallest(self, count: int) -> TrainingsBySize:
        """The smallest `count` sizes alone."""
        return TrainingsBySize(self.queries[:count], self.values[:count], self.grain)


@dataclass(frozen=True)
class Forecast:
    """What as many trainings as were made of each size would reach on average."""

    queries: float
    value: float  # by the curve
    low: float  # end of the 95 % interval
    high: float


@dataclass(frozen=True)
class Growth:
    """The curve and its forecasts as plain values."""

    facts: dict[str, Any]

    @property
    def verdict(self) -> str:
        """What twice the judgements would bring, in a sentence."""
        facts, twice = self.facts, self.facts["twice"]
        return (
            f"Twice the judged queries ({twice['queries']:,.0f}) would bring {facts['metric']} from "
            f"{facts['means'][-1]:.3f} to {twice['value']:.3f} [{twice['low']:.3f}, {twice['high']:.3f}]: "
            f"{show_gain(facts)}."
        )


def show_gain(facts: dict[str, Any]) -> str:
    """What twice the judgements would bring by the facts of a `Growth`, with its interval."""
    gain = facts["gain"]
    return f"{gain['value']:+.3f} [{gain['low']:+.3f}, {gain['high']:+.3f}]"


def forecast_growth(
    trials: Sequence[dict[str, Any]], metric: str, seed: int, measured: int = 0, draws: int = DRAWS
) -> Growth:
    """Fit the curve to finished trials and forecast.

    Args:
        trials: with `queries` and `value`, as `study.json` has them; those without a value are left out.
        metric: what the values are.
        seed: decides the draws.
        measured: queries that a value is a mean over; 0 leaves the rounding to whole queries out.
        draws: how many times the trainings are drawn anew.

    Returns:
        The curve, the forecast of twice the queries, and that of the full size from the smaller ones.

    Raises:
        NestvecError: fewer than three sizes came to an end.
    """
    by_size = _group_by_size(trials)
    if len(by_size) < _FEWEST:
        raise NestvecError(f"{len(by_size)} sizes came to an end; a curve takes {_FEWEST}")
    queries = list(by_size)
    grain = 1 / (np.sqrt(12) * measured) if measured else 0.0  # of a number that is rounded to whole queries
    sizes = TrainingsBySize(np.array(queries, dtype=np.float64), [by_size[count] for count in queries], float(grain))
    full, rng = float(sizes.queries[-1]), np.random.default_rng(seed)
    drawn = _redraw_curves(sizes, draws, rng)
    twice, reached = forecast_mean(sizes, drawn, 2 * full, rng), float(sizes.means[-1])
    facts = {
        "metric": metric,
        "queries": queries,
        "values": [list(values) for values in sizes.values],
        "means": sizes.means.tolist(),
        "spread": sizes.pooled_spread[0],
        "twice": vars(twice),
        "gain": {"value": twice.value - reached, "low": twice.low - reached, "high": twice.high - reached},
        **_curve_facts(sizes, drawn),
    }
    if len(queries) > _FEWEST:  # the largest size, as the smaller ones foretell it
        smaller = sizes.smallest(len(queries) - 1)
        foretold = forecast_mean(smaller, _redraw_curves(smaller, draws, rng), full, rng)
        inside = foretold.low - _SAME <= reached <= foretold.high + _SAME
        facts["held_back"] = {**vars(foretold), "reached": reached, "inside": inside}
    return Growth(facts)


def list_curves(
    trials: Sequence[dict[str, Any]], systems: Sequence[str], metric: str, seed: int, measured: int = 0
) -> list[dict[str, Any]]:
    """How each system grows with its judgements, by its vectors alone and beside keyword search.

    Args:
        trials: finished ones as `study.json` has them, with `value` and `fused`.
        systems: their names; a trial whose parameters name none is of the first.
        metric: what the values are.
        seed: decides the draws of the forecasts.
        measured: queries that a value is a mean over, see `forecast_growth`.

    Returns:
        A curve for each system and leg that has values: `system`, `leg` (`alone` or `fused`), `queries`, `values` and
        `means` by size, and, from three sizes on, `growth` as `forecast_growth` returns it.
    """
    curves = []
    for system, (leg, key) in product(systems, (("alone", "value"), ("fused", "fused"))):
        own = [trial for trial in trials if trial["params"].get("system", systems[0]) == system]
        sizes = _group_by_size([{**trial, "value": trial.get(key)} for trial in own])
        if not sizes:
            continue
        curve: dict[str, Any] = {"system": system, "leg": leg, "queries": list(sizes), "values": list(sizes.values())}
        curve["means"] = [float(np.mean(values)) for values in sizes.values()]
        if len(sizes) >= _FEWEST:
            told = [{"queries": trial["queries"], "value": trial.get(key)} for trial in own]
            curve["growth"] = forecast_growth(told, metric, seed, measured).facts
        curves.append(curve)
    return curves


def _group_by_size(trials: Sequence[dict[str, Any]]) -> dict[int, list[float]]:
    """The values of the trials that have one, by their number of training queries, rising."""
    by_size: dict[int, list[float]] = {}
    for trial in trials:
        if trial["value"] is not None:
            by_size.setdefault(int(trial["queries"]), []).append(float(trial["value"]))
    return dict(sorted(by_size.items()))


def _curve_facts(sizes: TrainingsBySize, drawn: NDArray[np.float64]) -> dict[str, Any]:
    """The curve up to twice the queries, and the band around it."""
    full = float(sizes.queries[-1])
    curve = fit_power_law(sizes.queries, sizes.means, sizes.counts)
    ahead = np.geomspace(sizes.queries[0], 2 * full, 40)
    band = _interval_ends(power_law(ahead, *drawn.T[..., None]))
    line = {"queries": ahead, "value": power_law(ahead, *curve), "low": band[0], "high": band[1]}
    return {
        "curve": dict(zip("abc", curve, strict=True)),
        "line": {name: values.tolist() for name, values in line.items()},
    }


def power_law(queries: NDArray[np.float64], a: _Number, b: _Number, c: _Number) -> NDArray[np.float64]:
    """A power law that levels off at `a`."""
    values: NDArray[np.float64] = a - b * queries ** (-c)
    return values


def fit_power_law(queries: NDArray[np.float64], means: NDArray[np.float64], counts: NDArray[np.float64]) -> Parameters:
    """Fit the law by least squares.

    For a given exponent the law is a straight line in n^(-c), whose best level and factor are known in closed form
    (variable projection, Golub & Pereyra 1973); the best exponent is looked for among many.

    Args:
        queries: (s,) sizes, above 0.
        means: (s,) values, 0 … 1.
        counts: (s,) how many trainings each mean is of.

    Returns:
        The level it leads to, at most 1, its factor, 0 or more, and its exponent.
    """
    level, factor, exponent = _fit_each(queries, means[None], counts)[0].tolist()
    return level, factor, exponent


def _fit_each(
    queries: NDArray[np.float64], means: NDArray[np.float64], counts: NDArray[np.float64]
) -> NDArray[np.float64]:
    """(d, 3) parameters of the law, fitted to each row of (d, s) means as `fit_power_law` describes."""
    scale = float(queries[-1])  # so that the powers of all exponents are of a like size
    power = (queries / scale) ** -_EXPONENTS[:, None]  # (e, s)
    weight = counts / counts.sum()
    centre, mean = (power * weight).sum(axis=-1), (means * weight).sum(axis=-1, keepdims=True)  # (e,), (d, 1)
    spread = (weight * (power - centre[:, None]) ** 2).sum(axis=-1)
    values = means[:, None, :]  # (d, 1, s)
    factor = -(weight * (power - centre[:, None]) * (values - mean[:, None])).sum(axis=-1) / spread  # (d, e)
    factor = np.maximum(factor, 0)
    level = mean + factor * centre
    high = level > 1  # of a line that would lead above it the level is 1, and the factor the best for that
    through_one = (weight * power * (1 - values)).sum(axis=-1) / (weight * power**2).sum(axis=-1)
    level, factor = np.where(high, 1.0, level), np.where(high, np.maximum(through_one, 0), factor)
    missed = (weight * (level[..., None] - factor[..., None] * power - values) ** 2).sum(axis=-1)
    best, rows = missed.argmin(axis=1), np.arange(len(means))
    exponent = _EXPONENTS[best]
    return np.stack([level[rows, best], factor[rows, best] * scale**exponent, exponent], axis=1)


def forecast_mean(
    sizes: TrainingsBySize, drawn: NDArray[np.float64], queries: float, rng: np.random.Generator
) -> Forecast:
    """Forecast the mean of as many trainings at another size as one size had.

    The interval follows from `drawn`, (d, 3) parameters of curves through trainings that were drawn anew, and noise.
    """
    size = np.array([queries])
    noise = _draw_noise(sizes, float(sizes.counts.mean()), len(drawn), rng)
    values = power_law(size, *drawn.T) + noise
    low, high = _interval_ends(values[:, None])
    value = float(power_law(size, *fit_power_law(sizes.queries, sizes.means, sizes.counts))[0])
    return Forecast(queries, value, float(low[0]), float(high[0]))


def _redraw_curves(sizes: TrainingsBySize, draws: int, rng: np.random.Generator) -> NDArray[np.float64]:
    """(d, 3) parameters of curves through means that are drawn anew."""
    noise = [_draw_noise(sizes, count, draws, rng) for count in sizes.counts]
    drawn = sizes.means + np.stack(noise, axis=1)
    return _fit_each(sizes.queries, np.clip(drawn, 0, 1), sizes.counts)


def _draw_noise(sizes: TrainingsBySize, count: float, draws: int, rng: np.random.Generator) -> NDArray[np.float64]:
    """Draw errors of the mean of `count` trainings, by Student's t, as the spread is an estimate too."""
    spread, freedom = sizes.pooled_spread
    if not freedom:
        return np.zeros(draws)
    noise: NDArray[np.float64] = rng.standard_t(freedom, size=draws) * spread / np.sqrt(count)
    return noise


def _interval_ends(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """(2, c) ends of the interval of (d, c) draws."""
    tail = (1 - LEVEL) / 2
    ends: NDArray[np.float64] = np.quantile(values, [tail, 1 - tail], axis=0)
    return ends
