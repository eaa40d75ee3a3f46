"""Encodes texts and searches for all requests in background threads, with a queue of limited length."""

from __future__ import annotations

import asyncio
import logging
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, TypeVar

import numpy as np

from nestvec.errors import InputError, NestvecError
from nestvec.indexing.index_query import RebuiltError
from nestvec.models.compute import limit_threads
from nestvec.models.prompts import ROLES
from nestvec.point import BM25
from nestvec.processors import count_processors
from nestvec.runs.choose_point import UnknownPointError
from nestvec.serving.batching import Batcher, Encoded
from nestvec.serving.capacity import SMALL, Capacity
from nestvec.serving.failures import GONE, Failure, too_busy, too_many_bytes, unavailable, unknown_model
from nestvec.serving.lazy_value import LazyValue
from nestvec.serving.token_ids import ForeignIdsError, TokenDecoder, open_decoder

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence
    from concurrent.futures import Executor

    from starlette.requests import Request

    from nestvec.models.prompts import Role
    from nestvec.point import Point
    from nestvec.runs.choose_point import PointSettings
    from nestvec.serving.prometheus_meters import Meters
    from nestvec.serving.service import Service
    from nestvec.serving.serving_options import ServingOptions

_LOG = logging.getLogger(__name__)
T = TypeVar("T")
_SEND_TEXTS = (
    "send text (LangChain: OpenAIEmbeddings(check_embedding_ctx_length=False)), "
    "or ids of this model's tokenizer with its special tokens"
)
_GRACE = 0.5  # seconds beyond a store's own timeout, so that the store's message names what it waited for
_SAY_AGAIN, _NOTHING = 10.0, ("", 0.0)  # seconds until the same line is logged again, and the state before any line
_PASSES = 4  # most batches encoded at once: with more, Python's lock is the bottleneck


