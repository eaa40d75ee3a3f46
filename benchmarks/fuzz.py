"""Ten thousand broken inputs and a few bombs through the readers: each must load or end with one line within 10 s.

    python benchmarks/fuzz.py [COUNT] [SEED]

What gets through is kept in a folder named at the end; put it into tests/data/failed_once with the mending commit.
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
import traceback
from collections import Counter
from itertools import chain
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))
from mutations import broken_inputs, load_outcome, make_bombs


def main() -> None:
    """Run and print."""
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 10_000
    seed = int(sys.argv[2]) if len(sys.argv) > 2 else 1
    kept = Path(tempfile.mkdtemp(prefix="nestvec-fuzz-"))
    tally: Counter[str] = Counter()
    slowest = (0.0, "")
    for number, (name, content) in enumerate(chain(broken_inputs(seed, count), make_bombs())):
        path = kept / name
        path.write_bytes(content)
        start = time.perf_counter()
        try:
            result = load_outcome(path)
        except BaseException as error:
            print(f"{name}: {type(error).__name__}: {error}")
            traceback.print_exc(limit=-4)
            tally["got through"] += 1
            continue
        slowest = max(slowest, (time.perf_counter() - start, name))
        tally["loaded" if result == "loaded" else "refused"] += 1
        path.unlink()
        if number % 1000 == 999:
            print(f"{number + 1} inputs: {dict(tally)}, slowest {slowest[0]:.2f} s", flush=True)
    print(f"slowest: {slowest[1]} in {slowest[0]:.2f} s; what got through: {kept}")
    print(json.dumps({"inputs": sum(tally.values()), **tally, "slowest_s": round(slowest[0], 2)}))


if __name__ == "__main__":
    main()
