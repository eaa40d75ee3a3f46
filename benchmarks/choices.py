"""How often the three choices are right, and what a sharper bound would gain: simulations where the truth is known.

    python benchmarks/choices.py [SIMULATIONS]

1. *Proven*: every smaller vector loses exactly the margin; how often one is called proven, alone and beside keyword
   search, with and without a gain over the pretrained model. 5 % are allowed.
2. *Likely*: true losses are drawn evenly from 0 to 2.5 margins. How often are claims right that state a chance of 86 to
   94 %, and how often is the likely choice right where it is not the full width?
3. Bounds: of several that hold for few queries, how often each passes what loses the margin (5 % are allowed), and how
   many queries it takes until what loses nothing passes in 80 % of the samples.

The last line is JSON: the rates.
"""

from __future__ import annotations

import json
import sys
from typing import Any

import numpy as np

from nestvec.evaluation.significance import Bootstrap
from nestvec.point import BM25, HYBRID, PLAIN, Point, VectorFormat
from nestvec.recommending.choose import Evidence, recommend
from nestvec.settings import RecommendationSettings

MARGIN, ALPHA = 0.01, 0.05
WIDTHS, PRECISIONS = (384, 192, 96), ("float32", "int8", "binary")
SIZES = (150, 200, 300, 400, 600, 800, 1000, 1500, 2000, 3000, 4000, 6000)


def draw_moves(kind: str, lost: np.ndarray, queries: int, rng: np.random.Generator) -> np.ndarray:
    """(r, q) differences whose true mean is minus (r,) `lost`."""
    u, lost = rng.random((len(lost), queries)), lost[:, None]
    if kind == "rarely all":
        return -(u < lost).astype(float)
    if kind == "both ways":
        return np.where(u < lost + 0.01, -1.0, np.where(u > 0.99, 1.0, 0.0))
    if kind == "thirds":
        return np.where(u < 0.045 + 1.5 * lost, -1 / 3, np.where(u > 0.955 + 1.5 * lost, 1 / 3, 0.0))
    if kind == "halves":
        return np.where(u < 0.02 + lost, -0.5, np.where(u > 0.98 + lost, 0.5, 0.0))
    return rng.normal(-lost, 0.05, u.shape)


KINDS = ("rarely all", "both ways", "thirds", "halves", "a little")


def make_evidence(kind: str, losses: np.ndarray, gain: float, queries: int, rng: np.random.Generator) -> Evidence:
    """Two systems, alone and fused; point i of a system loses `losses[i]` against its full width, on average.

    `gain` is that of the fused trained system over the fused pretrained one.
    """
    values = {Point(BM25, None, None): np.full(queries, 0.3)}
    formats = [VectorFormat(width, precision) for width in WIDTHS for precision in PRECISIONS]
    formats.sort(key=lambda stored: -stored.bytes)
    for system, mean in (("pretrained", 0.7 - gain), ("mnr", 0.7)):
        for name, kind_of, lowered in ((system, PLAIN, 0.3), (f"{system}+bm25", HYBRID, 0.0)):
            moves = draw_moves(kind, losses, queries, rng)
            moves[0] = rng.normal(0, 0.02, queries) if gain == 0 else 0.0
            base = mean - lowered + moves[0] + (0.1 if name == "mnr" else 0)
            for place, stored in enumerate(formats):
                values[Point.of(name, stored, kind_of)] = base + (moves[place] if place else 0)
    return Evidence(values, Bootstrap(queries, 400, rng), {point: float(each.mean()) for point, each in values.items()})


