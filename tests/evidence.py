"""Evidence with planted truths, as a recommendation is made of it."""

from __future__ import annotations

import numpy as np

from nestvec.evaluation.significance import Bootstrap
from nestvec.point import Point
from nestvec.recommending.choose import Evidence, recommend
from nestvec.settings import RecommendationSettings

BITS = {"float32": 32, "float16": 16, "int8": 8, "int4": 4, "int2": 2, "binary": 1}
WIDTHS = (384, 192, 96, 48)
SYSTEMS = ("pretrained", "mnr", "matryoshka")
BM25 = Point("bm25", None, None, None)


def at(system, dimension, precision="float32"):
    return Point(system, dimension, precision, dimension * BITS[precision] // 8)


def grid(system, precisions=("float32", "int8")):
    return [at(system, dimension, precision) for dimension in WIDTHS for precision in precisions]


def evidence(means, queries=200, noise=0.05, seed=0, resamples=400):
    """One split's values: queries of unlike difficulty, the same for every point, plus each point's mean and noise."""
    rng = np.random.default_rng(seed)
    difficulty = rng.normal(0, 0.2, queries)
    values = {point: mean + difficulty + rng.normal(0, noise, queries) for point, mean in means.items()}
    return weighed(values, Bootstrap(queries, resamples, rng))


def weighed(values, bootstrap):
    """Evidence in which the metric is recall@10 itself."""
    return Evidence(values, bootstrap, {point: float(column.mean()) for point, column in values.items()})


def wish(margin=0.05, **limits):
    return RecommendationSettings(margin=margin, **limits)


def choose(split, margin=0.05, **limits):
    """The same queries as validation and as test."""
    return recommend({"validation": split, "test": split}, wish(margin, **limits))


def planted(loss, base=0.7):
    """Means of points: pretrained and BM25 far below; mnr and matryoshka lose what `loss` says per system and width."""
    means = {point: 0.4 - (384 - point.dimension) / 2000 for point in grid("pretrained")}
    means |= {point: base - loss(point) for system in ("mnr", "matryoshka") for point in grid(system)}
    return {**means, BM25: 0.35}


def loses_below(smallest):
    """Nothing is lost down to each system's smallest good width, 0.2 beyond."""
    return lambda point: 0.0 if point.dimension >= smallest[point.system] else 0.2


def chosen(means, *, margin=0.05, test_means=None, limits=None, **options):
    validation, test = evidence(means, **options), evidence(test_means or means, **{**options, "seed": 99})
    return recommend({"validation": validation, "test": test}, wish(margin, **(limits or {})))


def names(points):
    return [f"{point.dimension}x{point.precision}" for point in points]
