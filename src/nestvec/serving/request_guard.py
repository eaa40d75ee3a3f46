"""ASGI middleware that checks host, API key, size and speed of requests, and adds headers to every response.

The middleware wraps the whole application, so a request that it refuses costs no more than reading its header.
"""

from __future__ import annotations

import asyncio
import hmac
import time
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from starlette.datastructures import Headers, MutableHeaders

from nestvec.serving.capacity import SMALL, Capacity
from nestvec.serving.failures import GONE, Failure, too_many_bytes, too_many_connections, unavailable

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from nestvec.serving.prometheus_meters import Meters
    from nestvec.serving.serving_options import ServingOptions

SURPLUS = "surplus"  # key in a request's state that marks a connection beyond the limit
LOADING, READY, DRAINING = "loading", "ready", "draining"
_LOCKED = ("/v1/", "/metrics", "/docs", "/openapi.json")  # paths that need the API key
_WORKING = "/v1/"  # paths that need the models
_WATCHED = ("/healthz", "/readyz")  # paths that are answered even over surplus connections
_BODIES = {"POST", "PUT", "PATCH"}
_PATIENCE = 30.0  # seconds that a request waits for models to be loaded
# After refusing a body, the server goes on reading and discards the data, so that the client reads the response and
# does not see a broken connection: for at most so many seconds, and so many times --max-body.
_LINGER = 2.0
_LINGERED = 8
_CSP = (
    "default-src 'self'; img-src 'self' data:; object-src 'none'; frame-ancestors 'none'; base-uri 'none'; "
    "form-action 'self'"
)
_SAFE = {
    "Content-Security-Policy": _CSP,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}


@dataclass
class Health:
    """The phase of a server's life: loading, ready or draining."""

    phase: str = LOADING  # or READY, or DRAINING
    loaded: asyncio.Event = field(default_factory=asyncio.Event)  # set when the phase is no longer LOADING

    def become(self, phase: str) -> None:
        """Change the phase to ready or draining; call this from the event loop's thread."""
        self.phase = phase
        self.loaded.set()


class Guard:
    """ASGI middleware that refuses requests by host, API key, size and speed, and adds headers to every response.

    Args:
        app: the ASGI application that answers accepted requests.
        options: the server's options, with its limits.
        health: tells whether the server is loading, ready or draining.
        meters: counts every response.
    """

    def __init__(self, app: ASGIApp, options: ServingOptions, health: Health, meters: Meters) -> None:
        self._app, self._options, self._health, self._meters = app, options, health, meters
        self._bodies = Capacity(options.max_held, too_many_bytes, SMALL)
        self._key = options.api_key.encode() if options.api_key else None
        safe = {**_SAFE, "Cross-Origin-Resource-Policy": "cross-origin"} if options.cors else _SAFE
        self._safe = [(name.lower().encode(), value.encode()) for name, value in safe.items()]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Check a request, and refuse it or pass it to the application."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        asked, scope = scope["method"], _simplify_request(scope)
        answer = _Answer(send, self._safe, self._health)
        body = _Body(receive, self._options)
        began = time.perf_counter()
        try:
            await self._refuse_or_answer(scope, body, answer)
        finally:
            route = getattr(scope.get("route"), "path", None) or "(none)"
            method = asked if asked in ("GET", "POST", "HEAD", "OPTIONS") else "(other)"
            self._meters.count_request(route, method, answer.status, time.perf_counter() - began)

    async def _refuse_or_answer(self, scope: Scope, body: _Body, answer: _Answer) -> None:
        """Refuse a request with an error response, or pass the request to the application."""
        refusal = self._find_refusal(scope)
        if refusal is None and self._health.phase == LOADING and scope["path"].startswith(_WORKING):
            refusal = await self._wait_until_loaded(scope["method"])
        size = 0 if refusal else self._announced_bytes(scope)
        refusal = refusal or self._bodies.refuse(size)
        if refusal is None:
            with self._bodies.reserve(size):
                await self._app(scope, body.receive, answer.send)
            if answer.status not in (408, 413):
                return
            answer.stays_open = True
        else:
            answer.stays_open = refusal.status_code == 413
            await refusal.to_response()(scope, body.receive, answer.send)
        if answer.stays_open:
            await answer.read_rest_and_close(body)

    def _announced_bytes(self, scope: Scope) -> int:
        """Return how many bytes the request's body may take in memory, by its header; at most --max-body."""
        if scope["method"] not in _BODIES or not scope["path"].startswith(_WORKING):
            return 0
        headers, most = Headers(scope=scope), self._options.max_body
        return most if "transfer-encoding" in headers else min(most, int(headers.get("content-length", "0")))

    def _find_refusal(self, scope: Scope) -> Failure | None:
        """Return the error response for a request to refuse, such as one without the API key; None to accept it."""
        options, method, path, headers = self._options, scope["method"], scope["path"], Headers(scope=scope)
        if scope.get("state", {}).get(SURPLUS) and path not in _WATCHED:
            return too_many_connections()
        if options.allowed_hosts is not None and _host_name(headers.get("host", "")) not in options.allowed_hosts:
            return Failure(421, "Host header not allowed; set --allowed-host NAME")
        if method == "OPTIONS" and options.cors:
            return None
        if self._key and path.startswith(_LOCKED) and not self._has_key(headers):
            message = "API key missing or wrong; send the header Authorization: Bearer KEY"
            return Failure(401, message, headers={"WWW-Authenticate": "Bearer"})
        if method in _BODIES and path.startswith(_WORKING):
            return self._refuse_body(headers)
        return None

    async def _wait_until_loaded(self, method: str) -> Failure | None:
        """If the request has a body, wait until the models are loaded; return an error response if they are not."""
        if method in _BODIES:
            with suppress(TimeoutError):
                async with asyncio.timeout(_PATIENCE):
                    await self._health.loaded.wait()
        return None if self._health.phase == READY else unavailable("the models are still being loaded")

    def _has_key(self, headers: Headers) -> bool:
        """Whether the request has the API key; the comparison takes constant time."""
        kind, _, shown = headers.get("authorization", "").partition(" ")
        return kind.lower() == "bearer" and hmac.compare_digest(shown.strip().encode(), self._key or b"")

    def _refuse_body(self, headers: Headers) -> Failure | None:
        """Return the error response for a body that is compressed, too large or not JSON by its header; else None."""
        if headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
            return Failure(415, "the body must be application/json: send Content-Type: application/json")
        if headers.get("content-encoding", "identity").lower() != "identity":
            return Failure(415, "the body must not be compressed: send it without Content-Encoding")
        length = headers.get("content-length", "0")
        if not length.isdecimal() or int(length) > self._options.max_body:
            return _too_large(self._options)
        return None


