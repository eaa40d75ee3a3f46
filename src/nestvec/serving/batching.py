"""Texts of many requests in one forward pass.

A first text waits a moment for others to join it. While a pass runs nobody waits for anything: what comes in meanwhile
is the next pass. Long requests take turns with short ones.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from nestvec.serving.failures import too_busy

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from concurrent.futures import Executor

    from numpy.typing import NDArray

    from nestvec.serving.meters import Meters
    from nestvec.serving.options import ServingOptions

_TURN = 16  # texts that a request puts into a pass before it is another's turn
_LETTERS = 16_384  # of a pass, roughly: about as many tokens as an encoder takes at once


class Encoded(NamedTuple):
    """Texts as vectors.

    Attributes:
        vectors: (n, width) float32.
        tokens: n, what the model read of each.
    """

    vectors: NDArray[np.float32]
    tokens: list[int]


class Capacity:
    """How many texts may be here at once.

    Args:
        most: beyond which newcomers are turned away; a single request always fits in when nobody else is there.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self.held = 0

    @contextmanager
    def hold(self, texts: int) -> Iterator[None]:
        """Room for so many texts while the block runs.

        Args:
            texts: how many.

        Yields:
            Nothing.

        Raises:
            Failure: 429, there is no room.
        """
        if self.held and self.held + texts > self._most:
            raise too_busy()
        self.held += texts
        try:
            yield
        finally:
            self.held -= texts


class _Part(NamedTuple):
    """Texts of a request that go through a model together."""

    job: _Job
    first: int
    texts: list[str]


@dataclass
class _Job:
    """Texts of one request, on their way."""

    texts: Sequence[str]
    answer: asyncio.Future[Encoded]
    taken: int = 0
    done: dict[int, Encoded] = field(default_factory=dict)  # by the first text's place: passes may overtake each other

    def take(self, room: int, letters: int) -> _Part:
        """The next of its texts: at least one, as many as there is room for."""
        first, used = self.taken, 0
        for text in self.texts[first : first + min(room, _TURN)]:
            used += len(text)
            if used > letters and self.taken > first:
                break
            self.taken += 1
        return _Part(self, first, list(self.texts[first : self.taken]))

    def give(self, first: int, encoded: Encoded) -> None:
        """Vectors of a part; answers when all are there."""
        self.done[first] = encoded
        if sum(len(part.tokens) for part in self.done.values()) == len(self.texts) and not self.answer.done():
            parts = [self.done[place] for place in sorted(self.done)]
            tokens = [count for part in parts for count in part.tokens]
            self.answer.set_result(Encoded(np.concatenate([part.vectors for part in parts]), tokens))


class Batcher:
    """Encodes the texts of one system.

    Args:
        system: its name.
        encode: texts to vectors and tokens; blocking.
        executor: the thread that does it, for all systems the same.
        options: how many at once, and how long the first waits.
        meters: are told.
    """

    def __init__(
        self,
        system: str,
        encode: Callable[[list[str]], Encoded],
        executor: Executor,
        options: ServingOptions,
        meters: Meters,
    ) -> None:
        self._system, self._encode, self._executor = system, encode, executor
        self._options, self._meters = options, meters
        self._jobs: deque[_Job] = deque()
        self._some = asyncio.Event()

    async def encode(self, texts: Sequence[str]) -> Encoded:
        """Vectors of texts; whoever stops waiting is not worked for any more.

        Args:
            texts: n, at least one.

        Returns:
            Their vectors, in order.
        """
        job = _Job(texts, asyncio.get_running_loop().create_future())
        self._jobs.append(job)
        self._some.set()
        return await job.answer

    async def run(self) -> None:
        """Work until cancelled."""
        while True:
            await self._some.wait()
            if sum(len(job.texts) for job in self._jobs) < self._options.batch:
                await asyncio.sleep(self._options.wait)
            while parts := self._next_pass():
                await self._pass(parts)
            self._some.clear()

    def _next_pass(self) -> list[_Part]:
        """Texts of as many requests as fit, the longest waiting first."""
        parts: list[_Part] = []
        room, letters = self._options.batch, _LETTERS
        while self._jobs and room > 0 and letters > 0:
            job = self._jobs.popleft()
            if job.answer.done():  # its client left
                self._meters.dropped(len(job.texts) - job.taken)
                continue
            part = job.take(room, letters)
            parts.append(part)
            room, letters = room - len(part.texts), letters - sum(map(len, part.texts))
            if job.taken < len(job.texts):
                self._jobs.append(job)
        return parts

    async def _pass(self, parts: list[_Part]) -> None:
        """Encode what fits together, each text once, and hand it out."""
        texts = dict.fromkeys(text for part in parts for text in part.texts)
        rows = {text: row for row, text in enumerate(texts)}
        began = time.perf_counter()
        try:
            found = await asyncio.get_running_loop().run_in_executor(self._executor, self._encode, list(rows))
        except Exception as error:  # theirs to answer; the others' passes go on
            for part in parts:
                if not part.job.answer.done():
                    part.job.answer.set_exception(error)
            return
        self._meters.encoded(self._system, len(rows), time.perf_counter() - began)
        for part in parts:
            mine = [rows[text] for text in part.texts]
            part.job.give(part.first, Encoded(found.vectors[mine], [found.tokens[row] for row in mine]))
