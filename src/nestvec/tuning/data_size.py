"""Learning curve: fit a curve to trainings on parts of the queries, and forecast what more judgements would bring.

A power law that levels off, v(n) = a - b n^(-c), is fitted to the mean at each size (Cortes et al. 1993; Hestness et
al. 2017 find it in most of deep learning). The interval of a forecast comes from resampling: values are drawn around
the means with the spread of the repeats, and the curve is fitted again.
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

    _Number = float | NDArray[np.float64]  # one number, or one for each curve

DRAWS = 500
Parameters = tuple[float, float, float]  # level a, factor b and exponent c of the power law
_EXPONENTS = np.geomspace(0.05, 2.0, 400)  # exponents that are tried
_FEWEST = 3  # sizes that a curve needs
_SAME = 1e-9  # differences below this are float noise


@dataclass(frozen=True)
class TrainingsBySize:
    """The metric that trainings reached on s different numbers of training queries, several trainings each."""

    queries: NDArray[np.float64]  # (s,) number of training queries, rising
    values: Sequence[Sequence[float]]  # s lists of the values that the trainings reached
    grain: float = 0.0  # standard deviation of rounding a value to whole queries; 0 ignores rounding

    @property
    def means(self) -> NDArray[np.float64]:
        """Mean of the metric over the trainings on each number of queries."""
        return np.array([np.mean(values) for values in self.values])

    @property
    def counts(self) -> NDArray[np.float64]:
        """Number of trainings on each number of queries."""
        return np.array([len(values) for values in self.values], dtype=np.float64)

    @property
    def pooled_spread(self) -> tuple[float, int]:
        """Standard deviation between trainings on equally many queries, pooled over sizes; and degrees of freedom."""
        freedom = int(sum(len(values) - 1 for values in self.values))
        squares = sum(float(np.var(values)) * len(values) for values in self.values)
        return (float(np.sqrt(squares / freedom + self.grain**2)) if freedom else 0.0), freedom

    def smallest(self, count: int) -> TrainingsBySize:
        """Keep only the trainings on the smallest `count` numbers of queries."""
        return TrainingsBySize(self.queries[:count], self.values[:count], self.grain)


@dataclass(frozen=True)
class Forecast:
    """Forecast of the mean validation metric for another number of training queries, with an interval."""

    queries: float
    value: float  # on the curve
    low: float  # ends of the 95 % interval
    high: float


@dataclass(frozen=True)
class Growth:
    """The learning curve over the number of training queries, and the forecasts from the curve, as JSON values."""

    facts: dict[str, Any]

    @property
    def verdict(self) -> str:
        """One sentence on what twice the judged queries would bring."""
        facts, twice = self.facts, self.facts["twice"]
        return (
            f"Twice the judged queries ({twice['queries']:,.0f}) would change {facts['metric']} from "
            f"{facts['means'][-1]:.3f} to {twice['value']:.3f} [{twice['low']:.3f}, {twice['high']:.3f}]: "
            f"{show_gain(facts)}."
        )


def show_gain(facts: dict[str, Any]) -> str:
    """Format the gain from twice the judgements, with an interval, from the facts of a `Growth`."""
    gain = facts["gain"]
    return f"{gain['value']:+.3f} [{gain['low']:+.3f}, {gain['high']:+.3f}]"


def forecast_growth(
    trials: Sequence[dict[str, Any]], metric: str, seed: int, measured: int = 0, draws: int = DRAWS
) -> Growth:
    """Fit the learning curve to finished trials, and forecast the gain of more judged queries.

    Args:
        trials: trials of `study.json` with `queries` and `value`; trials without a value are ignored.
        metric: the metric of the values, such as `recall@10`.
        seed: seed of the resampling.
        measured: number of queries over which each value is a mean; 0 ignores the rounding to whole queries.
        draws: number of resamples.

    Returns:
        The curve, the forecast at twice the queries and, as a check, the full size forecast from the smaller ones.

    Raises:
        NestvecError: fewer than three sizes have a finished trial.
    """
    by_size = _group_by_size(trials)
    if len(by_size) < _FEWEST:
        raise NestvecError(f"trials of {len(by_size)} sizes finished; a curve needs {_FEWEST}")
    queries = list(by_size)
    grain = 1 / (np.sqrt(12) * measured) if measured else 0.0  # a value is a whole number of queries
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
    if len(queries) > _FEWEST:  # check the method: forecast the largest size from the smaller ones
        smaller = sizes.smallest(len(queries) - 1)
        foretold = forecast_mean(smaller, _redraw_curves(smaller, draws, rng), full, rng)
        inside = foretold.low - _SAME <= reached <= foretold.high + _SAME
        facts["held_back"] = {**vars(foretold), "reached": reached, "inside": inside}
    return Growth(facts)


def list_curves(
    trials: Sequence[dict[str, Any]], systems: Sequence[str], metric: str, seed: int, measured: int = 0
) -> list[dict[str, Any]]:
    """List the learning curve of each system, by its vectors alone and fused with keyword search.

    Args:
        trials: finished trials of `study.json`, with `value` and `fused`.
        systems: names of the systems; a trial without the parameter `system` belongs to the first.
        metric: the metric of the values.
        seed: seed of the forecasts' resampling.
        measured: number of queries over which each value is a mean, see `forecast_growth`.

    Returns:
        A curve for each system and leg that has values: `system`, `leg` (`alone` or `fused`), `queries`, `values` and
        `means` by size, and, from three sizes on, `growth` as `forecast_growth` returns it.

    Raises:
        NestvecError: trials of the first system finished at fewer than three sizes.
    """
    curves = []
    for system, (leg, key) in product(systems, (("alone", "value"), ("fused", "fused"))):
        told = [
            {"queries": trial["queries"], "value": trial.get(key)}
            for trial in trials
            if trial["params"].get("system", systems[0]) == system
        ]
        sizes, is_needed = _group_by_size(told), (system, leg) == (systems[0], "alone")
        if not sizes and not is_needed:
            continue
        curve: dict[str, Any] = {"system": system, "leg": leg, "queries": list(sizes), "values": list(sizes.values())}
        curve["means"] = [float(np.mean(values)) for values in sizes.values()]
        if len(sizes) >= _FEWEST or is_needed:  # `forecast_growth` says what a needed curve lacks
            curve["growth"] = forecast_growth(told, metric, seed, measured).facts
        curves.append(curve)
    return curves


def _group_by_size(trials: Sequence[dict[str, Any]]) -> dict[int, list[float]]:
    """Group the trials' values by number of training queries, rising; trials without a value are ignored."""
    by_size: dict[int, list[float]] = {}
    for trial in trials:
        if trial["value"] is not None:
            by_size.setdefault(int(trial["queries"]), []).append(float(trial["value"]))
    return dict(sorted(by_size.items()))


