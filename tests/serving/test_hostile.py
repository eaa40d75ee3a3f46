"""Whatever is sent: no fault of the server, and it serves afterwards.

Oracles: the server's own OpenAPI description, by schemathesis (statuses, schemas, headers, methods as described; wrong
data refused); for what no description covers, the statuses of RFC 9110 and a log without a traceback.
"""

from __future__ import annotations

import json
import socket
import threading

import httpx2 as httpx
import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings

pytestmark = pytest.mark.slow  # every route under schemathesis

JSON = {"content-type": "application/json"}
EXAMPLES = 40  # a route and a kind of data
_CONFIG = {  # a name or a point that this run lacks fits the description, and is refused all the same
    "checks": {"positive_data_acceptance": {"expected-statuses": ["2xx", 404, 413, 422]}},
}


ROUTES = [
    ("POST", "/v1/embeddings"), ("POST", "/v1/search"), ("GET", "/v1/models"), ("GET", "/v1/models/{model}"),
    ("GET", "/v1/run"), ("GET", "/healthz"), ("GET", "/readyz"), ("GET", "/metrics"),
]  # fmt: skip

WRONG = [(*route, "negative") for route in ROUTES if route[0] == "POST"]  # the others take nothing


@pytest.fixture(scope="module")
def described(served):
    config = schemathesis.Config.from_dict(_CONFIG)
    return schemathesis.openapi.from_url(f"{served.url}/openapi.json", config=config)