def rate_proven(simulations: int) -> dict[str, float]:
    """Share of simulations in which a vector that loses the margin is proven for a team."""
    rates, wishes = {}, RecommendationSettings(margin=MARGIN)
    losses = np.full(len(WIDTHS) * len(PRECISIONS), MARGIN)
    for kind in KINDS:
        for gain in (0.1, 0.0):
            for queries in (200, 800):
                rng = np.random.default_rng(len(rates))
                wrong = dict.fromkeys(("beside_keyword_search", "vectors_alone"), 0)
                for _ in range(simulations):
                    split = make_evidence(kind, losses, gain, queries, rng)
                    found = recommend({"validation": split, "test": split}, wishes)["choices"]
                    for team in wrong:
                        proven = found[team]["proven"]
                        wrong[team] += proven is not None and proven["bytes_per_vector"] < 4 * WIDTHS[0]
                for team, count in wrong.items():
                    rates[f"{kind}, gain {gain}, {queries} queries, {team}"] = count / simulations
    return rates


def rate_claims(draws: int) -> dict[str, list[float]]:
    """Per scenario: claims of 86 to 94 %, and the share of them that is right; pooled ones under `all`."""
    rates, pooled = {}, np.zeros(2)
    for kind in KINDS:
        for queries in (200, 500, 1000):
            rng = np.random.default_rng(queries)
            lost = rng.uniform(0, 2.5 * MARGIN, draws)
            bootstrap = Bootstrap(queries, 1000, rng)
            moves = draw_moves(kind, lost, queries, rng)
            stated = np.array([bootstrap.chance_above(row, -MARGIN) for row in moves])
            near = (stated > 0.86) & (stated < 0.94)
            right = int((lost < MARGIN)[near].sum())
            rates[f"{kind}, {queries} queries"] = [int(near.sum()), right / max(1, int(near.sum()))]
            pooled += near.sum(), right
    rates["all"] = [int(pooled[0]), float(pooled[1] / pooled[0])]
    return rates


def rate_likely(simulations: int) -> dict[str, list[float]]:
    """Per scenario: likely choices below full width, what they state on average, and the share that is right."""
    rates, wishes = {}, RecommendationSettings(margin=MARGIN)
    kept = [(width, precision) for width, precision in ((384, "float32"), (384, "int8"), (384, "binary"))]
    kept += [(192, "binary"), (96, "binary")]
    pooled = np.zeros(3)
    for kind in KINDS:
        for queries in (200, 800):
            rng = np.random.default_rng(7)
            seen = np.zeros(3)
            for _ in range(simulations):
                losses = np.sort(rng.uniform(0, 2.5 * MARGIN, len(kept)))
                split = make_evidence(kind, _spread(losses, kept), 0.1, queries, rng)
                choice = recommend({"validation": split, "test": split}, wishes)["choices"]["beside_keyword_search"]
                likely = choice["likely"]
                if likely and likely["bytes_per_vector"] < 4 * WIDTHS[0]:
                    lost = losses[kept.index((likely["dimension"], likely["precision"]))]
                    seen += 1, likely["validation"]["chance"], lost < MARGIN
            rates[f"{kind}, {queries} queries"] = [int(seen[0]), *(seen[1:] / max(1, seen[0])).tolist()]
            pooled += seen
    return {**rates, "all": [int(pooled[0]), *(pooled[1:] / pooled[0]).tolist()]}


def _spread(losses: np.ndarray, kept: list[tuple[int, str]]) -> np.ndarray:
    """The losses of `kept` in the order of `make_evidence`; points that are never tested lose as much as the last."""
    formats = sorted(
        [VectorFormat(width, precision) for width in WIDTHS for precision in PRECISIONS],
        key=lambda stored: -stored.bytes,
    )
    known = dict(zip(kept, losses, strict=True))
    return np.array([known.get((stored.dimension, stored.precision), losses[-1]) for stored in formats])


def pass_gaffke(moves: np.ndarray) -> np.ndarray:
    """(r,) whether the bound lies above minus the margin."""
    weights = np.random.default_rng(0).standard_exponential((1500, moves.shape[1] + 1))
    means = (weights[:, :-1] @ moves.T - weights[:, -1:]) / weights.sum(axis=1, keepdims=True)
    return np.quantile(means, ALPHA, axis=0) > -MARGIN


