"""How often choices are right. Oracle: simulation where the truth is known, against binomial bounds, in short; in long
it is benchmarks/choices.py."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.stats
from evidence import BM25, at, choose, weighed

from nestvec.evaluation.significance import Bootstrap
from nestvec.point import HYBRID, Point

MARGIN = 0.01
KINDS = ("rarely all", "both ways", "thirds", "halves", "a little")


def moves(kind, lost, queries, rng):
    """(r, q) differences whose true mean is minus (r,) `lost`."""
    u, lost = rng.random((len(lost), queries)), lost[:, None]
    if kind == "rarely all":
        return -(u < lost).astype(float)
    if kind == "a little":
        return rng.normal(-lost, 0.05, u.shape)
    size, share = {"both ways": (1, 0.01), "thirds": (1 / 3, 0.045), "halves": (1 / 2, 0.02)}[kind]
    shift = lost / 2 / size
    if kind == "both ways":  # few queries gain, so only losses grow
        return np.where(u < share + lost, -1.0, np.where(u > 1 - share, 1.0, 0.0))
    return size * ((u > 1 - share + shift).astype(float) - (u < share + shift))


def test_of_claims_that_state_a_chance_of_ninety_percent_ninety_percent_are_right():
    """Truths are drawn evenly from 0 to 2.5 margins, in every way to lose, for 200, 500 and 1,000 queries."""
    claims, right = 0, 0
    for kind in KINDS:
        for queries in (200, 500, 1000):
            rng = np.random.default_rng(queries)
            lost = rng.uniform(0, 2.5 * MARGIN, 1200)
            differences = moves(kind, lost, queries, rng)
            # `Bootstrap.chance_above`, of all at once
            weights = rng.standard_exponential((500, queries + 1))
            means = (weights[:, :-1] @ differences.T - weights[:, -1:]) / weights.sum(axis=1, keepdims=True)
            stated = (means > -MARGIN).mean(axis=0)
            ours = Bootstrap(queries, 500, rng).chance_above(differences[0], -MARGIN)
            assert ours == pytest.approx(stated[0], abs=0.12)  # two samples of 500
            near = (stated > 0.86) & (stated < 0.94)
            claims, right = claims + near.sum(), right + (lost < MARGIN)[near].sum()
    assert claims > 700
    assert 0.86 <= right / claims <= 0.94


def test_the_chance_and_the_bound_are_the_same_draws():
    rng = np.random.default_rng(0)
    bootstrap = Bootstrap(150, 2001, rng)
    values = rng.choice([-0.3, 0.0, 0.3], 150)
    for level in (0.5, 0.9, 0.975):
        limit = bootstrap.lower_bound(values, level)
        assert bootstrap.chance_above(values, limit) == pytest.approx(level, abs=0.001)
    assert bootstrap.chance_above(values, -1.01) == 1
    assert bootstrap.chance_above(values, 1.0) == 0


@pytest.mark.slow
@pytest.mark.parametrize("gain", [0.1, 0.0])
@pytest.mark.parametrize("kind", KINDS)
def test_a_fused_vector_that_loses_the_margin_is_rarely_proven(kind, gain):
    """With a gain over the pretrained model, and with none, where the pretrained family is asked as well."""
    formats = [(384, "float32"), (384, "int8"), (192, "int8"), (96, "int8")]
    wrong = 0
    for seed in range(200):
        rng = np.random.default_rng(seed)
        values = {BM25: np.full(300, 0.3)}
        for system, mean in (("pretrained", 0.7 - gain), ("mnr", 0.7)):
            lost = moves(kind, np.full(len(formats), MARGIN), 300, rng)
            whole = mean + rng.normal(0, 0.02 if gain == 0 else 0.0, 300)
            for place, stored in enumerate(formats):
                point = at(system, *stored)
                fused = Point(f"{system}+bm25", *stored, point.bytes_per_vector, HYBRID)
                values[point] = np.full(300, mean - 0.2)
                values[fused] = whole + (lost[place] if place else 0.0)
        found = choose(weighed(values, Bootstrap(300, 400, rng)), MARGIN)
        proven = found["choices"]["beside_keyword_search"]["proven"]
        wrong += proven is not None and proven["bytes_per_vector"] < 1536
    assert wrong <= scipy.stats.binom(200, 0.05).ppf(0.999)
