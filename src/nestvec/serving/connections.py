"""Connections: how many, how slow, and who makes room for a newcomer.

Whoever has been idle longest does. Where nobody is idle, a few newcomers are let in to be told so; others wait in the
kernel's queue until somebody leaves, so that files never run out.
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

_SURPLUS = 8  # connections beyond those allowed, to be told that there is no room
_ON_ITS_WAY = 0.02  # seconds in which the request of a new connection may still be on its way
_PAUSE = 0.02  # seconds until it is looked again whether there is room
_BACKLOG = 2048
_Selector = getattr(selectors, "PollSelector", selectors.SelectSelector)  # Windows has no poll


class _Deadline:
    """Cuts a connection after so many seconds, unless it is stopped before."""

    def __init__(self, loop: asyncio.AbstractEventLoop, seconds: float, transport: asyncio.Transport) -> None:
        self._loop, self._seconds, self._transport = loop, seconds, transport
        self._timer: asyncio.TimerHandle | None = None

    def start(self) -> None:
        """Let time run, unless it does."""
        if self._timer is None:
            self._timer = self._loop.call_later(self._seconds, self._transport.abort)

    def stop(self) -> None:
        """Let time run no more."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


class TimedConnection(HttpToolsProtocol):
    """A connection whose client has so many seconds for a request's head, and for taking what was sent.

    A head's time runs from connecting, or from a next request's first byte. An answer is sent in pieces (see `Guard`),
    and its time runs anew for each.
    """

    head_seconds: float
    write_seconds: float
    _numbers = itertools.count()

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Start the clock for the first request's head."""
        super().connection_made(transport)
        transport.set_write_buffer_limits(0)  # what is not taken at once calls `pause_writing`, however little
        self._head = _Deadline(self.loop, self.head_seconds, transport)
        self._taking = _Deadline(self.loop, self.write_seconds, transport)
        self.idle_since = self.loop.time()
        self.number = next(self._numbers)  # connections that came within a tick of the loop's clock keep their order
        self._head.start()

    def data_received(self, data: bytes) -> None:
        """Start the clock for the head of a next request, too."""
        if self.cycle is None or self.cycle.response_complete:
            self._head.start()
        super().data_received(data)

    def on_headers_complete(self) -> None:
        """Stop the clock: the head is there."""
        self._head.stop()
        super().on_headers_complete()

    def on_response_complete(self) -> None:
        """The connection is idle from now on, unless another request waits."""
        self.idle_since = self.loop.time()
        super().on_response_complete()

    def pause_writing(self) -> None:
        """Start the clock for taking what was sent."""
        super().pause_writing()
        self._taking.start()

    def resume_writing(self) -> None:
        """Stop the clock: the client has taken all of it."""
        super().resume_writing()
        self._taking.stop()
        self.idle_since = self.loop.time()

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop all clocks."""
        self._head.stop()
        self._taking.stop()
        super().connection_lost(exc)

    @property
    def is_idle(self) -> bool:
        """Whether no request is being read, worked on or answered; one whose head is not complete does not count."""
        if self.transport is None or self.transport.is_closing() or self.flow.write_paused:
            return False
        answered = self.cycle is None or self.cycle.response_complete
        return answered and self.loop.time() - self.idle_since > _ON_ITS_WAY

    @property
    def has_unread(self) -> bool:
        """Whether the kernel holds something that the client sent."""
        with _Selector() as selector:
            selector.register(self.transport.get_extra_info("socket"), selectors.EVENT_READ)
            return bool(selector.select(0))


class Acceptor:
    """Takes connections from a listener while there is room for them.

    Args:
        listener: a bound socket.
        make_connection: makes the protocol of a new connection.
        connections: those that are open; the protocol takes itself out.
        most: how many may be open at once.
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
        self._idle: list[tuple[float, int, TimedConnection]] = []  # as of the last look; the longest idle comes last
        self._joining: set[asyncio.Task[None]] = set()
        self._pause: asyncio.TimerHandle | None = None

    def start(self) -> None:
        """Listen, and take whoever comes."""
        self._listener.listen(_BACKLOG)
        self._listener.setblocking(False)
        self._resume()

    def stop(self) -> None:
        """Take those who have come, and nobody any more."""
        while self._accept_next():
            pass
        if self._pause:
            self._pause.cancel()
        self._loop.remove_reader(self._listener)
        self._listener.close()

    def _resume(self) -> None:
        self._loop.add_reader(self._listener, self._accept_next)

    def _wait(self) -> None:
        """Take nobody for a moment; the kernel keeps those who come."""
        self._loop.remove_reader(self._listener)
        self._pause = self._loop.call_later(_PAUSE, self._resume)

    def _accept_next(self) -> bool:
        """Take who came first; False where nobody waits, or there is no room."""
        if not self._has_room(self._most + _SURPLUS):
            self._wait()
            return False
        try:
            accepted, _ = self._listener.accept()
        except (BlockingIOError, ConnectionAbortedError):
            return False
        except OSError:  # no file is left, whoever opened them
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
        """Let the loop tell a connection of what its client sends."""
        try:
            await self._loop.connect_accepted_socket(lambda: connection, accepted)
        except OSError:  # the client left already
            self._connections.discard(connection)
            accepted.close()

    def _has_room(self, most: int) -> bool:
        """Whether fewer connections than `most` are open, once those that were idle longest are closed."""
        for _ in range(len(self._connections) - most + 1):
            idle = self._next_idle()
            if idle is None:
                break
            idle.transport.close()
            self._connections.discard(idle)  # it would do so itself, a moment later
        return len(self._connections) < most

    def _next_idle(self) -> TimedConnection | None:
        """Who has been idle longest; None where nobody is. Looking through all of them pays for many newcomers."""
        for _ in range(2):
            while self._idle:
                since, _, idle = self._idle.pop()
                if idle.is_idle and idle.idle_since == since and not idle.has_unread:
                    return idle
            found = [(each.idle_since, each.number, each) for each in self._connections if each.is_idle]
            self._idle = sorted(found, reverse=True)
        return None
