"""Texts of many requests in one forward pass.

A first text waits a moment for others to join it. While a pass runs nobody waits for anything: what comes in meanwhile
is the next pass. Long requests take turns with short ones.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from concurrent.futures import Executor

    from numpy.typing import NDArray

    from nestvec.serving.prometheus_meters import Meters
    from nestvec.serving.serving_options import ServingOptions

_TURN = 16  # texts that a request puts into a pass before it is another's turn
_LETTERS = 16_384  # of a pass, roughly: about as many tokens as an encoder takes at once


class Encoded(NamedTuple):
    """Texts as vectors."""

    vectors: NDArray[np.float32]  # (n, width)
    tokens: NDArray[np.int64]  # (n,) how many tokens the model read of each text; 0 where it reads none


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
    done: dict[int, Encoded] = field(default_factory=dict)  # by first text: passes may overtake each other

    def take_part(self, room: int, letters: int) -> _Part:
        """Take the request's next texts: at least one, as many as there is room for."""
        first, used = self.taken, 0
        for text in self.texts[first : first + min(room, _TURN)]:
            used += len(text)
            if used > letters and self.taken > first:
                break
            self.taken += 1
        return _Part(self, first, list(self.texts[first : self.taken]))

    def add_part(self, first: int, encoded: Encoded) -> None:
        """Take a part's vectors, and answer the request when those of all texts are there."""
        self.done[first] = encoded
        if sum(len(part.tokens) for part in self.done.values()) == len(self.texts) and not self.answer.done():
            vectors, tokens = zip(*(self.done[start] for start in sorted(self.done)), strict=True)
            self.answer.set_result(Encoded(np.concatenate(vectors), np.concatenate(tokens)))


class Batcher:
    """Encodes the texts of one system.

    Args:
        system: its name.
        encode: n texts to their vectors; blocking.
        executor: whose threads encode; several systems may share it.
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
        """Encode one or more texts, together with those of other requests; texts of a client that left are dropped."""
        job = _Job(texts, asyncio.get_running_loop().create_future())
        self._jobs.append(job)
        self._some.set()
        return await job.answer

    async def run(self) -> None:
        """Encode what comes in until cancelled."""
        while True:
            await self._some.wait()
            if sum(len(job.texts) for job in self._jobs) < self._options.batch:
                await asyncio.sleep(self._options.wait)
            while parts := self._next_pass():
                await self._encode_parts(parts)
            self._some.clear()

    def _next_pass(self) -> list[_Part]:
        """Take texts of as many requests as fit into a pass, the longest waiting first."""
        parts: list[_Part] = []
        room, letters = self._options.batch, _LETTERS
        while self._jobs and room > 0 and letters > 0:
            job = self._jobs.popleft()
            if job.answer.done():  # its client left
                self._meters.count_dropped(len(job.texts) - job.taken)
                continue
            part = job.take_part(room, letters)
            parts.append(part)
            room, letters = room - len(part.texts), letters - sum(map(len, part.texts))
            if job.taken < len(job.texts):
                self._jobs.append(job)
        return parts

    async def _encode_parts(self, parts: list[_Part]) -> None:
        """Encode the texts of a pass, each distinct one once, and hand the vectors to their requests."""
        texts = dict.fromkeys(text for part in parts for text in part.texts)
        rows = {text: row for row, text in enumerate(texts)}
        began = time.perf_counter()
        try:
            encoded = await asyncio.get_running_loop().run_in_executor(self._executor, self._encode, list(rows))
        except Exception as error:  # theirs to answer; the others' passes go on
            for part in parts:
                if not part.job.answer.done():
                    part.job.answer.set_exception(error)
            return
        self._meters.count_pass(self._system, len(rows), time.perf_counter() - began)
        for part in parts:
            own = [rows[text] for text in part.texts]
            part.job.add_part(part.first, Encoded(encoded.vectors[own], encoded.tokens[own]))