@pytest.mark.parametrize(("method", "path", "mode"), [(*route, "positive") for route in ROUTES] + WRONG)
def test_the_description_holds(described, method, path, mode):
    operation = described[path][method]

    @settings(
        max_examples=EXAMPLES,
        derandomize=True,
        deadline=None,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(case=operation.as_strategy(generation_mode=schemathesis.GenerationMode(mode)))
    def check(case):
        case.call_and_validate(timeout=60)

    check()


@pytest.fixture(autouse=True)
def unharmed(served):
    """After each test the server answers as before, and has logged no fault."""
    yield
    asked = {"query": "hammer", "k": 1, "system": "bm25"}
    assert httpx.post(f"{served.url}/v1/search", json=asked, timeout=60).status_code == 200
    assert "Traceback" not in served.log.read_text()


HARMFUL = {
    "script": "<script>alert(1)</script><img src=x onerror=alert(1)>",
    "markup": "</script>]]>--><svg onload=alert(1)>{{7*7}}${7*7}",
    "sql": "'; DROP TABLE documents; --",
    "nul": "ham\x00mer",
    "controls": "".join(map(chr, range(1, 32))) + "hammer\x7f\x85\u2028\u2029",
    "right to left": "\u202emeḥaq\u202c \u05e4\u05d8\u05d9\u05e9 \u0645\u0637\u0631\u0642\u0629",
    "four bytes": "🔨🧰👩🏽\u200d🔧 𝕙𝕒𝕞𝕞𝕖𝕣 𠮷",
    "marks": "h" + "\u0301" * 5000,
    "no character": "\ufffe\uffff\U0010ffff\ufeff",
    "one word": "x" * 60_000,
    "spaces": " " * 30_000 + "hammer",
    "spaces and signs": " " * 150 + "=" + " " * 40,
    "path": "../../../../etc/passwd",
    "newlines": "hammer\r\nX-Injected: yes\r\n\r\n",
}


@pytest.mark.parametrize("text", HARMFUL.values(), ids=HARMFUL)
def test_any_text_is_a_text(served, text):
    for path, asked in (
        ("/v1/search", {"query": text, "k": 3}),
        ("/v1/search", {"query": text, "k": 3, "system": "bm25"}),
        ("/v1/embeddings", {"input": text}),
    ):
        answer = httpx.post(served.url + path, json=asked, timeout=60)
        assert answer.status_code == 200, answer.text[:500]
        assert answer.headers["content-type"] == "application/json"
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert "x-injected" not in answer.headers
        if path == "/v1/search":
            assert answer.json()["results"][0]["query"] == text


@pytest.mark.parametrize("text", HARMFUL.values(), ids=HARMFUL)
def test_no_name_is_taken_for_anything_else(served, text):
    for path, asked in (
        ("/v1/search", {"query": "a", "system": text}),
        ("/v1/search", {"query": "a", "precision": text}),
        ("/v1/search", {"query": "a", "filter": text}),
        ("/v1/search", {"query": "a", text: 1}),
        ("/v1/embeddings", {"input": "a", "model": text}),
        ("/v1/embeddings", {"input": "a", "encoding_format": text}),
    ):
        answer = httpx.post(served.url + path, json=asked, timeout=60)
        assert answer.status_code == (404 if "model" in asked else 422), answer.text[:500]
        assert answer.headers["content-type"] == "application/json" and len(answer.content) < 5000


@pytest.mark.parametrize(
    "body",
    [
        b'{"query": "\\ud800"}', b'{"query": "\\udfff\\ud800"}', b'{"\\ud800": 1}', b'{"query": "a", "k": NaN}',
        b'{"query": "a", "k": -Infinity}', b'{"query": "a", "k": 1e999}', b'{"query": "a", "k": ' + b"9" * 5000 + b"}",
        b'{"query": "a", "k": -0}', b'{"query": "a", "k": 1e1}', b"[" * 500_000, b'{"query": ' * 200_000,
        b'{"query": [' + b"[" * 100_000 + b"]" * 100_000 + b"]}",
        b'{"query": "\xed\xa0\x80"}', b'{"query": "\xc0\xaf"}',
        b'\xef\xbb\xbf{"query": "a"}', '{"query": "a"}'.encode("utf-16"), b"\x00" * 1000, b"null", b'"' + b"a" * 10**6,
        b'{"query": null}', b'{"queries": {"0": "a"}}',
    ],
    ids=repr,
)  # fmt: skip
def test_broken_bodies(served, body):
    for path in ("/v1/search", "/v1/embeddings"):
        answer = httpx.post(served.url + path, content=body, headers=JSON, timeout=60)
        assert answer.status_code == 422, answer.text[:500]
        assert len(answer.content) < 5000 and set(answer.json()) == {"error", "detail"}


def test_the_last_of_two_equal_names_counts(served):
    answer = httpx.post(f"{served.url}/v1/search", content=b'{"query": "a", "k": 0, "k": 2}', headers=JSON)
    assert answer.status_code == 200 and len(answer.json()["results"][0]["hits"]) == 2


def test_ten_megabytes(served):
    for body in (json.dumps({"query": "x" * 10_000_000}).encode(), b'{"input": [' + b'"a",' * 2_500_000 + b'"a"]}'):
        for path in ("/v1/search", "/v1/embeddings"):
            assert httpx.post(served.url + path, content=body, headers=JSON, timeout=60).status_code == 413
    many = b'{"input": [' + b'"a",' * 1_500_000 + b'"a"]}'  # few enough bytes, too many texts
    assert httpx.post(f"{served.url}/v1/embeddings", content=many, headers=JSON, timeout=60).status_code == 413


PATHS = [
    "/page/../../../../etc/passwd", "/page/..%2f..%2f..%2fetc%2fpasswd", "/page/%2e%2e/%2e%2e/service.py",
    "/page/..\\..\\service.py", "/page/%5c..%5cservice.py", "/page//etc/passwd", "/page/%2fetc%2fpasswd",
    "/page/%00", "/page/page.css%00.html", "/page/" + "a" * 5000, "/page/%ff%fe", "/page/.", "/page/..", "/page/",
    "/docs/../page/../service.py", "/docs/%2e%2e%2fmain.py", "//evil.example/", "/v1/models/..%2f..%2fetc%2fpasswd",
    "/v1/models/%00", "/%", "/page/__init__.py", "/page/index.html/../../service.py",
]  # fmt: skip


@pytest.mark.parametrize("path", PATHS)
def test_no_path_leads_anywhere_else(served, path):
    answer = raw(served, f"GET {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n".encode())
    assert answer.startswith((b"HTTP/1.1 404", b"HTTP/1.1 400")), answer[:300]
    assert b"root:" not in answer and b"import " not in answer


HEADS = {
    "no host": b"GET /healthz HTTP/1.1\r\n\r\n",
    "other host": b"GET /healthz HTTP/1.1\r\nhost: evil.example\r\n\r\n",
    "two hosts": b"GET /healthz HTTP/1.1\r\nhost: localhost\r\nhost: evil.example\r\n\r\n",
    "no HTTP": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03 hello",
    "long line": b"GET /" + b"a" * 200_000 + b" HTTP/1.1\r\nhost: localhost\r\n\r\n",
    "long header": b"GET /healthz HTTP/1.1\r\nhost: localhost\r\nx: " + b"a" * 500_000 + b"\r\n\r\n",
    "many headers": b"GET /healthz HTTP/1.1\r\nhost: localhost\r\n" + b"x: y\r\n" * 20_000 + b"\r\n",
    "two lengths": b"POST /v1/search HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n"
    b"content-length: 2\r\ncontent-length: 30\r\n\r\n{}",
    "length and chunks": b"POST /v1/search HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n"
    b"content-length: 2\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
    "length below 0": b"POST /v1/search HTTP/1.1\r\nhost: localhost\r\ncontent-length: -1\r\n\r\n",
    "endless length": b"POST /v1/search HTTP/1.1\r\nhost: localhost\r\ncontent-length: " + b"9" * 40 + b"\r\n\r\n",
    "broken chunk": b"POST /v1/search HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n"
    b"transfer-encoding: chunked\r\n\r\nzz\r\n",
    "websocket": b"GET / HTTP/1.1\r\nhost: evil.example\r\nconnection: upgrade\r\nupgrade: websocket\r\n"
    b"sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
    "connect": b"CONNECT evil.example:443 HTTP/1.1\r\nhost: evil.example:443\r\n\r\n",
    "absolute": b"GET http://evil.example/ HTTP/1.1\r\nhost: evil.example\r\n\r\n",
    "odd method": b"GETT /healthz HTTP/1.1\r\nhost: localhost\r\n\r\n",
    "http/0.9": b"GET /\r\n\r\n",
    "odd bytes": b"GET /healthz HTTP/1.1\r\nhost: localhost\r\nauthorization: \xff\xfe\x80\r\n\r\n",
}


@pytest.mark.parametrize("head", HEADS.values(), ids=HEADS)
def test_odd_heads(served, head):
    answer = raw(served, head)
    assert not answer.startswith(b"HTTP/1.1 5"), answer[:300]
    if b"evil.example" in head and b"localhost" not in head:
        assert answer.startswith((b"HTTP/1.1 421", b"HTTP/1.1 400")), answer[:300]


def test_slow_clients_hold_nobody_up(served):
    head = (
        b"POST /v1/search HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: 99\r\n\r\n{"
    )
    slow = [socket.create_connection(served.place, timeout=30) for _ in range(100)]
    try:
        for number, line in enumerate(slow):
            line.sendall(head if number % 2 else b"GET / HT")
        asked = {"query": "saw", "system": "bm25"}
        assert httpx.post(f"{served.url}/v1/search", json=asked, timeout=20).status_code == 200
    finally:
        for line in slow:
            line.close()


def test_clients_that_leave_in_the_middle(served):
    body = json.dumps({"queries": [f"hammer {number}" for number in range(200)], "k": 100}).encode()
    head = (
        f"POST /v1/search HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: {len(body)}"
    )

    def leave(sent):
        with socket.create_connection(served.place, timeout=30) as line:
            line.sendall((head.encode() + b"\r\n\r\n" + body)[:sent])

    parts = [10, len(head), len(head) + 4, len(head) + 50, len(head) + len(body), len(head) + 4 + len(body)] * 5
    leaving = [threading.Thread(target=leave, args=(part,)) for part in parts]
    for thread in leaving:
        thread.start()
    for thread in leaving:
        thread.join()


def raw(server, sent):
    """What comes back, as bytes, until the server closes or says nothing for a second."""
    with socket.create_connection(server.place, timeout=1) as line:
        found = b""
        try:
            line.sendall(sent)
            while part := line.recv(65_536):
                found += part
        except (TimeoutError, ConnectionResetError, BrokenPipeError):
            pass
        return found
