"""Limits how many HTTP connections are open at once, and closes connections whose client is too slow.

At the limit, a new connection replaces the one that has been idle longest. If no connection is idle, a few new ones are
accepted to be answered 503. All others wait in the kernel's queue until a connection closes, so that the process never
runs out of open files.
"""

from __future__ import annotations

import asyncio
import itertools
import selectors
from typing import TYPE_CHECKING

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from nestvec.serving.request_guard import SURPLUS

if TYPE_CHECKING:
    from collections.abc import Callable
    from socket import socket

_SURPLUS = 8  # connections accepted beyond the limit, to be answered 503
_ON_ITS_WAY = 0.02  # seconds for a new connection's first request to arrive before the connection counts as idle
_PAUSE = 0.02  # seconds before checking again whether there is room
_BACKLOG = 2048
_Selector = getattr(selectors, "PollSelector", selectors.SelectSelector)  # Windows has no poll


class _Deadline:
    """A timer that aborts a connection after some seconds, unless the timer is stopped before."""

    def __init__(self, loop: asyncio.AbstractEventLoop, seconds: float, transport: asyncio.Transport) -> None:
        self._loop, self._seconds, self._transport = loop, seconds, transport
        self._timer: asyncio.TimerHandle | None = None

    def start(self) -> None:
        """Start the countdown after which the connection is aborted, unless the countdown is already running."""
        if self._timer is None:
            self._timer = self._loop.call_later(self._seconds, self._transport.abort)

    def stop(self) -> None:
        """Stop the countdown, so that the connection is not aborted."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


class TimedConnection(HttpToolsProtocol):
    """An HTTP connection that is aborted if its client is too slow to send a request's header or to read a response.

    The timeout for the header starts when the client connects, and for later requests at their first byte. A response
    is sent in pieces (see `Guard`), and the timeout for reading starts again for each piece.
    """

    head_seconds: float
    write_seconds: float
    _numbers = itertools.count()

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Start the timeout for the header of the connection's first request."""
        super().connection_made(transport)
        transport.set_write_buffer_limits(0)  # call `pause_writing` if the client does not receive everything at once
        self._head = _Deadline(self.loop, self.head_seconds, transport)
        self._taking = _Deadline(self.loop, self.write_seconds, transport)
        self.idle_since = self.loop.time()
        self.number = next(self._numbers)  # orders connections that opened within one tick of the loop's clock
        self._head.start()

    def data_received(self, data: bytes) -> None:
        """Receive data; if a new request begins, start the timeout for its header."""
        if self.cycle is None or self.cycle.response_complete:
            self._head.start()
        super().data_received(data)

    def on_headers_complete(self) -> None:
        """Stop the timeout for the request's header, because the header is complete."""
        self._head.stop()
        super().on_headers_complete()

    def on_response_complete(self) -> None:
        """Record the time at which the response was complete, since which the connection may be idle."""
        self.idle_since = self.loop.time()
        super().on_response_complete()

    def pause_writing(self) -> None:
        """Start the timeout for the client to read the data that was sent."""
        super().pause_writing()
        self._taking.start()

    def resume_writing(self) -> None:
        """Stop the timeout for reading, because the client has read all data that was sent."""
        super().resume_writing()
        self._taking.stop()
        self.idle_since = self.loop.time()

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop the timeouts of a connection that was closed."""
        self._head.stop()
        self._taking.stop()
        super().connection_lost(exc)

    @property
    def is_idle(self) -> bool:
        """Whether no request is in progress on the connection; a request whose header is incomplete does not count."""
        if self.transport is None or self.transport.is_closing() or self.flow.write_paused:
            return False
        answered = self.cycle is None or self.cycle.response_complete
        return answered and self.loop.time() - self.idle_since > _ON_ITS_WAY

    @property
    def has_unread(self) -> bool:
        """Whether the client has sent data that the server has not read yet."""
        with _Selector() as selector:
            selector.register(self.transport.get_extra_info("socket"), selectors.EVENT_READ)
            return bool(selector.select(0))


class Acceptor:
    """Accepts connections from a listener while fewer than `most` connections are open.

    Args:
        listener: a bound socket.
        make_connection: makes the protocol of a new connection.
        connections: the open connections; a protocol removes itself when it closes.
        most: most connections open at once.
    """

    def __init__(
        self,
        listener: socket,
        make_connection: Callable[[], TimedConnection],
        connections: set[TimedConnection],
        most: int,
    ) -> None:
        self._listener, self._make_connection = listener, make_connection
        self._connections, self._most = connections, most
        self._loop = asyncio.get_running_loop()
        self._idle: list[tuple[float, int, TimedConnection]] = []  # from the last scan; the longest idle comes last
        self._joining: set[asyncio.Task[None]] = set()
        self._pause: asyncio.TimerHandle | None = None

    def start(self) -> None:
        """Start to listen and accept connections."""
        self._listener.listen(_BACKLOG)
        self._listener.setblocking(False)
        self._resume()

    def stop(self) -> None:
        """Accept the connections that clients have already opened, then stop listening for new ones."""
        while self._accept_next():
            pass
        if self._pause:
            self._pause.cancel()
        self._loop.remove_reader(self._listener)
        self._listener.close()

    def _resume(self) -> None:
        self._loop.add_reader(self._listener, self._accept_next)

    def _wait(self) -> None:
        """Stop accepting connections for a moment; new connections wait in the kernel's queue meanwhile."""
        self._loop.remove_reader(self._listener)
        self._pause = self._loop.call_later(_PAUSE, self._resume)

    def _accept_next(self) -> bool:
        """Accept the first waiting connection; gives False if no connection waits or too many are open."""
        if not self._has_room(self._most + _SURPLUS):
            self._wait()
            return False
        try:
            accepted, _ = self._listener.accept()
        except (BlockingIOError, ConnectionAbortedError):
            return False
        except OSError:  # the process has run out of open files
            self._has_room(len(self._connections))
            self._wait()
            return False
        accepted.setblocking(False)
        connection = self._make_connection()
        if not self._has_room(self._most):
            connection.app_state = {**connection.app_state, SURPLUS: True}
        self._connections.add(connection)
        joining = self._loop.create_task(self._join(connection, accepted))
        self._joining.add(joining)
        joining.add_done_callback(self._joining.discard)
        return True

    async def _join(self, connection: TimedConnection, accepted: socket) -> None:
        """Attach a connection to the event loop, so that the connection receives what the client sends."""
        try:
            await self._loop.connect_accepted_socket(lambda: connection, accepted)
        except OSError:  # the client has disconnected already
            self._connections.discard(connection)
            accepted.close()

    def _has_room(self, most: int) -> bool:
        """Close the longest-idle connections until fewer than `most` are open; gives whether that succeeded."""
        for _ in range(len(self._connections) - most + 1):
            idle = self._next_idle()
            if idle is None:
                break
            idle.transport.close()
            self._connections.discard(idle)  # the protocol would remove itself, but only a moment later
        return len(self._connections) < most

    def _next_idle(self) -> TimedConnection | None:
        """Return the connection that has been idle longest; None if no connection is idle.

        Scanning all connections is slow, so later calls use the sorted result of one scan.
        """
        for _ in range(2):
            while self._idle:
                since, _, idle = self._idle.pop()
                if idle.is_idle and idle.idle_since == since and not idle.has_unread:
                    return idle
            found = [(each.idle_since, each.number, each) for each in self._connections if each.is_idle]
            self._idle = sorted(found, reverse=True)
        return None
