"""Connections that idle, crowd, or do not read, at a real server of a small application.

Oracles: the bytes that were to be sent, RFC 9110 (503, Retry-After), and the limits as they were set.
"""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
import threading
import time
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

import httpx2 as httpx
import pytest
from running import until
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from nestvec.serving import failures
from nestvec.serving.capacity import SMALL, Capacity
from nestvec.serving.json_answers import JsonAnswer
from nestvec.serving.prometheus_meters import Meters
from nestvec.serving.request_guard import READY, Guard, Health
from nestvec.serving.serving_options import ServingOptions
from nestvec.serving.uvicorn_server import Server, _ending_signals

PLACES = 4
BIG = bytes(range(256)) * 2**16  # 16 MB: more than the kernel holds between two sockets
NEVER = 60.0


@dataclass
class Small:
    """A small application behind the guard, and where it answers."""

    options: ServingOptions
    release: threading.Event = field(default_factory=threading.Event)

    def __post_init__(self):
        self.answers = Capacity(self.options.max_held, failures.too_many_bytes, SMALL)
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.place = self.listener.getsockname()
        self.url = f"http://127.0.0.1:{self.place[1]}"

    def app(self):
        def small(_):
            return PlainTextResponse("small")

        async def big(request):
            await request.body()
            return JsonAnswer(BIG, self.answers)

        def held(_):  # in a thread
            assert self.release.wait(NEVER)
            return PlainTextResponse("held")

        async def stalled(_):  # the loop does nothing else meanwhile, as on a machine that is busy
            time.sleep(0.5)
            return PlainTextResponse("stalled")

        routes = {"/healthz": small, "/v1/small": small, "/v1/big": big, "/v1/held": held, "/v1/stalled": stalled}
        app = Starlette(routes=[Route(path, answer, methods=["GET", "POST"]) for path, answer in routes.items()])
        failures.install_handlers(app)
        return app


@contextmanager
def running(**options):
    """The small application, served in a thread."""
    small, health = Small(ServingOptions(**options)), Health(phase=READY)
    server = Server(Guard(small.app(), small.options, health, Meters()), small.options, health, PLACES)
    thread = threading.Thread(target=server.run, args=([small.listener],))
    thread.start()
    try:
        until(lambda: server.started, seconds=20)
        yield small
    finally:
        small.release.set()
        server.should_exit = True
        thread.join(NEVER)
        assert not thread.is_alive()


def connect(small, path=None, rest=b"\r\n"):
    """A connection with a small buffer, over which a path may have been asked for."""
    line = socket.socket()
    line.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    line.settimeout(20)
    line.connect(small.place)
    if path:
        line.sendall(b"GET " + path + b" HTTP/1.1\r\nhost: localhost\r\n" + rest)
    return line


def closed(line):
    """Whether the server closes, or has closed, without a word, before a head's time is over."""
    line.settimeout(ServingOptions().header_seconds / 2)
    with suppress(ConnectionResetError):
        return line.recv(1) == b""
    return True


def test_whoever_was_idle_longest_makes_room():
    with running() as small:
        idle = [connect(small) for _ in range(PLACES)]
        idle[0].sendall(b"GET /v1/small HTTP/1.1\r\nhost: localhost\r\n\r\n")  # then it has been idle shortest
        assert idle[0].recv(65_536).startswith(b"HTTP/1.1 200")
        time.sleep(0.2)
        assert httpx.get(f"{small.url}/v1/small").status_code == 200
        assert closed(idle[1])
        for line in (idle[0], idle[2], idle[3]):
            line.sendall(b"GET /v1/small HTTP/1.1\r\nhost: localhost\r\n\r\n")
            assert line.recv(65_536).startswith(b"HTTP/1.1 200")
        for line in idle:
            line.close()


def test_who_came_while_the_loop_stalled_makes_room_in_the_order_of_coming():
    with running() as small:
        with connect(small, b"/v1/stalled") as stalling:
            together = [connect(small) for _ in range(PLACES - 1)]  # taken within one tick of the loop's clock
            assert stalling.recv(65_536).startswith(b"HTTP/1.1 200")
        newcomers = [connect(small)]
        for line in together:
            time.sleep(0.1)
            newcomers.append(connect(small))
            assert closed(line)
        for line in together + newcomers:
            line.close()


