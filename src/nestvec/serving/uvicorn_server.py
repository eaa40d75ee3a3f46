"""Uvicorn, told what it does not do by itself: time for a request's head, an end that loses nothing, exit code 0."""

from __future__ import annotations

import asyncio
import signal
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from nestvec.serving.request_guard import DRAINING, Health

if TYPE_CHECKING:
    from collections.abc import Iterator
    from socket import socket

    from starlette.types import ASGIApp

    from nestvec.serving.serving_options import ServingOptions

_IDLE = 75  # seconds that a connection is kept between two requests
_LAST_CALL = 0.3  # seconds in which what was sent before a stop is still read
_BACKLOG = 2048


class TimedConnection(HttpToolsProtocol):
    """Clients have so many seconds from connecting, or from a next request's first byte, to the end of its head."""

    head_seconds: float
    _deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Start the clock for the first request's head."""
        super().connection_made(transport)
        self._await_head()

    def data_received(self, data: bytes) -> None:
        """Start the clock for the head of a next request, too."""
        if self.cycle is None or self.cycle.response_complete:
            self._await_head()
        super().data_received(data)

    def on_headers_complete(self) -> None:
        """Stop the clock: the head is there."""
        self._stop_clock()
        super().on_headers_complete()

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop the clock: nobody sends any more."""
        self._stop_clock()
        super().connection_lost(exc)

    def _await_head(self) -> None:
        """Start the clock, unless it runs; the connection is cut when it runs out."""
        if self._deadline is None:
            self._deadline = self.loop.call_later(self.head_seconds, self.transport.abort)

    def _stop_clock(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None


class Server(uvicorn.Server):
    """A server of one application; `health` is told of connections, and that the end has begun."""

    def __init__(self, app: ASGIApp, options: ServingOptions, health: Health) -> None:
        config = uvicorn.Config(
            app,
            http=type("Connection", (TimedConnection,), {"head_seconds": options.header_seconds}),
            ws="none",
            log_config=None,
            log_level="error",
            access_log=False,
            proxy_headers=False,
            server_header=False,
            timeout_keep_alive=_IDLE,
            timeout_graceful_shutdown=int(max(1, options.drain_seconds)),
            backlog=_BACKLOG,
        )
        super().__init__(config)
        self._health = health
        health.connections = self.server_state.connections

    def run(self, sockets: list[socket] | None = None) -> None:
        """Serve until told to stop."""
        with _raise_no_signals():
            super().run(sockets)

    async def shutdown(self, sockets: list[socket] | None = None) -> None:
        """Take no new connections; answer what was sent over those that are open, then what is left."""
        self._health.become(DRAINING)
        await asyncio.sleep(0)  # connections that wait to be accepted are, before the listener closes
        for server in self.servers:
            server.close()
        await asyncio.sleep(_LAST_CALL)
        await super().shutdown(sockets)


@contextmanager
def _raise_no_signals() -> Iterator[None]:
    """Uvicorn raises the signals that ended it once more, for whoever handled them before: here nobody needs to."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before: dict[int, Any] = {
        number: signal.signal(number, lambda *_: None) for number in (signal.SIGINT, signal.SIGTERM)
    }
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