def pass_betting(moves: np.ndarray) -> np.ndarray:
    """Waudby-Smith & Ramdas 2024: a bet against the mean being minus the margin, plug-in stakes, best capital."""
    scaled, mean = (moves + 1) / 2, (1 - MARGIN) / 2
    counts = np.arange(1, moves.shape[1] + 1)
    centre = (0.5 + scaled.cumsum(axis=1)) / (counts + 1)
    spread = (0.0025 + ((scaled - centre) ** 2).cumsum(axis=1)) / (counts + 1)
    before = np.concatenate([np.full((len(moves), 1), 0.0025), spread[:, :-1]], axis=1)
    stakes = np.minimum(np.sqrt(2 * np.log(1 / ALPHA) / (before * moves.shape[1])), 0.95 / mean)
    capital = np.log1p(stakes * (scaled - mean)).cumsum(axis=1)
    return capital.max(axis=1) >= np.log(1 / ALPHA)


def pass_bernstein(moves: np.ndarray) -> np.ndarray:
    """Maurer & Pontil 2009, for differences between -1 and 1."""
    queries, term = moves.shape[1], np.log(2 / ALPHA)
    lowered = np.sqrt(2 * moves.var(axis=1, ddof=1) * term / queries) + 14 * term / (3 * (queries - 1))
    return moves.mean(axis=1) - lowered > -MARGIN


def pass_anderson(moves: np.ndarray) -> np.ndarray:
    """Anderson 1969 with the one-sided DKW band (Massart 1990): the best share of the queries shows the worst."""
    queries = moves.shape[1]
    share = np.sqrt(np.log(1 / ALPHA) / (2 * queries))
    weights = np.clip(np.arange(1, queries + 1) / queries, 0, 1 - share)
    steps = np.diff(weights, prepend=0.0)
    return np.sort(moves, axis=1) @ steps - share > -MARGIN


BOUNDS = {
    "Gaffke": pass_gaffke, "betting": pass_betting, "empirical Bernstein": pass_bernstein, "Anderson": pass_anderson
}  # fmt: skip


def compare_bounds(draws: int) -> dict[str, dict[str, list[float | None]]]:
    """Bound to scenario to the highest rate of wrong passes, and the queries it takes; None where `SIZES` do not do."""
    found: dict[str, dict[str, list[float | None]]] = {name: {} for name in BOUNDS}
    for kind in KINDS:
        wrong = dict.fromkeys(BOUNDS, 0.0)
        needed: dict[str, int | None] = dict.fromkeys(BOUNDS)
        for queries in SIZES:
            rng = np.random.default_rng(queries)
            lossy, whole = (draw_moves(kind, np.full(draws, lost), queries, rng) for lost in (MARGIN, 0.0))
            for name, passes in BOUNDS.items():
                wrong[name] = max(wrong[name], float(passes(lossy).mean()))
                if needed[name] is None and passes(whole).mean() >= 0.8:
                    needed[name] = queries
        for name in BOUNDS:
            found[name][kind] = [wrong[name], needed[name]]
    return found


def main() -> None:
    """Run all, print tables, and a JSON line last."""
    simulations = int(sys.argv[1]) if len(sys.argv) > 1 else 400
    parts = {"bounds": compare_bounds, "claims": rate_claims, "likely": rate_likely, "proven": rate_proven}
    rates: dict[str, Any] = {}
    for title, measure in parts.items():
        rates[title] = measure(simulations * (10 if title == "claims" else 1))
        print(f"\n{title}")
        for name, entry in rates[title].items():
            print(f"  {name}: {entry}", flush=True)
    highest = max(rates["proven"].values())
    summary = {
        "simulations": simulations,
        "proven_wrong_at_most": highest,
        "claims_near_90_right": rates["claims"]["all"][1],
        "likely_states": rates["likely"]["all"][1],
        "likely_right": rates["likely"]["all"][2],
        "queries_needed": {
            name: {kind: entry[1] for kind, entry in kinds.items()} for name, kinds in rates["bounds"].items()
        },
    }
    print(json.dumps(summary))


if __name__ == "__main__":
    main()
