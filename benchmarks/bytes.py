"""How good 50 and 26 bytes are: the best vector of a finished run at each size, beside full widths in float32.

    nestvec run TABLE --systems mnr,graded --out DIR
    python benchmarks/bytes.py DIR

Dimension, precision and system are chosen on the validation split, and the differences are those of the test split,
paired by query, with 95 % bootstrap intervals. The last line is JSON.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq

from nestvec.evaluation.significance import Bootstrap

METRIC = "recall@10"
SIZES = (194, 98, 50, 26)
BESIDE = (("mnr", "float32"), ("pretrained", "float32"))

Point = tuple[str, int, str]


def read(folder: Path) -> tuple[dict[Point, int], dict[str, dict[Point, np.ndarray]]]:
    """Bytes of each dense point, and its values of `METRIC` per split, in the order of the queries."""
    rows = json.loads((folder / "results.json").read_text(encoding="utf-8"))["surface"]
    plain = [row for row in rows if row["dimension"] and row["kind"] == "plain"]
    sizes = {(row["system"], row["dimension"], row["precision"]): row["bytes_per_vector"] for row in plain}
    table = pq.read_table(folder / "per_query.parquet", filters=[("metric", "=", METRIC)]).to_pylist()
    found: dict[str, dict[Point, list[float]]] = {"validation": {}, "test": {}}
    for row in table:
        point = row["system"], row["dimension"], row["precision"]
        if point in sizes:
            found[row["split"]].setdefault(point, []).append(row["value"])
    arrays = {split: {point: np.array(held) for point, held in points.items()} for split, points in found.items()}
    return sizes, arrays


def main() -> None:
    """Print a line per size and reference, then JSON."""
    sizes, values = read(Path(sys.argv[1]))
    validation, test = values["validation"], values["test"]
    width = max(dimension for _, dimension, _ in sizes)
    bootstrap = Bootstrap(len(next(iter(test.values()))), 10_000, np.random.default_rng(0))
    told = []
    print(f"{'bytes':>5}  {'best on validation':<28}{METRIC:>10}  beside")
    for size in SIZES:
        for systems in ({"mnr"}, {point[0] for point in sizes} - {"pretrained"}):
            fitting = [point for point in sizes if sizes[point] <= size and point[0] in systems]
            if not fitting:
                continue
            best = max(fitting, key=lambda point: float(validation[point].mean()))
            for system, precision in BESIDE:
                reference = system, width, precision
                if reference not in test:
                    continue
                gain = bootstrap.interval(test[best] - test[reference])
                named = ".".join(map(str, best))
                beside = f"{'.'.join(map(str, reference))} {test[reference].mean():.4f}"
                shown = f"{gain.value:+.4f} [{gain.low:+.4f}, {gain.high:+.4f}]"
                print(f"{size:>5}  {named:<28}{test[best].mean():>10.4f}  {beside}: {shown}")
                told.append({"bytes": size, "best": named, "beside": ".".join(map(str, reference)), **vars(gain)})
    print(json.dumps(told))


if __name__ == "__main__":
    main()
