"""Clients that crowd, idle, do not read, send halves or leave no pause, at `nestvec serve` under `ulimit -n 256`.

Beside each attack, clients that behave ask on, and every answer is compared with that of a single request: searches
value by value, vectors within 1e-5, as other texts of a pass move their last bits. Peaks of the server's memory are
among the figures.
"""

from __future__ import annotations

import asyncio
import base64
import json
import random
import signal
import socket
import subprocess
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
from _outcome import Outcome
from _server import Asked, Line, Lost, forget_peak, free_port, memory, request, start, started, wait_until_ready

from nestvec.runs.run import load_run

FILES = 256
CLIENTS = 64
CLOSE = 1e-5  # between numbers of two vectors of one text
TEXTS = 64  # that are asked for
REQUESTS = 20_000
FLAT = 0.05  # of the memory after a tenth of the requests
SLOW = 60  # clients that do not read
CUT = 40.0  # seconds after which none of them may be there: more than `--write-seconds`
HEALTHY = 8  # clients that behave, beside an attack
LAST = 60  # seconds from the last answer to the process's end
PATIENCE = 10.0  # seconds for a health check beside idle connections; the processors may be busy with others
TIMES = ("encode_ms", "search_ms")


def make_requests(run: Path, rng: random.Random, count: int) -> list[tuple[str, Asked]]:
    """Requests of every kind: vectors in both formats, searches in three modes at several points, what a run is."""
    finished = load_run(run)
    column = pq.read_table(finished.folder.path("records"), columns=["query"])["query"]
    texts = sorted(set(column.to_pylist()))
    texts = rng.sample(texts, min(count, len(texts))) + [f"nobody asked for {number} hammers" for number in range(16)]
    asked: list[tuple[str, Asked]] = [("/v1/run", None), ("/v1/models", None)]
    for text in texts:
        many = rng.sample(texts, 8)
        asked += [("/v1/embeddings", {"input": text}), ("/v1/embeddings", {"input": many, "dimensions": 48})]
        asked += [("/v1/embeddings", {"input": many, "encoding_format": "base64"})]
        asked += [("/v1/search", {"query": text, "mode": mode}) for mode in ("vectors", "words", "fused")]
        asked += [
            ("/v1/search", {"queries": many, "k": 30}),
            ("/v1/search", {"query": text, "weight": 0.3, "mode": "fused"}),
        ]
    return asked


def make_large(run: Path) -> Asked:
    """A request for 12 MB: as many documents as an answer may have, for queries whose vectors are there."""
    texts = load_run(run).queries.texts
    return {"queries": [texts[row % len(texts)] for row in range(256)], "k": 100}


def differ(alone: bytes, answer: bytes) -> str | None:
    """How an answer differs from that of a single request; None where it is the same."""
    first, second = json.loads(alone), json.loads(answer)
    if "data" in first and "usage" in first:
        one, two = vectors(first), vectors(second)
        if one.shape != two.shape or not np.abs(one - two).max() < CLOSE:
            return "other vectors"
        first["data"] = second["data"] = None
    for told in (first, second):
        for name in TIMES:
            told.pop(name, None)
    return None if first == second else "another answer"


def vectors(told: dict[str, Any]) -> np.ndarray:
    """(n, dimension) of an answer."""
    rows = [each["embedding"] for each in sorted(told["data"], key=lambda each: each["index"])]
    return np.array([np.frombuffer(base64.b64decode(row), "<f4") if isinstance(row, str) else row for row in rows])


@dataclass
class Attack:
    """A server under attack.

    Attributes:
        port: where it listens.
        process: it.
        alone: requests, with the answers to single ones.
    """

    outcome: Outcome
    port: int
    process: subprocess.Popen[bytes]
    rng: random.Random
    alone: list[tuple[str, Asked, bytes]] = field(default_factory=list)
    slowest: float = 0.0

    async def ask_alone(self, requests: list[tuple[str, Asked]]) -> None:
        """Ask each request while nobody else does; twice, as a first one may be what makes a cache."""
        line = Line(self.port)
        for path, asked in requests:
            for _ in range(2):
                status, body = await line.ask(path, asked)
            self.outcome.judge(f"alone {path}", None if status == 200 else f"{status}: {body[:200]!r}")
            self.alone.append((path, asked, body))
        line.close()

    async def compare(self, what: str, over: Callable[[], bool], *, small: bool = False) -> None:
        """Ask until it is over, and judge every answer."""
        line, known = Line(self.port), [each for each in self.alone if not small or len(each[2]) < 50_000]
        while not over():
            path, asked, alone = self.rng.choice(known)
            began = time.perf_counter()
            try:
                async with asyncio.timeout(60):
                    status, body = await line.ask(path, asked)
                problem = differ(alone, body) if status == 200 else f"{status}: {body[:200]!r}"
            except (Lost, OSError, TimeoutError) as error:
                problem = repr(error)
                await asyncio.sleep(0.1)
            self.slowest = max(self.slowest, time.perf_counter() - began)
            self.outcome.judge(f"{what} {path}", problem)
        line.close()

    async def beside(self, what: str, attack: Awaitable[None]) -> None:
        """Let clients ask while an attack goes on; its peak of memory, and the slowest answer, are kept."""
        forget_peak(self.process.pid)
        before, self.slowest, done = memory(self.process.pid), 0.0, asyncio.Event()
        async with asyncio.TaskGroup() as group:
            for _ in range(HEALTHY):
                group.create_task(self.compare(f"beside {what}", done.is_set, small=True))
            await attack
            done.set()
        peak, after = memory(self.process.pid, "VmHWM"), memory(self.process.pid)
        found = {"before_mb": before, "peak_mb": peak, "after_mb": after, "slowest_s": self.slowest}
        self.outcome.figures[what] = {name: round(value, 2) for name, value in found.items()}
        print(f"    {what:<28} {json.dumps(self.outcome.figures[what])}", flush=True)


