"""Dynamic batching: texts of several requests are encoded in one batch.

When a text arrives, the batcher waits `--wait` seconds for more. Texts that arrive while a batch is being encoded form
the next batch without that wait. A long request is split over batches, so that short requests need not wait for it.
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

_TURN = 16  # texts that a request may put into a batch before the next request's turn
_LETTERS = 16_384  # characters in a batch, approximately: about as many tokens as an encoder takes at once


class Encoded(NamedTuple):
    """The vectors and token counts of n texts."""

    vectors: NDArray[np.float32]  # (n, width)
    tokens: NDArray[np.int64]  # (n,) number of tokens that the model read of each text; 0 if it reads no tokens


class _Part(NamedTuple):
    """The part of a request's texts that is encoded in one batch."""

    job: _Job
    first: int
    texts: list[str]


@dataclass
class _Job:
    """One request's texts, and the vectors that were computed for them so far."""

    texts: Sequence[str]
    answer: asyncio.Future[Encoded]
    taken: int = 0
    done: dict[int, Encoded] = field(default_factory=dict)  # by first text's number, as batches finish in any order

    def take_part(self, room: int, letters: int) -> _Part:
        """Take the next texts of the request: at most `room` texts and `letters` characters, but at least one text."""
        first, used = self.taken, 0
        for text in self.texts[first : first + min(room, _TURN)]:
            used += len(text)
            if used > letters and self.taken > first:
                break
            self.taken += 1
        return _Part(self, first, list(self.texts[first : self.taken]))

    def add_part(self, first: int, encoded: Encoded) -> None:
        """Add the vectors of some of the request's texts; when all texts are encoded, complete the request."""
        self.done[first] = encoded
        if sum(len(part.tokens) for part in self.done.values()) == len(self.texts) and not self.answer.done():
            vectors, tokens = zip(*(self.done[start] for start in sorted(self.done)), strict=True)
            self.answer.set_result(Encoded(np.concatenate(vectors), np.concatenate(tokens)))


class Batcher:
    """Encodes the texts of many requests with one system's model, several requests in a batch.

    Args:
        system: the system's name.
        encode: encodes n texts; may block.
        executor: threads that call `encode`; batchers of several systems may share these threads.
        options: gives the size of a batch and the time to wait for more texts.
        meters: counts batches and dropped texts.
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
        """Encode one or more texts, batched with other requests' texts; drops texts if the client disconnects."""
        job = _Job(texts, asyncio.get_running_loop().create_future())
        self._jobs.append(job)
        self._some.set()
        return await job.answer

    async def run(self) -> None:
        """Encode texts of incoming requests, batch by batch, until the task is cancelled."""
        while True:
            await self._some.wait()
            if sum(len(job.texts) for job in self._jobs) < self._options.batch:
                await asyncio.sleep(self._options.wait)
            while parts := self._next_pass():
                await self._encode_parts(parts)
            self._some.clear()

    def _next_pass(self) -> list[_Part]:
        """Take texts for a batch from the waiting requests in turn; a long request gives some texts at each turn."""
        parts: list[_Part] = []
        room, letters = self._options.batch, _LETTERS
        while self._jobs and room > 0 and letters > 0:
            job = self._jobs.popleft()
            if job.answer.done():  # the client disconnected
                self._meters.count_dropped(len(job.texts) - job.taken)
                continue
            part = job.take_part(room, letters)
            parts.append(part)
            room, letters = room - len(part.texts), letters - sum(map(len, part.texts))
            if job.taken < len(job.texts):
                self._jobs.append(job)
        return parts

    async def _encode_parts(self, parts: list[_Part]) -> None:
        """Encode the texts of a batch, each distinct text once, and pass the vectors to the requests."""
        texts = dict.fromkeys(text for part in parts for text in part.texts)
        rows = {text: row for row, text in enumerate(texts)}
        began = time.perf_counter()
        try:
            encoded = await asyncio.get_running_loop().run_in_executor(self._executor, self._encode, list(rows))
        except Exception as error:  # only the requests in this batch fail
            for part in parts:
                if not part.job.answer.done():
                    part.job.answer.set_exception(error)
            return
        self._meters.count_pass(self._system, len(rows), time.perf_counter() - began)
        for part in parts:
            own = [rows[text] for text in part.texts]
            part.job.add_part(part.first, Encoded(encoded.vectors[own], encoded.tokens[own]))
