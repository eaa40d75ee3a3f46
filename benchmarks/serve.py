"""`nestvec serve` beside a plain FastAPI server, under as many clients at once, on the same texts.

    python benchmarks/serve.py --run DIR [--seconds 60] [--clients 64] [--texts queries] [--rounds 3]

DIR is a finished run. The plain server is what the documents of its libraries show: a `def` route that calls
`SentenceTransformer.encode` on the same model, under uvicorn. Both are processes of their own; a third one asks, over
as many connections as there are clients, each with one text at a time and the next as soon as an answer is there.
Texts are the run's `queries` or `documents`, in an order of each client's own. Of `--seconds`, every server gets as
much, in `--rounds` turns that alternate. Vectors are never remembered between requests; searches (the third line) are
of queries that the run never saw, each with a number of its own.

A failed request is any that is not answered with 200. Then: answers a second, the median and the 99th percentile of
milliseconds, the processors' milliseconds that the server spent on an answer, which others on the machine disturb less,
and texts a pass. The last line is JSON; its ratios are nestvec's answers a second over the plain server's in the same
turn, and the median over turns. Exit code 1 where a request failed.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import re
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import pyarrow.parquet as pq
from _server import free_port, processor_seconds, started

from nestvec.runs.point_files import open_system
from nestvec.runs.run import load_run

PLAIN = """
import sys
import uvicorn
from fastapi import FastAPI
from pydantic import BaseModel
from sentence_transformers import SentenceTransformer

model = SentenceTransformer(sys.argv[1])
app = FastAPI()


class Asked(BaseModel):
    input: str | list[str]


@app.post("/v1/embeddings")
def embed(asked: Asked):
    vectors = model.encode(asked.input if isinstance(asked.input, list) else [asked.input], normalize_embeddings=True)
    data = [{"object": "embedding", "index": row, "embedding": each.tolist()} for row, each in enumerate(vectors)]
    return {"object": "list", "data": data, "model": sys.argv[1]}


@app.get("/readyz")
def readyz():
    return {}


