"""Keys, hosts, sizes, slow clients, full queues, and texts of many requests in one pass.

Oracles: RFC 9110 (statuses, WWW-Authenticate, Retry-After), RFC 6750 (Bearer), the limits as given on the command line,
and the server's own counts.
"""

from __future__ import annotations

import json
import socket
import time
from concurrent.futures import ThreadPoolExecutor

import httpx2 as httpx
import pytest
from running import LONG, serving, until

from nestvec.errors import InputError
from nestvec.serving.serving_options import ServingOptions, read_key

pytestmark = pytest.mark.slow  # servers with limits of their own, and time-outs

KEY = "a-key-of-23-signs-it-is"
SHOWN = {"authorization": f"Bearer {KEY}"}
LIMIT = 20_000
SECONDS = 1
QUEUE = 8


@pytest.fixture(scope="module")
def strict(shop, tmp_path_factory):
    """A server with a key and small limits."""
    key = tmp_path_factory.mktemp("key") / "key"
    key.write_text(f"{KEY}\n")
    limits = {"max-body": LIMIT, "body-seconds": SECONDS, "header-seconds": SECONDS, "queue": QUEUE}
    words = [word for name, value in limits.items() for word in (f"--{name}", value)]
    with serving(shop, "--api-key", key, "--cors", "https://shop.example", *words) as server:
        yield server


def failed(answer, status):
    assert answer.status_code == status, answer.text
    assert set(answer.json()) == {"error", "detail"}
    return answer


def post(server, asked, **headers):
    return httpx.post(f"{server.url}/v1/embeddings", json=asked, headers={**SHOWN, **headers}, timeout=60)


@pytest.mark.parametrize("path", ["/v1/models", "/v1/run", "/v1/nowhere", "/metrics", "/docs", "/openapi.json"])
@pytest.mark.parametrize("shown", [None, "", "Bearer", "Bearer wrong", f"Basic {KEY}", f"Bearer {KEY}x", KEY])
def test_a_key_is_asked_for(strict, path, shown):
    headers = {} if shown is None else {"authorization": shown}
    answer = failed(httpx.get(strict.url + path, headers=headers), 401)
    assert answer.headers["www-authenticate"] == "Bearer"
    assert KEY not in answer.text


def test_the_key_opens(strict):
    for path in ("/v1/models", "/v1/run", "/metrics", "/docs", "/openapi.json"):
        assert httpx.get(strict.url + path, headers=SHOWN, timeout=60).status_code == 200  # the first waits for BM25
    assert httpx.get(f"{strict.url}/v1/models", headers={"authorization": f"bearer {KEY}"}).status_code == 200
    described = httpx.get(f"{strict.url}/openapi.json", headers=SHOWN).json()
    assert described["paths"]["/v1/search"]["post"]["security"] == [{"key": []}]
    assert "security" not in described["paths"]["/healthz"]["get"]
    assert KEY not in strict.log.read_text()


def test_what_says_nothing_of_the_run_is_open(strict):
    for path in ("/", "/healthz", "/readyz"):
        assert httpx.get(strict.url + path).status_code == 200


def test_a_wrong_key_costs_no_body(strict):
    with socket.create_connection(strict.place, timeout=30) as line:
        line.sendall(
            b"POST /v1/embeddings HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n"
            b"content-length: 1000000\r\n\r\n"
        )
        assert line.recv(100).startswith(b"HTTP/1.1 401")


def test_pages_of_the_named_origin_may_ask(strict):
    wanted = {"access-control-request-method": "POST", "access-control-request-headers": "authorization,content-type"}
    asked = httpx.options(f"{strict.url}/v1/search", headers={"origin": "https://shop.example", **wanted})
    assert asked.status_code == 200 and asked.headers["access-control-allow-origin"] == "https://shop.example"
    other = httpx.options(f"{strict.url}/v1/search", headers={"origin": "https://other.example", **wanted})
    assert "access-control-allow-origin" not in other.headers
    answer = httpx.get(f"{strict.url}/v1/models", headers={"origin": "https://shop.example", **SHOWN})
    assert answer.headers["access-control-allow-origin"] == "https://shop.example"


