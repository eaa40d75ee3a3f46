"""How soon `nestvec serve` is ready after a kill under load, beside a process that does nothing but load the models.

    python benchmarks/restart.py --run DIR [--rounds 3] [--clients 16]

Each round, SIGKILL ends a server that clients keep busy; the time is from the next start to the first 200 of
`/readyz`, while the clients go on asking. The peer imports sentence-transformers and loads the same models. A client
may see a connection that is refused or lost, and 503 while models are being loaded; anything else is a failure, and
exit code 1. The last line is JSON: the ratio of both times, the median over rounds.
"""

from __future__ import annotations

import argparse
import json
import signal
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from pathlib import Path
from statistics import median
from typing import Any

from _server import free_port, start, wait_until_ready

from nestvec.runs.point_files import open_system
from nestvec.runs.run import load_run

PLAIN = "import sys; from sentence_transformers import SentenceTransformer as M; [M(path) for path in sys.argv[1:]]"


def started(run: Path, port: int) -> tuple[subprocess.Popen[bytes], float]:
    """A server that is ready, and the seconds that it took."""
    began = time.perf_counter()
    process = start(["-m", "nestvec", "serve", run, "--port", port])
    wait_until_ready(process, port)
    return process, time.perf_counter() - began


def ask(port: int, over: threading.Event, seen: dict[str, int]) -> None:
    """A client that goes on asking, and counts what it sees."""
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}/v1/embeddings", b'{"input": "hammer"}', {"Content-Type": "application/json"}
    )
    while not over.is_set():
        try:
            urllib.request.urlopen(request, timeout=60).close()
            what = "answered"
        except urllib.error.HTTPError as error:
            what = "loading" if error.code == 503 else "wrong"
        except OSError:
            what = "no connection"
        seen[what] = seen.get(what, 0) + 1
        if what != "answered":
            time.sleep(0.1)


def measure(run: Path, rounds: int, clients: int) -> dict[str, Any]:
    """Print a line for each round; returns what the last line says."""
    finished = load_run(run)
    models = [
        str(open_system(finished, name).model.path) for name, point in finished.full_width.items() if point.dimension
    ]
    port = free_port()
    process, _ = started(run, port)
    over, seen, ratios = threading.Event(), dict[str, int](), []
    threads = [threading.Thread(target=ask, args=(port, over, seen)) for _ in range(clients)]
    for thread in threads:
        thread.start()
    print(f"{len(models)} models, {clients} clients\n{'plain s':>10}{'restart s':>12}{'ratio':>8}")
    for _ in range(rounds):
        time.sleep(2)
        process.send_signal(signal.SIGKILL)
        process.wait()
        began = time.perf_counter()  # while clients ask in vain, as they do at the restart
        subprocess.run([sys.executable, "-c", PLAIN, *models], check=True, capture_output=True)
        plain = time.perf_counter() - began
        process, took = started(run, port)
        ratios.append(took / plain)
        print(f"{plain:>10.1f}{took:>12.1f}{ratios[-1]:>8.2f}")
    over.set()
    for thread in threads:
        thread.join()
    process.terminate()
    ended = process.wait(60)
    print(f"{seen}; exit code {ended}")
    return {"ratio": median(ratios), "ratios": ratios, "seen": seen, "failed": seen.get("wrong", 0), "ended": ended}


def main() -> None:
    """Kill and restart a server under load, and end with a line of JSON."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--run", type=Path, required=True, help="the folder of a finished run")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--clients", type=int, default=16)
    options = parser.parse_args()
    found = measure(options.run, options.rounds, options.clients)
    print(json.dumps(found))
    sys.exit(found["failed"] > 0 or found["ended"] != 0)


if __name__ == "__main__":
    main()