async def crowd(attack: Attack, seconds: float) -> None:
    """64 clients without a pause."""
    end = time.perf_counter() + seconds
    before = attack.outcome.tried
    await asyncio.gather(*(attack.compare("crowd", lambda: time.perf_counter() > end) for _ in range(CLIENTS)))
    attack.outcome.figures["crowd"] = {"answers": attack.outcome.tried - before, "slowest_s": round(attack.slowest, 2)}
    print(f"    {'crowd':<28} {json.dumps(attack.outcome.figures['crowd'])}", flush=True)


def connect(port: int, sent: bytes = b"") -> socket.socket:
    """A connection that reads as little as can be, over which something was sent."""
    line = socket.socket()
    line.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    line.settimeout(120)
    line.connect(("127.0.0.1", port))
    line.sendall(sent)
    return line


async def read_slowly(attack: Attack, asked: Asked, clients: int, pause: float) -> None:
    """Clients that ask for much and do not read on, or with a pause read byte by byte; in the end none is kept."""
    seen: Counter[str] = Counter()

    def begin() -> socket.socket | None:
        line = connect(attack.port, request("/v1/search", asked))
        status = line.recv(12)[-3:].decode()
        seen[status] += 1
        if status == "200":
            return line
        line.close()
        return None

    files = open_files(attack.process.pid)
    begun = [await asyncio.to_thread(begin) for _ in range(clients)]
    lines = [line for line in begun if line]
    end = time.monotonic() + CUT
    while time.monotonic() < end:
        for line in lines if pause else ():
            with suppress(OSError):
                line.recv(1, socket.MSG_DONTWAIT)
        await asyncio.sleep(pause or 1)
    kept = open_files(attack.process.pid) - files
    what = f"slow readers, {pause:g} s"
    attack.outcome.figures[f"{what}: statuses"] = dict(seen)
    attack.outcome.judge(what, f"{kept} of {len(lines)} are kept" if kept > HEALTHY else None)
    for line in lines:
        line.close()


def open_files(pid: int) -> int:
    """Files that a process has open."""
    return sum(1 for _ in Path(f"/proc/{pid}/fd").iterdir())


async def send_halves(attack: Attack) -> None:
    """Heads that never end, bodies that never end, and bodies of 8 MB but for a byte."""
    size = 8 * 2**20
    head = b"POST /v1/embeddings HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n"
    whole = head + f"content-length: {size}\r\n\r\n".encode()
    kinds = [b"GET / HT", head, whole + b'{"inp', whole + b'{"input": "' + b"x" * (size - 100)]

    def begin(sent: bytes) -> socket.socket | None:
        with suppress(OSError):  # the server refused it while it was being sent
            return connect(attack.port, sent)
        return None

    lines = [await asyncio.to_thread(begin, kinds[number % len(kinds)]) for number in range(160)]
    await asyncio.sleep(10)
    for line in filter(None, lines):
        line.close()


async def stay_idle(attack: Attack, number: int) -> None:
    """Connections that say nothing, while health checks and a search are asked over new ones."""
    what = f"{number} idle connections"
    with ExitStack() as lines:
        for _ in range(number):
            with suppress(OSError):
                lines.enter_context(connect(attack.port))
        end, slowest = time.perf_counter() + 5, 0.0
        while time.perf_counter() < end:
            for path, asked in (("/healthz", None), ("/readyz", None), ("/v1/search", {"query": "hammer", "k": 1})):
                began = time.perf_counter()
                problem = await ask_once(attack.port, path, asked)
                took = time.perf_counter() - began
                slowest = max(slowest, took)
                late = f"after {took:.1f} s" if took > PATIENCE and not asked else None
                attack.outcome.judge(f"{path} beside {what}", problem or late)
            await asyncio.sleep(0.2)
    attack.outcome.figures[what] = [*attack.outcome.figures.get(what, []), round(slowest, 2)]