def test_hundreds_of_idle_connections_leave_room():
    with running() as small:
        idle = [connect(small, b"/v1/small", rest=b"half: a he" if number % 2 else b"") for number in range(200)]
        began = time.monotonic()
        assert httpx.get(f"{small.url}/healthz", timeout=20).status_code == 200
        assert time.monotonic() - began < 10
        for line in idle:
            line.close()


def test_where_nobody_is_idle_newcomers_are_told_so_and_health_checks_answered():
    with running() as small:
        busy = [connect(small, b"/v1/held") for _ in range(PLACES)]
        time.sleep(0.3)
        newcomers = [connect(small, b"/v1/small") for _ in range(40)]
        for line in newcomers:
            told = b""
            while part := line.recv(65_536):  # to its end: the connection is closed
                told += part
            assert told.startswith(b"HTTP/1.1 503") and b'"error"' in told and b"retry-after: 2" in told.lower()
        assert httpx.get(f"{small.url}/healthz", timeout=20).status_code == 200
        small.release.set()
        for line in busy:
            assert line.recv(65_536).startswith(b"HTTP/1.1 200")
        until(lambda: httpx.get(f"{small.url}/v1/small", timeout=20).status_code == 200, seconds=10)  # one is idle now
        for line in busy + newcomers:
            line.close()


def test_who_takes_nothing_is_cut_and_holds_so_much_at_most():
    with running(write_seconds=1, max_held=2 * len(BIG) - 1) as small:
        assert httpx.get(f"{small.url}/v1/big", timeout=20).content == BIG
        with connect(small, b"/v1/big") as line:
            until(lambda: small.answers.reserved == len(BIG), seconds=20)
            refused = httpx.get(f"{small.url}/v1/big", timeout=20)
            assert refused.status_code == 503 and refused.json()["error"]["code"] == "unavailable"
            assert int(refused.headers["retry-after"]) >= 1
            assert httpx.get(f"{small.url}/v1/small").status_code == 200
            until(lambda: small.answers.reserved == 0, seconds=10)
            with suppress(ConnectionResetError):
                while line.recv(2**20):
                    pass
        assert httpx.get(f"{small.url}/v1/big", timeout=20).content == BIG


def test_a_lone_answer_of_any_size_is_sent():
    with running(max_held=1) as small:
        assert httpx.get(f"{small.url}/v1/big", timeout=20).content == BIG
        assert httpx.post(f"{small.url}/v1/big", json="x" * 100_000, timeout=20).content == BIG


def test_bodies_are_held_up_to_a_limit():
    large = b"content-type: application/json\r\ncontent-length: 100000\r\n\r\n"
    with running(max_held=150_000, body_seconds=1) as small:
        with connect(small) as line:
            line.sendall(b"POST /v1/big HTTP/1.1\r\nhost: localhost\r\n" + large + b"half of it")
            time.sleep(0.3)
            assert httpx.post(f"{small.url}/v1/small", json="x" * 100_000).status_code == 503
            assert httpx.post(f"{small.url}/v1/small", json="x").status_code == 200
            assert line.recv(65_536).startswith(b"HTTP/1.1 408")
        assert httpx.post(f"{small.url}/v1/small", json="x" * 100_000).status_code == 200


FIT = """
import resource
from nestvec.serving.open_files import fit_to_open_files
print(fit_to_open_files(900), resource.getrlimit(resource.RLIMIT_NOFILE)[0])
"""


@pytest.mark.skipif(sys.platform != "linux", reason="prlimit is Linux's")
def test_connections_follow_ulimit():
    def fitted(soft, hard):
        words = ["prlimit", f"--nofile={soft}:{hard}", sys.executable, "-c", FIT]
        done = subprocess.run(words, capture_output=True, text=True, check=False)
        return tuple(map(int, done.stdout.split())) or done.stderr

    connections, soft = fitted(64, 4096)
    assert connections == 900 and 900 < soft < 1000  # raised as far as need be
    assert fitted(2000, 4096) == (900, 2000)
    connections, soft = fitted(64, 64)
    assert 8 <= connections <= 32 and soft == 64
    assert "ulimit -n" in fitted(30, 30)


@pytest.mark.skipif(not hasattr(signal, "SIGHUP"), reason="Windows has none")
def test_nohup_is_heard():
    before = signal.getsignal(signal.SIGHUP)
    try:
        signal.signal(signal.SIGHUP, signal.SIG_DFL)
        assert signal.SIGHUP in _ending_signals()
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        assert signal.SIGHUP not in _ending_signals()
    finally:
        signal.signal(signal.SIGHUP, before)
