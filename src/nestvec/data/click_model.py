"""A click model: estimates from clicks how relevant documents are.

Users look more often at higher positions, so clicks are corrected for position if the log has positions. The click
rate of a document with few impressions is drawn towards the mean rate, and no single count may dominate. Every estimate
is a closed form or a deterministic iteration, so the same log always gives the same grades.

Sources: Chuklin, Markov and de Rijke 2015, section 3.2 (the position-based model); Agarwal et al. 2019 (evidence from
documents that were shown at several positions); Wooldridge 1999 (counts with an effect of each document, which drops
out of the likelihood); Kleinman 1973 (fit of the beta prior by moments); Hu, Koren and Volinsky 2008, equation 6
(logarithms of clicks without impressions). Expectation maximisation was tried, but stayed near its starting values.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

_STEPS = 1000
_STILL = 1e-6  # an estimate ends when no position changes by more
_LEAST_LOOK = 0.01  # share of looks below which a position is not weighed
_MANY = 0.9  # quantile of the exposures beyond which a document has no more say in what all share
_PRIOR = (2.0, 1000.0)  # times shown that the prior is worth, at least (a uniform one's) and at most
_TOP = 0.99  # quantile of the rates that has grade 1
_USUAL_CLICKS = 20  # what the usual curve of looks is worth
_LONE = 3  # clicks added to the highest count, so that a lone click is worth less than half


@dataclass(frozen=True)
class Exposed:
    """A click log of n pairs of a query and a document, in m rows: one for each pair and position.

    Attributes:
        pair: (m,) the row's pair, 0 … n - 1.
        clicks: (m,) number of clicks, at most `shown`.
        shown: (m,) number of impressions.
        position: (m,) position as a whole number; all equal if positions are not known.
    """

    pair: NDArray[np.int64]
    clicks: NDArray[np.float64]
    shown: NDArray[np.float64]
    position: NDArray[np.int64]


@dataclass(frozen=True)
class Estimate:
    """Grades that were estimated from clicks.

    Attributes:
        grades: (n,) grades from 0 to 1, rounded to thousandths.
        assumed: the model's assumptions, in sentences.
    """

    grades: NDArray[np.float64]
    assumed: str


def grade_rates(log: Exposed, count: int) -> Estimate:
    """Estimate grades from click rates: clicks per impression.

    Args:
        log: the clicks and impressions; every pair was shown at least once.
        count: n, the number of pairs of a query and a document.

    Returns:
        Grades in proportion to the rates: 0 for pairs that were never clicked, 1 for the highest 1 % of the rates.
    """
    positions, place = np.unique(log.position, return_inverse=True)
    usual = _usual_looks(positions)
    looks = _estimate_looks(log, usual, place, count) if len(usual) > 1 else usual
    exposure = sum_by(log.pair, log.shown * looks[place], count)
    clicks = sum_by(log.pair, log.clicks, count)
    mean, prior = _fit_prior(clicks, exposure)
    rates = np.where(clicks > 0, np.minimum((clicks + mean * prior) / (exposure + prior), 1), 0.0)
    top = float(np.quantile(rates[rates > 0], _TOP, method="lower")) if clicks.any() else 1.0
    grades = np.round(np.minimum(rates / top, 1), 3).astype(np.float64)
    assumed = (
        f"A document's rate is drawn towards the mean, {mean:.3g}, as if it had been shown {prior:.0f} more times; "
        f"grade 1 is a rate of {top:.3g} or more. What was never clicked has grade 0."
    )
    if len(positions) > 1:
        assumed = f"{_describe_looks(log, positions, looks, count)} {assumed}"
    return Estimate(grades, assumed)


def grade_counts(
    query: NDArray[np.int64], clicks: NDArray[np.float64], position: NDArray[np.int64] | None = None
) -> Estimate:
    """Estimate grades from clicks alone, for a log without impressions.

    A document's grade is the logarithm of its clicks, divided by that of the query's highest count. The highest count
    is capped at the query's second-highest or at the median highest count of all queries, so that outliers do not
    matter.

    Args:
        query: (n,) the query of each document.
        clicks: (n,) number of clicks.
        position: (n,) position of each document, if known.

    Returns:
        Grades from 0 (never clicked) to nearly 1.
    """
    assumed = "How often a document was shown is not known, so it counts beside the others of its query. "
    if position is not None:
        looks = _usual_clicks(clicks, position)
        clicks = clicks / looks
        assumed += "Clicks are divided by what is usual at their position. "
    count = int(query.max()) + 1
    order = np.lexsort((-clicks, query))
    rank = np.arange(len(order)) - np.searchsorted(query[order], query[order])
    highest, second = np.zeros(count), np.zeros(count)
    highest[query[order][rank == 0]] = clicks[order][rank == 0]
    second[query[order][rank == 1]] = clicks[order][rank == 1]
    usual = float(np.quantile(highest[highest > 0], 0.5, method="lower")) if (highest > 0).any() else 0.0
    most = np.maximum(second, np.minimum(highest, usual))[query]
    grades = np.round(np.log1p(np.minimum(clicks, most)) / np.log1p(most + _LONE), 3)
    assumed += f"The grade is log(1 + clicks) over log(1 + {_LONE} + the query's highest clicks), "
    assumed += f"which count as no more than the second-highest or {usual:g}, so that no outlier decides."
    return Estimate(grades, assumed)


def sum_by(group: NDArray[np.int64], values: NDArray[np.float64], count: int) -> NDArray[np.float64]:
    """Sum n values by group; returns one sum for each of `count` groups."""
    return np.bincount(group, values, count).astype(np.float64)


def _estimate_looks(
    log: Exposed, usual: NDArray[np.float64], place: NDArray[np.int64], count: int
) -> NDArray[np.float64]:
    """Estimate how likely users look at each of p positions, relative to the most viewed position: (p,).

    The model: a document's expected clicks at a position are its impressions there x its click rate x the position's
    looks. The rates drop out of the likelihood, so only documents that were shown at several positions are evidence. A
    few invented clicks that follow the usual curve decide where the log has no such documents. Each step of the
    iteration (Zermelo's) divides a position's clicks by the clicks that its documents would get if everybody looked.

    Args:
        log: the clicks.
        usual: (p,) the usual curve of looks, for positions of which the log has no evidence.
        place: (m,) which of the p positions each row of the log has.
        count: the number of pairs of a query and a document.

    Returns:
        Looks above 0; the highest is 1.
    """
    places = len(usual)
    say = np.minimum(1, np.quantile(log.shown, _MANY, method="higher") / log.shown)
    pair = np.append(log.pair, np.full(places, count))
    place = np.append(place, np.arange(places))
    shown = np.append(log.shown * say, np.ones(places))
    clicks = np.append(log.clicks * say, _USUAL_CLICKS * usual / usual.sum())
    total, here = sum_by(pair, clicks, count + 1), sum_by(place, clicks, places)
    looks = usual / usual.max()
    for _ in range(_STEPS):
        rates = total / sum_by(pair, shown * looks[place], count + 1)
        before, looks = looks, here / sum_by(place, shown * rates[pair], places)
        looks = looks / looks.max()
        if np.abs(looks - before).max() < _STILL:
            break
    bounded: NDArray[np.float64] = np.maximum(looks, _LEAST_LOOK)
    return bounded


def _fit_prior(clicks: NDArray[np.float64], exposure: NDArray[np.float64]) -> tuple[float, float]:
    """Estimate the mean click rate, and how many impressions a beta prior for it is worth, from moments of the log."""
    say = np.minimum(1, np.quantile(exposure, _MANY, method="higher") / exposure)
    clicks, exposure = np.minimum(clicks, exposure) * say, exposure * say
    mean = float(clicks.sum() / exposure.sum())
    noise = mean * (1 - mean)
    room = float((exposure**2 - exposure).sum())
    spread = float(((clicks - mean * exposure) ** 2).sum()) - noise * float(exposure.sum())
    variance = spread / room if room > 0 else 0.0
    prior = noise / variance - 1 if variance > 0 else _PRIOR[0] if room <= 0 else _PRIOR[1]
    return mean, float(np.clip(prior, *_PRIOR))


def _usual_looks(positions: NDArray[np.int64]) -> NDArray[np.float64]:
    """Give how likely users look at each position if the log does not tell: nDCG's discount, 1 at the top."""
    looks: NDArray[np.float64] = 1 / np.log2(2 + positions - positions.min())
    return looks


def _usual_clicks(clicks: NDArray[np.float64], position: NDArray[np.int64]) -> NDArray[np.float64]:
    """Estimate the usual number of clicks at each document's position, relative to the most clicked position."""
    _, place = np.unique(position, return_inverse=True)
    usual = np.expm1(np.bincount(place, np.log1p(clicks)) / np.bincount(place))
    looks: NDArray[np.float64] = np.maximum(usual / max(usual.max(), 1e-9), 0.05)
    return looks[place]


def _describe_looks(log: Exposed, positions: NDArray[np.int64], looks: NDArray[np.float64], count: int) -> str:
    """Estimate how often users looked at each position, and whether the log separates that from relevance."""
    shown = ", ".join(f"{position}: {look:.2f}" for position, look in zip(positions[:10], looks[:10], strict=True))
    text = f"A position-based click model: looks at positions {shown}{' …' if len(positions) > 10 else ''}."
    moved = np.bincount(log.pair, minlength=count) > 1
    if moved.mean() >= 0.05:
        return text
    usual = "the curve is nearly the usual one: 1 / log2(1 + position)"
    return f"{text} Hardly any document changed its position, so {usual}."