async def idle_from_the_start(attack: Attack, files: int) -> None:
    """Idle connections while models are loaded and what is asked first is made, then more and more of them."""
    process, port = attack.process, attack.port
    with ExitStack() as lines:
        while process.poll() is None and await ask_once(port, "/healthz"):
            await asyncio.sleep(0.1)
        for _ in range(files + 60):
            with suppress(OSError):
                lines.enter_context(connect(port))
        with suppress(SystemExit):
            await asyncio.to_thread(wait_until_ready, process, port)
        await asyncio.sleep(3)
    for number in (120, 1100, 2000):
        await stay_idle(attack, number)
    attack.outcome.judge(f"ulimit -n {files}", None if process.poll() is None else f"ended: {process.returncode}")
    process.terminate()
    attack.outcome.judge(f"the end under ulimit -n {files}", await wait_for_end(process))


async def wait_for_end(process: subprocess.Popen[bytes]) -> str | None:
    """Wait until a server that was told to stop has ended; what was wrong."""
    try:
        code = await asyncio.to_thread(process.wait, LAST)
    except subprocess.TimeoutExpired:
        process.kill()
        return f"it did not end within {LAST} s"
    return None if code == 0 else f"exit code {code}"


async def ask_once(port: int, path: str, asked: Asked = None) -> str | None:
    """Ask over a connection of its own; what was wrong."""
    line = Line(port)
    try:
        async with asyncio.timeout(30):
            status, body = await line.ask(path, asked)
        return None if status == 200 else f"{status}: {body[:100]!r}"
    except (Lost, OSError, TimeoutError) as error:
        return repr(error)
    finally:
        line.close()


async def ask_thousands(attack: Attack, requests: int) -> None:
    """Many requests, whose memory must not grow after the first tenth."""
    counted, pid = [0], attack.process.pid

    def enough(most: int) -> Callable[[], bool]:
        def over() -> bool:
            counted[0] += 1
            return counted[0] > most

        return over

    sizes = []
    for most in (requests // 10, *(requests * tenth // 10 for tenth in range(2, 11))):
        await asyncio.gather(*(attack.compare("thousands", enough(most)) for _ in range(16)))
        sizes.append(round(memory(pid), 1))
    attack.outcome.figures["thousands_mb"] = sizes
    print(f"    {'thousands':<28} {sizes} MB", flush=True)
    grown = sizes[-1] / sizes[0] - 1
    attack.outcome.judge(f"{requests} requests", f"{grown:.1%} more memory" if grown > FLAT else None)


async def stop_under_load(attack: Attack, sign: signal.Signals) -> None:
    """Clients ask on while a signal comes; what was sent before it must be answered."""
    stopped = float("inf")

    async def client() -> None:
        line = Line(attack.port)
        while True:
            path, asked, alone = attack.rng.choice(attack.alone)
            began = time.perf_counter()
            try:
                status, body = await line.ask(path, asked)
                problem = differ(alone, body) if status == 200 else f"{status}: {body[:100]!r}"
            except (Lost, OSError) as error:
                if began > stopped:
                    return
                problem = repr(error)
            attack.outcome.judge(f"{sign.name} {path}", problem)

    clients = [asyncio.create_task(client()) for _ in range(32)]
    await asyncio.sleep(attack.rng.uniform(1, 2))
    attack.process.send_signal(sign)
    stopped = time.perf_counter()
    _, hanging = await asyncio.wait(clients, timeout=60)
    attack.outcome.judge(f"clients after {sign.name}", f"{len(hanging)} wait on" if hanging else None)
    attack.outcome.judge(f"the end after {sign.name}", await wait_for_end(attack.process))
    attack.outcome.figures.setdefault("ends_s", []).append(round(time.perf_counter() - stopped, 1))


def attack(run: Path, folder: Path, effort: float, seed: int) -> Outcome:
    """All attacks; see the module."""
    outcome, rng = Outcome("server"), random.Random(seed)
    requests = make_requests(run, rng, max(8, int(TEXTS * effort)))
    large, serve = make_large(run), ["-m", "nestvec", "serve", run, "--port"]
    with started([*serve, port := free_port()], port, FILES, folder / "log") as process:
        under = Attack(outcome, port, process, rng)

        async def everything() -> None:
            await under.ask_alone(requests)
            await crowd(under, 60 * effort)
            await ask_thousands(under, int(REQUESTS * effort))
            await under.beside("half requests", send_halves(under))
            for pause in (0, 1):
                await under.beside(
                    f"slow readers, {pause} s", read_slowly(under, large, max(8, int(SLOW * effort)), pause)
                )

        asyncio.run(everything())
        outcome.judge("the server lives", None if process.poll() is None else f"it ended with {process.returncode}")
    for files in (64, 256, 1024):
        process = start([*serve, port := free_port()], files, folder / "log")
        asyncio.run(idle_from_the_start(Attack(outcome, port, process, rng), files))
    for sign in (signal.SIGTERM, signal.SIGHUP) * max(1, int(5 * effort)):
        with started([*serve, port := free_port()], port, FILES, folder / "log") as process:
            stopping = Attack(outcome, port, process, rng)

            async def stop(stopping: Attack = stopping, sign: signal.Signals = sign) -> None:
                await stopping.ask_alone(rng.sample(requests, 20))
                await stop_under_load(stopping, sign)

            asyncio.run(stop())
    told = (folder / "log").read_text()
    outcome.judge("the log", "a traceback" if "Traceback" in told else None)
    return outcome
