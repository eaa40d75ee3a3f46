"""Starting, stopping and being killed under load; how long a restart takes is in benchmarks/restart.py.

Oracles: exit codes as `nestvec.errors` has them; POSIX signals.
"""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import httpx2 as httpx
import pytest
from running import LONG, serving, until
from shared_runs import copy_run

pytestmark = pytest.mark.slow  # servers that are killed and load their models again

LOST = (httpx.ConnectError, httpx.ReadError, httpx.WriteError, httpx.RemoteProtocolError, httpx.CloseError)


@pytest.mark.parametrize("sign", [signal.SIGTERM, signal.SIGHUP])
def test_what_is_in_flight_is_answered_before_the_end(shop, sign):
    with serving(shop) as server, socket.create_connection(server.place, timeout=30) as kept:

        def ask(number):
            asked = {"model": "mnr", "input": [f"text {number} {row} " + "hammer " * 50 for row in range(20)]}
            return httpx.post(f"{server.url}/v1/embeddings", json=asked, timeout=LONG)

        with ThreadPoolExecutor(16) as pool:
            waiting = [pool.submit(ask, number) for number in range(16)]
            until(lambda: server.meter("nestvec_queue_texts") == 320)
            server.process.send_signal(sign)
            kept.sendall(b"GET /readyz HTTP/1.1\r\nhost: localhost\r\n\r\n")
            told = kept.recv(65_536)
            answers = [each.result() for each in waiting]
        assert [answer.status_code for answer in answers] == [200] * 16
        assert all(len(answer.json()["data"]) == 20 for answer in answers)
        # a connection that is kept is told of the end, unless it asked before the signal was seen
        ending = told.startswith(b"HTTP/1.1 503") and b"connection: close" in told and b"draining" in told
        assert ending or told.startswith(b"HTTP/1.1 200")
        assert server.process.wait(LONG) == 0
        with pytest.raises(httpx.ConnectError):
            httpx.get(f"{server.url}/healthz")
        assert "Traceback" not in server.log.read_text()


def test_it_ends_well_while_it_loads(shop):
    with serving(shop, ready=False) as server:
        until(lambda: httpx.get(f"{server.url}/healthz").status_code == 200, server)
        assert server.end(signal.SIGINT) == 0, server.log.read_text()
        assert "Traceback" not in server.log.read_text()


def test_killed_under_load_it_is_back_and_clients_saw_lost_connections_only(shop):
    with serving(shop) as server, asking(server.url) as found:
        until(lambda: found["answers"] > 50, server)
        server.process.send_signal(signal.SIGKILL)
        assert server.process.wait(LONG) == -signal.SIGKILL
        before = found["answers"]
        with serving(shop, port=server.place[1]) as again:
            until(lambda: found["answers"] > before + 50, again)
            assert not found["wrong"] and found["lost"] > 0


@contextmanager
def asking(url):
    """Clients that go on asking while the block runs; what they see."""
    found, over = {"answers": 0, "lost": 0, "wrong": []}, threading.Event()
    clients = [threading.Thread(target=_ask, args=(url, over, found), daemon=True) for _ in range(8)]
    for client in clients:
        client.start()
    try:
        yield found
    finally:
        over.set()
        for client in clients:
            client.join(LONG)


def _ask(url, over, found):
    """A client that goes on asking; notes what it sees."""
    while not over.is_set():
        with httpx.Client(base_url=url, timeout=LONG) as client:
            try:
                while not over.is_set():
                    status = client.post("/v1/embeddings", json={"input": "hammer", "model": "mnr"}).status_code
                    if status == 200:
                        found["answers"] += 1
                    else:
                        found["wrong"].append(status)
            except LOST:
                found["lost"] += 1
                time.sleep(0.1)


def failing(*words):
    """Exit code and output of a server that cannot start."""
    done = subprocess.run(
        [sys.executable, "-m", "nestvec", "serve", *map(str, words)], capture_output=True, text=True, timeout=LONG,
    )  # fmt: skip
    return done.returncode, done.stdout + done.stderr


def test_what_stops_it_from_starting_is_one_message(shop, tmp_path, typed):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        code, told = failing(shop, "--port", port)
    assert code == 2 and f"127.0.0.1:{port}" in told and len(told.splitlines()) == 1
    (tmp_path / "key").write_text("")
    for words in (
        (tmp_path, "--port", 0),
        (tmp_path / "nowhere", "--port", 0),
        (shop, "--port", 0, "--api-key", tmp_path / "key"),
        (shop, "--port", 0, "--host", "no.such.host.example"),
        (shop, "--port", 0, "--backend", "steam"),
        (shop, "--batch", 0),
        (shop, "--port", 0, "--store", "embedded"),  # no index was built
    ):
        code, _, told = typed("serve", *words)
        assert code == 2, told
        assert "Traceback" not in told and told.splitlines()[-1].startswith("nestvec: ")


def test_a_model_that_cannot_be_loaded_is_one_message(shop, tmp_path):
    run = copy_run(shop, tmp_path / "run")
    config = run / "models" / "mnr" / "config.json"
    told = json.loads(config.read_text())
    config.write_text(json.dumps({**told, "hidden_size": 385}))
    code, told = failing(run, "--port", 0)
    assert code == 2, told
    assert "Traceback" not in told and told.splitlines()[-1].startswith("nestvec: ")