uvicorn.run(app, port=int(sys.argv[2]), access_log=False, log_level="error")
"""
WANTED = 3.0  # times the plain server
WARM = 2.0  # seconds that do not count
ASKED = {"plain": "/v1/embeddings", "nestvec": "/v1/embeddings", "search": "/v1/search"}


async def ask(way: str, port: int, texts: list[str], clients: int, seconds: float) -> dict[str, Any]:
    """Keep so many clients busy; milliseconds of each answer, and what failed."""
    spent, failed = list[float](), list[str]()
    end = time.perf_counter() + seconds

    async def client(number: int) -> None:
        rng = random.Random(f"{way} {number} {time.time()}")
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        while (began := time.perf_counter()) < end:
            text = rng.choice(texts)
            asked = {"query": f"{text} {rng.randrange(10**6)}"} if way == "search" else {"input": text}
            body = json.dumps(asked).encode()
            head = f"POST {ASKED[way]} HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n"
            writer.write(f"{head}content-length: {len(body)}\r\n\r\n".encode() + body)
            try:
                told = await reader.readuntil(b"\r\n\r\n")
                await reader.readexactly(int(re.search(rb"content-length: (\d+)", told)[1]))  # type: ignore[index]
            except (OSError, asyncio.IncompleteReadError) as error:
                failed.append(repr(error))
                return
            spent.append(1000 * (time.perf_counter() - began))
            if not told.startswith(b"HTTP/1.1 200"):
                failed.append(told.split(b"\r\n")[0].decode())
        writer.close()

    await asyncio.gather(*(client(number) for number in range(clients)))
    return {"ms": spent, "failed": failed}


def turn(way: str, port: int, pid: int, options: argparse.Namespace, texts: Path) -> dict[str, Any]:
    """One turn, asked by a process of its own."""
    seconds = options.seconds / options.rounds
    words = [__file__, "--ask", way, "--port", str(port), "--clients", str(options.clients), "--from", str(texts)]
    run = [sys.executable, *words, "--seconds"]
    subprocess.run([*run, str(WARM)], check=True, capture_output=True)
    before = processor_seconds(pid)
    found = json.loads(subprocess.run([*run, str(seconds)], check=True, capture_output=True, text=True).stdout)
    return {
        **found,
        "rate": len(found["ms"]) / seconds,
        "work": 1000 * (processor_seconds(pid) - before) / len(found["ms"]),
    }


def passes(port: int) -> float:
    """Texts a pass through a model."""
    told = urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=30).read().decode()
    texts, count = (
        sum(map(float, re.findall(rf"^nestvec_batch_texts_{part}{{.*}} (\S+)$", told, re.MULTILINE)))
        for part in ("sum", "count")
    )
    return texts / max(count, 1)


def take_turns(options: argparse.Namespace, model: Path, source: Path) -> tuple[dict[str, list[dict[str, Any]]], float]:
    """What each turn of each way found, and texts a pass."""
    ports = {"plain": free_port(), "nestvec": free_port()}
    ports["search"] = ports["nestvec"]
    stock = ["-c", PLAIN, str(model), str(ports["plain"])]
    own = ["-m", "nestvec", "serve", str(options.run), "--port", str(ports["nestvec"]), "--backend", options.backend]
    with started(stock, ports["plain"]) as plain, started(own, ports["nestvec"]) as ours:
        pids = {"plain": plain.pid, "nestvec": ours.pid, "search": ours.pid}
        turns: dict[str, list[dict[str, Any]]] = {way: [] for way in ASKED}
        for number in range(options.rounds):
            for way in list(ASKED) if number % 2 else list(ASKED)[::-1]:
                turns[way].append(turn(way, ports[way], pids[way], options, source))
        return turns, passes(ports["nestvec"])


def show(turns: dict[str, list[dict[str, Any]]]) -> dict[str, dict[str, float]]:
    """The table, printed; its rows."""
    heads, rows = ("a second", "p50 ms", "p99 ms", "work ms", "failed"), {}
    print(f"{'':<28}" + "".join(f"{head:>10}" for head in heads))
    for way, found in turns.items():
        spent, failed = ([each for one in found for each in one[key]] for key in ("ms", "failed"))
        p50, p99 = (float(np.percentile(spent, part)) for part in (50, 99))
        rate, work = (median(one[key] for one in found) for key in ("rate", "work"))
        rows[way] = {"rate": rate, "p50_ms": p50, "p99_ms": p99, "work_ms": work, "failed": len(failed)}
        shown = "".join(f"{figure:>10.1f}" for figure in (rate, p50, p99, work))
        print(f"{way + ' ' + ASKED[way]:<28}{shown}{len(failed):>10}  {', '.join(sorted(set(failed))[:3])}")
    return rows


def measure(options: argparse.Namespace) -> dict[str, Any]:
    """Print what was found; returns what the last line says."""
    finished = load_run(options.run)
    system = finished.chosen.vectors.system
    model = open_system(finished, system).model.path
    column = {"queries": "query", "documents": "document"}[options.texts]
    texts = list(dict.fromkeys(pq.read_table(finished.folder.path("records"), columns=[column])[column].to_pylist()))
    with tempfile.TemporaryDirectory(prefix="nestvec-serve-") as held:
        source = Path(held) / "texts.json"
        source.write_text(json.dumps(texts))
        turns, together = take_turns(options, model, source)
    print(f"{system}, {len(texts):,} {options.texts}, {options.clients} clients, {options.seconds:g} s for each")
    rows = show(turns)
    ratios = [own["rate"] / other["rate"] for own, other in zip(turns["nestvec"], turns["plain"], strict=True)]
    work = rows["plain"]["work_ms"] / rows["nestvec"]["work_ms"]
    print(f"{median(ratios):.2f} times the plain server, wanted {WANTED}; {work:.2f} times by work")
    return {
        "clients": options.clients,
        "seconds": options.seconds,
        "texts": options.texts,
        "ratio": median(ratios),
        "ratios": ratios,
        "work_ratio": work,
        "texts_a_pass": together,
        "failed": sum(int(row["failed"]) for row in rows.values()),
        "rows": rows,
    }


def main() -> None:
    """Measure and print; or ask, as one of the processes that are started for it."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--run", type=Path, help="the folder of a finished run")
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--clients", type=int, default=64)
    parser.add_argument("--texts", choices=("queries", "documents"), default="queries")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--backend", default="kept", help="of nestvec")
    parser.add_argument("--ask", choices=tuple(ASKED), help=argparse.SUPPRESS)
    parser.add_argument("--port", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--from", dest="source", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.ask:
        texts = json.loads(options.source.read_text())
        print(json.dumps(asyncio.run(ask(options.ask, options.port, texts, options.clients, options.seconds))))
        return
    if options.run is None:
        parser.error("--run is missing")
    found = measure(options)
    print(json.dumps(found))
    sys.exit(found["failed"] > 0)


if __name__ == "__main__":
    main()
