"""How often intervals and bounds over folds are right where trainings have luck: simulations where the truth is known.

    python benchmarks/folds.py [SIMULATIONS]

Every query's value has a normal spread, and every training a luck of its own, of which a part may be shared by all, as
they share most of their queries. Luck is in standard errors of a fold's mean, with 60 queries a fold. Of three ways:

- *queries*: over the queries alone, as where one training measured all;
- *variance*: the variance between folds beyond what queries explain, with Nadeau and Bengio's factor (2003), added;
- *both*: ours, the wider of an interval over the queries and Student's t over the folds' means;

how often the 95 % interval covers what trainings reach on average, how often it covers what one more training reaches,
which is handed over, how often the 95 % lower bound errs, and how many times as far from the mean as over queries alone
it is, in the middle of the samples; the last also for the bound at the confidence that three systems share.

The last line is JSON: what is the worst of each where luck is independent.
"""

from __future__ import annotations

import json
import sys

import numpy as np
from scipy.special import ndtri, stdtrit

from nestvec.evaluation.fold_means import FoldMeans

EACH = 60  # queries of a fold
FOLDS, LUCK, SHARED = (3, 5, 10, 20), (0.0, 0.3, 1.0, 3.0), (0.0, 0.5)
WAYS = ("queries", "variance", "both")
TWO_SIDED, ONE_SIDED, OF_THREE = 0.975, 0.95, 1 - 0.05 / 3


def draw(folds: int, luck: float, shared: float, rng: np.random.Generator) -> tuple[np.ndarray, float]:
    """Values of all folds' queries, whose true mean is 0, and what one more training reaches."""
    error = luck / EACH**0.5
    common = np.sqrt(shared) * rng.standard_normal()
    shifts = error * (common + np.sqrt(1 - shared) * rng.standard_normal(folds + 1))
    return rng.standard_normal(folds * EACH) + np.repeat(shifts[:folds], EACH), float(shifts[folds])


def reach(values: np.ndarray, known: FoldMeans, level: float) -> dict[str, float]:
    """How far the mean's bound lies from it, by each of the ways."""
    folds, count = known.count, len(values)
    parts = values.reshape(folds, EACH)
    within = ((parts - parts.mean(axis=1, keepdims=True)) ** 2).sum() / (count - folds) / count
    between = max(0.0, parts.mean(axis=1).var(ddof=1) - within * folds) * (1 / folds + 1 / (folds - 1))
    freedom = (folds - 1) * ((within + between) / between) ** 2 if between else np.inf
    quantile = stdtrit(freedom, level) if np.isfinite(freedom) else ndtri(level)
    alone = ndtri(level) * within**0.5
    both = max(alone, float(known.reach(values[:, None], level)[0]))
    return {"queries": alone, "variance": quantile * (within + between) ** 0.5, "both": both}


def rate(folds: int, luck: float, shared: float, simulations: int) -> dict[str, dict[str, float]]:
    """The rates of each way in one scenario."""
    rng, known = np.random.default_rng(folds), FoldMeans(np.repeat(np.arange(folds), EACH))
    seen = {way: np.zeros((simulations, 5)) for way in WAYS}
    for number in range(simulations):
        values, other = draw(folds, luck, shared, rng)
        mean = values.mean()
        wide, low, strict = (reach(values, known, level) for level in (TWO_SIDED, ONE_SIDED, OF_THREE))
        for way in WAYS:
            covers = abs(mean) <= wide[way], abs(mean - other) <= wide[way]
            wider = [bounds[way] / bounds["queries"] for bounds in (low, strict)]
            seen[way][number] = *covers, mean - low[way] > 0, *wider
    return {
        way: {
            "covers": rows[:, 0].mean(),
            "covers_one_more": rows[:, 1].mean(),
            "bound_errs": rows[:, 2].mean(),
            "wider": float(np.median(rows[:, 3])),
            "wider_of_three": float(np.median(rows[:, 4])),
        }
        for way, rows in seen.items()
    }


def main() -> None:
    """Print a table, and a JSON line last."""
    simulations = int(sys.argv[1]) if len(sys.argv) > 1 else 2000
    worst = {way: {"covers": 1.0, "bound_errs": 0.0} for way in WAYS}
    print("folds  luck  shared  way       covers  one more  bound errs  wider  of three")
    for folds in FOLDS:
        for luck, shared in [(luck, shared) for luck in LUCK for shared in SHARED if luck or not shared]:
            for way, found in rate(folds, luck, shared, simulations).items():
                figures = f"{found['covers']:6.3f}  {found['covers_one_more']:8.3f}  {found['bound_errs']:10.3f}"
                figures += f"  {found['wider']:5.2f}  {found['wider_of_three']:8.2f}"
                print(f"{folds:5}  {luck:4}  {shared:6}  {way:8}  {figures}", flush=True)
                if not shared:
                    worst[way]["covers"] = min(worst[way]["covers"], float(found["covers"]))
                    worst[way]["bound_errs"] = max(worst[way]["bound_errs"], float(found["bound_errs"]))
    print(json.dumps({"simulations": simulations, **worst}))


if __name__ == "__main__":
    main()
