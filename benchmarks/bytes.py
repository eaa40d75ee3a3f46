"""How good small vectors are: the best of a finished run at each number of bytes, cut as they are and on axes.

    nestvec run TABLE --out DIR
    python benchmarks/bytes.py DIR [--sizes 194,98,50,26,14] [--systems mnr,matryoshka]

Alone and beside keyword search. At each size the best point that takes so many bytes or fewer is chosen on the
validation split, once among points that are cut as they are and once among all. The differences are those of the test
split, paired by query, with 95 % bootstrap intervals: of the two to each other, and to the same system at full width in
float32. The last line is JSON.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq

from nestvec import load_run
from nestvec.evaluation.significance import Bootstrap
from nestvec.point import HYBRID, PLAIN, Point

METRIC = "recall@10"
LEGS = {PLAIN: "alone", HYBRID: "beside keyword search"}
RESAMPLES = 10_000

Values = dict[str, dict[str, np.ndarray]]


def read(folder: Path) -> tuple[list[Point], Values]:
    """The points with vectors, and by split and name of a point the values of `METRIC` in the order of the queries."""
    rows = [row for row in load_run(folder).points.values() if row.dimension and row.kind in LEGS]
    table = pq.read_table(folder / "per_query.parquet", filters=[("metric", "=", METRIC)]).to_pydict()
    held: dict[str, dict[str, list[float]]] = {}
    names = ("system", "dimension", "precision", "axes")
    for split, value, *place in zip(table["split"], table["value"], *(table[name] for name in names), strict=True):
        name = Point(**dict(zip(names, place, strict=True))).name
        held.setdefault(split, {}).setdefault(name, []).append(value)
    return rows, {split: {name: np.array(one) for name, one in points.items()} for split, points in held.items()}


def choose(points: list[Point], size: int, validation: dict[str, np.ndarray]) -> Point | None:
    """The best on validation that takes so many bytes or fewer."""
    fitting = [point for point in points if point.bytes <= size]
    return max(fitting, key=lambda point: float(validation[point.name].mean()), default=None)


def main() -> None:
    """Print a line per leg and size, then JSON."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("run", type=Path)
    parser.add_argument("--sizes", default="194,98,50,26,14")
    parser.add_argument("--systems", help="all trained ones unless named")
    options = parser.parse_args()
    rows, values = read(options.run)
    systems = set(options.systems.split(",")) if options.systems else set(load_run(options.run).results.trained)
    bootstrap = Bootstrap(len(next(iter(values["test"].values()))), RESAMPLES, np.random.default_rng(0))

    def differ(a: Point, b: Point) -> dict[str, float]:
        return vars(bootstrap.interval(values["test"][a.name] - values["test"][b.name]))

    told = []
    for kind, leg in LEGS.items():
        points = [row for row in rows if row.kind == kind and row.vectors.system in systems]
        heads = f"{'as they are':<28}{METRIC:>10}  {'all':<28}{METRIC:>10}"
        print(f"{leg}\n{'bytes':>5}  {heads}  gained, and lost of the whole")
        for size in map(int, options.sizes.split(",")):
            plain = choose([point for point in points if not point.axes], size, values["validation"])
            best = choose(points, size, values["validation"])
            if plain is None or best is None:
                continue
            whole = max((point for point in points if point.system == best.system), key=lambda point: point.bytes)
            gained, lost = differ(best, plain), differ(best, whole)
            shown = "  ".join(f"{one['value']:+.4f} [{one['low']:+.4f}, {one['high']:+.4f}]" for one in (gained, lost))
            reached = [float(values["test"][point.name].mean()) for point in (plain, best)]
            print(f"{size:>5}  {plain.name:<28}{reached[0]:>10.4f}  {best.name:<28}{reached[1]:>10.4f}  {shown}")
            found = {"leg": leg, "bytes": size, "plain": plain.name, "best": best.name, "reached": reached}
            told.append({**found, "gained": gained, "lost": lost})
    print(json.dumps(told))


if __name__ == "__main__":
    main()