def _curve_facts(sizes: TrainingsBySize, drawn: NDArray[np.float64]) -> dict[str, Any]:
    """Give the learning curve, up to twice the number of training queries, with a 95 % band."""
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
    """Evaluate a power law that levels off at `a`: a - b n^(-c)."""
    values: NDArray[np.float64] = a - b * queries ** (-c)
    return values


def fit_power_law(queries: NDArray[np.float64], means: NDArray[np.float64], counts: NDArray[np.float64]) -> Parameters:
    """Fit the power law of a learning curve by least squares.

    For a given exponent the law is a straight line in n^(-c), whose best level and factor have a closed form (variable
    projection, Golub & Pereyra 1973); the best exponent is searched on a grid.

    Args:
        queries: (s,) sizes, above 0.
        means: (s,) mean values, 0 … 1.
        counts: (s,) number of trainings behind each mean.

    Returns:
        The level a, at most 1; the factor b, 0 or more; and the exponent c.
    """
    level, factor, exponent = _fit_each(queries, means[None], counts)[0].tolist()
    return level, factor, exponent


def _fit_each(
    queries: NDArray[np.float64], means: NDArray[np.float64], counts: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Fit the power law to d learning curves at once, each of s means; gives level, factor and exponent of each."""
    scale = float(queries[-1])  # keeps the powers of all exponents in a similar range
    power = (queries / scale) ** -_EXPONENTS[:, None]  # (e, s)
    weight = counts / counts.sum()
    centre, mean = (power * weight).sum(axis=-1), (means * weight).sum(axis=-1, keepdims=True)  # (e,), (d, 1)
    spread = (weight * (power - centre[:, None]) ** 2).sum(axis=-1)
    values = means[:, None, :]  # (d, 1, s)
    factor = -(weight * (power - centre[:, None]) * (values - mean[:, None])).sum(axis=-1) / spread  # (d, e)
    factor = np.maximum(factor, 0)
    level = mean + factor * centre
    high = level > 1  # then the level is set to 1, and the factor to the best one for that level
    through_one = (weight * power * (1 - values)).sum(axis=-1) / (weight * power**2).sum(axis=-1)
    level, factor = np.where(high, 1.0, level), np.where(high, np.maximum(through_one, 0), factor)
    missed = (weight * (level[..., None] - factor[..., None] * power - values) ** 2).sum(axis=-1)
    best, rows = missed.argmin(axis=1), np.arange(len(means))
    exponent = _EXPONENTS[best]
    return np.stack([level[rows, best], factor[rows, best] * scale**exponent, exponent], axis=1)


def forecast_mean(
    sizes: TrainingsBySize, drawn: NDArray[np.float64], queries: float, rng: np.random.Generator
) -> Forecast:
    """Forecast the mean validation metric for another number of training queries, from the learning curve.

    The interval comes from `drawn`, (d, 3) parameters of curves fitted to resampled trainings, plus noise.
    """
    size = np.array([queries])
    noise = _draw_noise(sizes, float(sizes.counts.mean()), len(drawn), rng)
    values = power_law(size, *drawn.T) + noise
    low, high = _interval_ends(values[:, None])
    value = float(power_law(size, *fit_power_law(sizes.queries, sizes.means, sizes.counts))[0])
    return Forecast(queries, value, float(low[0]), float(high[0]))


def _redraw_curves(sizes: TrainingsBySize, draws: int, rng: np.random.Generator) -> NDArray[np.float64]:
    """Resample the means d times and fit a power law each time; gives level, factor and exponent of each fit."""
    noise = [_draw_noise(sizes, count, draws, rng) for count in sizes.counts]
    drawn = sizes.means + np.stack(noise, axis=1)
    return _fit_each(sizes.queries, np.clip(drawn, 0, 1), sizes.counts)


def _draw_noise(sizes: TrainingsBySize, count: float, draws: int, rng: np.random.Generator) -> NDArray[np.float64]:
    """Draw random errors of a mean over `count` trainings, from Student's t because the spread is an estimate."""
    spread, freedom = sizes.pooled_spread
    if not freedom:
        return np.zeros(draws)
    noise: NDArray[np.float64] = rng.standard_t(freedom, size=draws) * spread / np.sqrt(count)
    return noise


def _interval_ends(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Compute the lower and upper end of the 95 % interval of each column of draws."""
    tail = (1 - LEVEL) / 2
    ends: NDArray[np.float64] = np.quantile(values, [tail, 1 - tail], axis=0)
    return ends
