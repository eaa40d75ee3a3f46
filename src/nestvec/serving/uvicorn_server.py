"""Extends uvicorn's server: limits connections, answers all open requests before stopping, and exits with code 0."""

from __future__ import annotations

import asyncio
import signal
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, cast

import uvicorn
from uvicorn.server import HANDLED_SIGNALS

from nestvec.serving.connections import Acceptor, TimedConnection
from nestvec.serving.request_guard import DRAINING, Health

if TYPE_CHECKING:
    from collections.abc import Iterator
    from socket import socket

    from starlette.types import ASGIApp

    from nestvec.serving.serving_options import ServingOptions

_IDLE = 75  # seconds that an idle connection stays open between two requests
_LAST_CALL = 0.3  # seconds to read requests that were sent before the stop


class Server(uvicorn.Server):
    """Serves one ASGI application on one listening socket.

    Args:
        app: the ASGI application.
        options: the server's timeouts.
        health: the server's phase, set to draining when the server begins to stop.
        connections: most connections open at once.
    """

    def __init__(self, app: ASGIApp, options: ServingOptions, health: Health, connections: int) -> None:
        limits = {"head_seconds": options.header_seconds, "write_seconds": options.write_seconds}
        config = uvicorn.Config(
            app,
            http=type("Connection", (TimedConnection,), limits),
            ws="none",
            log_config=None,
            log_level="error",
            access_log=False,
            proxy_headers=False,
            server_header=False,
            timeout_keep_alive=_IDLE,
            timeout_graceful_shutdown=int(max(1, options.drain_seconds)),
        )
        super().__init__(config)
        self._health, self._most = health, connections

    async def startup(self, sockets: list[socket] | None = None) -> None:
        """Start the application and accept a limited number of connections, which uvicorn itself would not limit."""
        await super().startup(sockets=[])
        connections = cast("set[TimedConnection]", self.server_state.connections)
        self._acceptors = [
            Acceptor(listener, self._make_connection, connections, self._most) for listener in sockets or []
        ]
        for acceptor in self._acceptors:
            acceptor.start()

    async def shutdown(self, sockets: list[socket] | None = None) -> None:
        """Stop accepting connections, answer all requests that clients have already sent, then stop the server."""
        self._health.become(DRAINING)
        for acceptor in self._acceptors:
            acceptor.stop()
        await asyncio.sleep(_LAST_CALL)
        await super().shutdown(sockets)

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Stop the server at SIGINT, SIGTERM and SIGHUP; unlike uvicorn, do not raise the signal again afterwards."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        before = {number: signal.signal(number, self.handle_exit) for number in _ending_signals()}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def _make_connection(self) -> TimedConnection:
        made: TimedConnection = self.config.http_protocol_class(  # type: ignore[call-arg, assignment]
            config=self.config, server_state=self.server_state, app_state=self.lifespan.state
        )
        return made


def _ending_signals() -> tuple[signal.Signals, ...]:
    """Return the signals that stop the server; SIGHUP (terminal closed) does not if `nohup` set it to be ignored."""
    hangup = getattr(signal, "SIGHUP", None)  # Windows has none
    if hangup is None or signal.getsignal(hangup) is signal.SIG_IGN:
        return HANDLED_SIGNALS
    return (*HANDLED_SIGNALS, hangup)