class WorkQueue:
    """Encodes texts and searches for the server's requests in background threads.

    Args:
        service: the opened run, whose models are loaded later.
        options: the server's options, with its limits.
        meters: counts encoded batches and searches.

    Attributes:
        dense_systems: names of the systems with vectors.
        models: the system for each model name that a request may use: first the systems' own names, then aliases.
        capacity: limits the texts of all requests in progress.
        answers: limits the bytes of all answers that clients have not yet received.
    """

    def __init__(self, service: Service, options: ServingOptions, meters: Meters) -> None:
        self.service, self.options, self.meters = service, options, meters
        self.capacity = Capacity(options.queue, too_busy)
        self.answers = Capacity(options.max_held, too_many_bytes, SMALL)
        meters.watch_queue(lambda: self.capacity.reserved)
        self.dense_systems = tuple(system for system in service.systems if system != BM25)
        self.models = {**{system: system for system in self.dense_systems}, **self._check_aliases()}
        self._decoders = {system: LazyValue(partial(self._open_decoder, system)) for system in self.dense_systems}
        self._encoders: dict[int, Executor] = {}  # by number of batches encoded at once
        self._loading = {system: asyncio.Lock() for system in self.dense_systems}
        self._searchers = ThreadPoolExecutor(count_processors(), "search")
        self._index_reader = ThreadPoolExecutor(1, "index")  # own thread: a slow store must not block other searches
        self._index_said = _NOTHING
        self._batchers: dict[tuple[str, Role], Batcher] = {}
        self._tasks: list[asyncio.Task[None]] = []

    async def load(self, say: Callable[[str], None]) -> None:
        """Load the models that must be loaded before the server is ready; `say` receives a line for each model."""
        for system in await asyncio.to_thread(lambda: self.service.loaded_first):
            say(f"loading the model of {system}")
            await self._find_batcher(system, ROLES[0])

    async def warm_up(self) -> None:
        """Prepare what the first requests would wait for, and load the models that `load` did not load."""
        await asyncio.to_thread(self.service.warm_up)
        with suppress(Failure):  # the index may become readable later
            await self.ask_index(self.service.warm_up_index, patient=True)
        for system in self.dense_systems:
            with suppress(Failure):  # the log has the reason; the next request for the system tries again
                await self._load_batcher(system, ROLES[0])

    async def _load_batcher(self, system: str, role: Role) -> Batcher:
        """Return a system's batcher; if its model cannot be loaded, log the reason and raise a Failure (HTTP 503)."""
        try:
            return await self._find_batcher(system, role)
        except NestvecError as error:
            _LOG.warning("the model of %s cannot be loaded: %s", system, error)
            raise unavailable(f"{system} cannot be loaded now; the server's log has the reason") from error

    async def _find_batcher(self, system: str, role: Role) -> Batcher:
        """Return the batcher that encodes a system's queries or documents; the first call loads the system's model."""
        async with self._loading[system]:
            if (system, role) not in self._batchers:
                await self._start_batchers(system)
        return self._batchers[system, role]

    async def _start_batchers(self, system: str) -> None:
        """Load a system's model and start the batchers that encode queries and documents."""
        await asyncio.to_thread(self.service.load, system)
        # Encode several batches at once with one or a few threads each: threads that share a batch wait for each other
        # at every layer, and for other work of the machine. Systems with the same number of batches share the threads,
        # so that a search of all systems side by side takes no more processors than a search of one system.
        passes = min(_PASSES, count_processors()) if self.service.parallel(system) else 1
        threads = partial(limit_threads, max(1, count_processors() // passes))
        if passes not in self._encoders:
            self._encoders[passes] = ThreadPoolExecutor(passes, f"encode-{passes}", initializer=threads)
        encoders = self._encoders[passes]
        shared = self.service.one_for_both(system)  # then queries and documents can share a batch
        for role in ROLES[:1] if shared else ROLES:
            batcher = Batcher(system, self._make_encoder(system, role), encoders, self.options, self.meters)
            self._batchers |= {(system, each): batcher for each in (ROLES if shared else (role,))}
            self._tasks += [asyncio.create_task(batcher.run()) for _ in range(passes)]

    async def stop(self) -> None:
        """Stop all work and close the service; call this only when no request is waiting any more."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for encoders in self._encoders.values():
            encoders.shutdown(cancel_futures=True)
        self._searchers.shutdown(cancel_futures=True)
        self._index_reader.shutdown(wait=False, cancel_futures=True)  # closing the store ends a search in progress
        self.service.close()

    def _check_aliases(self) -> dict[str, str]:
        """Return the system of each alias; InputError for an unknown system, or an alias that is a system's name."""
        for name, system in self.options.aliases.items():
            if system not in self.dense_systems:
                raise InputError(f"--model-alias {name}: there is no system {system!r}", self._listed_systems)
            if name in self.dense_systems and name != system:
                problem = f"--model-alias {name}: the run has a system of this name"
                raise InputError(problem, "an alias that is no system's name: choose another NAME")
        return self.options.aliases

    @property
    def _listed_systems(self) -> str:
        return f"one of {', '.join(self.dense_systems)}"

    def _open_decoder(self, system: str) -> TokenDecoder:
        run = self.service.run
        return open_decoder(
            self.service.model_folder(system),
            lambda: (*run.catalogue.texts, *run.queries.texts),
            self.options.trust_token_ids,
        )

    async def decode_tokens(self, system: str, lists: Sequence[Sequence[int]]) -> list[str]:
        """Decode token ids to texts with a system's tokenizer; raises a Failure (422) if they may be from another."""
        try:
            return await self.run_in_thread(lambda: self._decoders[system]().decode(lists))
        except ForeignIdsError as error:
            raise Failure(422, f"{error}; {_SEND_TEXTS}", "input") from error

    async def encode(self, system: str, texts: Sequence[str], role: Role) -> Encoded:
        """Encode texts with a system's model, as queries or documents; a Failure (HTTP 503) if it cannot be loaded."""
        return await (await self._load_batcher(system, role)).encode(texts)

    async def run_in_thread(self, job: Callable[[], T]) -> T:
        """Run a blocking job, such as a search, in one of the search threads and return its result."""
        return await asyncio.get_running_loop().run_in_executor(self._searchers, job)

    async def ask_index(self, job: Callable[[], T], patient: bool = False) -> T:
        """Run a blocking job that reads the index, in the index's own thread, and return its result.

        Args:
            job: reads the index; takes no arguments.
            patient: whether to wait for the job as long as it takes, not only for --index-seconds.

        Returns:
            The job's result.

        Raises:
            RebuiltError: the index was rebuilt after the job's queries were encoded.
            Failure: 503, the index cannot be read, or the job takes longer than the timeout; the log has the reason.
        """
        limit = self.options.index_seconds
        reading = asyncio.get_running_loop().run_in_executor(self._index_reader, job)
        try:
            given = await asyncio.wait_for(reading, None if patient else limit + _GRACE)
            self._index_said = _NOTHING
            return given
        except RebuiltError:
            raise
        except TimeoutError:
            self._say_of_index(f"no answer within {limit:g} seconds (--index-seconds)")
        except NestvecError as error:
            self._say_of_index(str(error))
        raise unavailable("the index cannot be read now; the server's log has the reason")

    def _say_of_index(self, why: str) -> None:
        """Log why the index could not be read; the same reason is logged at most every 10 seconds."""
        now = time.monotonic()
        said, when = self._index_said
        if why != said or now > when + _SAY_AGAIN:
            self._index_said = why, now
            _LOG.warning("the index cannot be read: %s", " ".join(why.split()))

    def find_model(self, name: str | None) -> str:
        """Return the system for a model's name, which may be an alias; for None, return the default system.

        Raises a Failure (HTTP 404) for an unknown name.
        """
        system = self.models.get(self.service.default.system if name is None else name)
        if system is None:
            raise unknown_model(tuple(self.models))
        return system

    def width(self, system: str, field: str) -> int:
        """Return the full width of a system's vectors; a Failure (HTTP 422) for `field` if it has no vectors."""
        try:
            return self.service.width(system)
        except UnknownPointError as error:
            raise Failure(422, error.message, field) from error

    def find_point(self, asked: PointSettings) -> Point:
        """Find the measured system, dimension and precision that a request names; else a Failure (HTTP 422)."""
        try:
            return self.service.find_point(asked)
        except UnknownPointError as error:
            raise Failure(422, error.message, error.field) from error

    def refuse_long(self, field: str, texts: Sequence[str]) -> None:
        """Raise a Failure (HTTP 413) that names the request's `field` if one of the texts is too long."""
        if any(len(text) > self.options.letters for text in texts):
            raise Failure(413, f"{field} has a text of more than {self.options.letters:,} characters", field)

    def _make_encoder(self, system: str, role: Role) -> Callable[[list[str]], Encoded]:
        def encode(texts: list[str]) -> Encoded:
            token_counts = np.zeros(len(texts), dtype=np.int64)
            return Encoded(self.service.encode(system, texts, role, token_counts), token_counts)

        return encode


async def unless_client_leaves(request: Request, work: Awaitable[T]) -> T:
    """Wait for work and return its result; if the client disconnects first, cancel the work and raise a Failure."""
    task = asyncio.ensure_future(work)
    watching = asyncio.ensure_future(_wait_for_disconnect(request))
    try:
        await asyncio.wait((task, watching), return_when=asyncio.FIRST_COMPLETED)
        if not task.done():
            raise Failure(GONE, "the client disconnected")
        return task.result()
    finally:
        task.cancel()
        watching.cancel()
        with suppress(asyncio.CancelledError):
            await watching


async def _wait_for_disconnect(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass
