"""Ten million judgement rows: `nestvec check` beside pandas' read_csv on the same file, each in a process of its own.

    python benchmarks/reading.py [ROWS]

pandas only parses; nestvec validates, cleans, tells apart, splits, audits and counts tokens. The last line is JSON.
"""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
from pyarrow import csv

WORDS = (
    *("deck", "screw", "hammer", "drill", "saw", "level", "clamp", "hose"),
    *("paint", "roller", "door", "hinge", "lamp", "glove", "wrench", "steel"),
)
STEP = 500_000
PEERS = {
    "nestvec check": "import nestvec; nestvec.check({path!r})",
    "pandas.read_csv": "import pandas; pandas.read_csv({path!r})",
}


def write_table(path: Path, count: int) -> None:
    """Queries that recur about ten times, documents three times, grades in thirds."""
    rng = np.random.default_rng(1)
    schema = pa.schema([("query", pa.string()), ("document", pa.string()), ("grade", pa.float64())])
    with csv.CSVWriter(path, schema) as writer:
        for first in range(0, count, STEP):
            size = min(STEP, count - first)
            query, document = rng.integers(0, count // 10, size), rng.integers(0, count // 3, size)
            columns = [
                [f"{WORDS[number % 16]} {WORDS[number // 16 % 16]} {number}" for number in query],
                [
                    f"{' '.join(WORDS[number // 16**place % 16] for place in range(6))} no. {number}"
                    for number in document
                ],
                rng.choice([1, 1.33, 1.67, 2, 2.33, 2.67, 3], size, p=[0.05, 0.05, 0.1, 0.3, 0.1, 0.1, 0.3]),
            ]
            writer.write_table(pa.table(columns, schema=schema))


def measured(code: str) -> tuple[float, float]:
    """Seconds and peak GiB of a Python process."""
    script = f"{code}\nimport resource; print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)"
    start = time.perf_counter()
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    return time.perf_counter() - start, int(done.stdout.splitlines()[-1]) / 2**20


def main() -> None:
    """Read one table by nestvec and by pandas, print seconds and memory, and end with a line of JSON."""
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 10_000_000
    with tempfile.TemporaryDirectory(prefix="nestvec-reading-") as folder:
        path = Path(folder) / "judged.csv"
        write_table(path, count)
        print(f"{count:,} rows, {path.stat().st_size / 2**20:.0f} MiB; {resource.getpagesize()} bytes a page")
        found = {name: measured(code.format(path=str(path))) for name, code in PEERS.items()}
    for name, (seconds, memory) in found.items():
        print(f"{name:<16} {seconds:8.1f} s {memory:6.2f} GiB peak")
    (ours, memory), (theirs, other) = found["nestvec check"], found["pandas.read_csv"]
    print(
        json.dumps(
            {
                "rows": count,
                "seconds": ours,
                "seconds_ratio": ours / theirs,
                "peak_ratio": memory / other,
                "peak_gib": memory,
            }
        )
    )


if __name__ == "__main__":
    main()