@pytest.mark.parametrize("host", ["evil.example", "localhost.evil.example", "", "127.0.0.1.evil.example:80", "[::2]"])
def test_other_hosts_are_refused(strict, host):
    failed(httpx.get(f"{strict.url}/healthz", headers={"host": host}), 421)


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST:99", "127.0.0.1", "[::1]:8321"])
def test_own_names_are_not(strict, host):
    assert httpx.get(f"{strict.url}/healthz", headers={"host": host}).status_code == 200


def test_too_long_a_body_is_refused_by_its_head_and_while_it_comes(strict):
    url, headers = f"{strict.url}/v1/embeddings", {**SHOWN, "content-type": "application/json"}
    body = b'{"input": "' + b"x" * (LIMIT + 1) + b'"}'
    failed(httpx.post(url, content=body, headers=headers), 413)
    pieces = (body[first : first + 1000] for first in range(0, len(body), 1000))
    failed(httpx.post(url, content=pieces, headers=headers), 413)
    fits = b'{"input": "' + b"x " * (LIMIT // 2 - 7) + b'"}'
    assert httpx.post(url, content=fits, headers=headers, timeout=60).status_code == 200
    with socket.create_connection(strict.place, timeout=30) as line:  # nothing of the body was sent yet
        line.sendall(_head(10**12))
        assert line.recv(100).startswith(b"HTTP/1.1 413")


def test_a_slow_body_is_not_waited_for(strict):
    with socket.create_connection(strict.place, timeout=30) as line:
        line.sendall(_head(1000) + b'{"input"')
        began = time.monotonic()
        answer = _all(line)
    assert answer.startswith(b"HTTP/1.1 408") and b'"error"' in answer
    assert SECONDS * 0.9 <= time.monotonic() - began < 20


@pytest.mark.parametrize("sent", [b"", b"GET / HTTP/1.1\r\nhost: local", b"\r\n"])
def test_a_slow_head_is_not_waited_for(strict, sent):
    with socket.create_connection(strict.place, timeout=30) as line:
        line.sendall(sent)
        began = time.monotonic()
        assert not _all(line)
    assert SECONDS * 0.9 <= time.monotonic() - began < 20


def test_nor_is_the_head_of_a_next_request(strict):
    with socket.create_connection(strict.place, timeout=30) as line:
        line.sendall(b"GET /healthz HTTP/1.1\r\nhost: localhost\r\n\r\n")
        until(lambda: b"alive" in line.recv(65_536))
        line.sendall(b"G")
        assert not _all(line)


def test_idle_connections_never_use_up_the_files(shop):
    with serving(shop, files=64) as server:
        idle = [socket.create_connection(server.place, timeout=30) for _ in range(120)]
        try:
            for path in ("/healthz", "/readyz"):
                assert httpx.get(server.url + path, timeout=20).status_code == 200
            assert httpx.post(f"{server.url}/v1/search", json={"query": "saw"}, timeout=20).status_code == 200
        finally:
            for line in idle:
                line.close()
        assert server.end() == 0 and "Traceback" not in server.log.read_text()


def test_a_full_queue_turns_newcomers_away(strict):
    text = "hammer " * 200
    with ThreadPoolExecutor(24) as pool:
        answers = list(pool.map(lambda number: post(strict, {"input": [f"{number} {text}"] * 5}), range(24)))
    statuses = [answer.status_code for answer in answers]
    assert set(statuses) == {200, 429}
    for answer in answers:
        if answer.status_code == 429:
            assert int(answer.headers["retry-after"]) >= 1 and answer.json()["error"]["type"] == "rate_limit_error"
        else:
            assert len(answer.json()["data"]) == 5
    big = post(strict, {"input": ["a single request always fits"] * (QUEUE + 4)})  # when nobody else is there
    assert big.status_code == 200


def test_texts_of_clients_that_leave_are_not_encoded(served):
    def ask(number):
        asked = {"model": "mnr", "input": [f"long {number} {row} " + "hammer " * 30 for row in range(300)]}
        with httpx.Client(timeout=60) as client:
            return client.post(f"{served.url}/v1/embeddings", json=asked).status_code

    before = served.meter("nestvec_dropped_texts_total")
    with ThreadPoolExecutor(1) as pool:
        stays = pool.submit(ask, 0)
        until(lambda: served.meter("nestvec_queue_texts") == 300)
        body = json.dumps({"model": "mnr", "input": [f"left {row} " + "hammer " * 30 for row in range(300)]}).encode()
        with socket.create_connection(served.place, timeout=30) as line:
            line.sendall(_head(len(body)) + body)
            until(lambda: served.meter("nestvec_queue_texts") == 600)
        until(lambda: served.meter("nestvec_queue_texts") <= 300)
        assert stays.result() == 200
    until(lambda: served.meter("nestvec_queue_texts") == 0)
    assert served.meter("nestvec_dropped_texts_total") - before >= 100


def test_requests_share_passes(served):
    names = ("nestvec_batch_texts_count", "nestvec_batch_texts_sum")
    before = [served.meter(name, system="pretrained") for name in names]

    def ask(number):
        asked = {"input": f"hammer number {number}", "model": "pretrained"}
        return httpx.post(f"{served.url}/v1/embeddings", json=asked, timeout=60).status_code

    with ThreadPoolExecutor(32) as pool:
        assert set(pool.map(ask, range(128))) == {200}
    passes, texts = (served.meter(name, system="pretrained") - past for name, past in zip(names, before, strict=True))
    assert texts == 128 and passes <= 64


def test_not_ready_yet(shop):
    with serving(shop, ready=False) as server:
        assert httpx.get(f"{server.url}/healthz").status_code == 200
        for path in ("/readyz", "/v1/models", "/v1/run"):
            assert int(failed(httpx.get(server.url + path), 503).headers["retry-after"]) >= 1
        late = httpx.post(f"{server.url}/v1/embeddings", json={"input": "hammer"}, timeout=LONG)  # waits for the models
        assert late.status_code == 200
        assert httpx.get(f"{server.url}/readyz").status_code == 200
        assert httpx.get(f"{server.url}/v1/models").status_code == 200


@pytest.mark.parametrize(
    "wrong",
    [
        {"batch": 0}, {"queue": 0}, {"max_held": 0}, {"write_seconds": 0.0}, {"wait": -1.0},
        {"wait": float("nan")}, {"body_seconds": 0.0}, {"port": 65_536},
        {"header_seconds": float("inf")}, {"cors": ("shop.example",)}, {"cors": ("https://shop.example/path",)},
    ],
)  # fmt: skip
def test_options_outside_their_range_are_named(wrong):
    with pytest.raises(InputError, match="--" + next(iter(wrong)).replace("_", "-")):
        ServingOptions(**wrong)


def test_where_a_key_is_kept(tmp_path, monkeypatch):
    monkeypatch.delenv("NESTVEC_API_KEY", raising=False)
    assert read_key(None) is None
    monkeypatch.setenv("NESTVEC_API_KEY", "by-itself")
    monkeypatch.setenv("OTHER", "named")
    (tmp_path / "key").write_text("  in-a-file\n")
    assert [read_key(given) for given in (None, "env:OTHER", str(tmp_path / "key"))] == [
        "by-itself",
        "named",
        "in-a-file",
    ]
    (tmp_path / "empty").write_text("\n")
    (tmp_path / "odd").write_bytes(b"\xff\xfe")
    for given in (
        "env:NOT_THERE",
        str(tmp_path / "empty"),
        str(tmp_path / "odd"),
        str(tmp_path / "missing"),
        str(tmp_path),
    ):
        with pytest.raises(InputError):
            read_key(given)
    monkeypatch.setenv("NESTVEC_API_KEY", "")  # set, and empty: a mistake that must not open the server
    with pytest.raises(InputError):
        read_key(None)


def _head(length):
    """Of a request for vectors with so long a body."""
    return (
        f"POST /v1/embeddings HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n"
        f"authorization: Bearer {KEY}\r\ncontent-length: {length}\r\n\r\n"
    ).encode()


def _all(line):
    """What comes until the server closes."""
    found = b""
    try:
        while part := line.recv(65_536):
            found += part
    except ConnectionResetError:
        pass
    return found