class _Answer:
    """Sends a response with the security headers, in pieces."""

    def __init__(self, send: Send, safe: list[tuple[bytes, bytes]], health: Health) -> None:
        self._send, self._safe, self._health = send, safe, health
        self.status = GONE
        self.stays_open = False

    async def send(self, message: Message) -> None:
        """Send an ASGI message, adding the security headers to the start of the response."""
        if message["type"] == "http.response.start":
            self.status = message["status"]
            self.stays_open = self.stays_open or self.status in (408, 413)
            headers = MutableHeaders(raw=[*message.get("headers", []), *self._safe])
            headers.setdefault("Cache-Control", "no-store")
            if self.stays_open or self._health.phase == DRAINING:
                headers["Connection"] = "close"
            await self._send({**message, "headers": headers.raw})
        else:
            await self._send_pieces(message.get("body", b""), message.get("more_body", False))

    async def _send_pieces(self, body: bytes, more: bool) -> None:
        """Send a body in pieces; uvicorn waits with each piece until the client has received the previous piece."""
        more = more or self.stays_open  # the client gets the whole response, and the connection stays open
        for first in range(0, len(body) or 1, SMALL):
            piece, rest = body[first : first + SMALL], len(body) > first + SMALL
            await self._send({"type": "http.response.body", "body": piece, "more_body": rest or more})

    async def read_rest_and_close(self, body: _Body) -> None:
        """Read and discard what a refused client still sends, so that the client receives the whole response."""
        with suppress(TimeoutError):
            async with asyncio.timeout(_LINGER):
                await body.throw_away()
        await self._send({"type": "http.response.body", "body": b"", "more_body": False})


class _Body:
    """Receives a request's body within the limits of size and time."""

    def __init__(self, receive: Receive, options: ServingOptions) -> None:
        self._receive, self._options = receive, options
        self._until: float | None = None  # the timeout starts at the first call of `receive`
        self._bytes, self._more = 0, True

    async def receive(self) -> Message:
        """Receive the next part of the request's body; raises a Failure (HTTP 408 or 413) for a slow or large body."""
        if not self._more:  # the body is complete; the next message is the client's disconnection
            return await self._receive()
        self._until = self._until or asyncio.get_running_loop().time() + self._options.body_seconds
        try:
            async with asyncio.timeout_at(self._until):
                message = await self._receive_next()
        except TimeoutError:
            self._more = False
            seconds = f"{self._options.body_seconds:g} seconds"
            raise Failure(408, f"the body took longer than {seconds} (--body-seconds)") from None
        if self._bytes > self._options.max_body:
            raise _too_large(self._options)
        return message

    async def throw_away(self) -> None:
        """Read and discard the rest of the request's body, until its end or 8 times --max-body."""
        while self._more and self._bytes < _LINGERED * self._options.max_body:
            await self._receive_next()

    async def _receive_next(self) -> Message:
        """Receive the next part of the request's body and add its bytes to the count."""
        message = await self._receive()
        self._more = message.get("more_body", False)
        self._bytes += len(message.get("body", b""))
        return message


def _simplify_request(scope: Scope) -> Scope:
    """Turn HEAD into GET, whose body uvicorn leaves out, and remove a trailing slash from the API's paths."""
    method = "GET" if scope["method"] == "HEAD" else scope["method"]
    path = scope["path"].rstrip("/") if scope["path"].startswith(_WORKING) else scope["path"]
    return {**scope, "method": method, "path": path}


def _too_large(options: ServingOptions) -> Failure:
    """Make the error response (HTTP 413) for a request body of more than --max-body bytes."""
    return Failure(413, f"the body must have at most {options.max_body:,} bytes (--max-body)")


def _host_name(host: str) -> str:
    if host.startswith("["):
        return host[1:].partition("]")[0].lower()
    return host.partition(":")[0].lower()
