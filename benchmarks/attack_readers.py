"""Readers beside writers: every answer must be the answer of one of the states that the index goes through.

Both stores. A writer builds an index of documents A, then again and again replaces half of them and adds some, removes
some, brings A back, and now and then builds B in A's place, at another point. Meanwhile two processes search by
vectors, words and both, with and without a filter, several queries at once, and two clients ask `nestvec serve`. An
index that nobody disturbed says what each state answers: ids, order, scores, texts, fields, how many documents.

Then what `nestvec serve` reads is locked, damaged, moved and stopped: it must answer 503 in time, with a line in its
log and no traceback, and 200 with the right answer when all is well again.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import queue
import random
import shutil
import signal
import sqlite3
import sys
import threading
import time
from contextlib import ExitStack, closing, contextmanager, nullcontext
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx2 as httpx
import numpy as np
from _outcome import Outcome

from nestvec.indexing.index_settings import FUSED, VECTORS, WORDS, IndexSettings
from nestvec.indexing.location import StoreLocation
from nestvec.indexing.plan import plan_index
from nestvec.progress import Silent
from nestvec.runs.point_files import select
from nestvec.runs.run import load_run
from nestvec.serving.serving_options import ServingOptions
from nestvec.stores.store import Batch, Condition

sys.path.append(str(Path(__file__).parent.parent / "tests"))

from database import start_server  # type: ignore[import-not-found]  # helpers of the tests
from running import Running, serving  # type: ignore[import-not-found]

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from nestvec.stores.store import About, Hit, Store
    from nestvec.vectors.codecs import Codec

SECONDS = 60.0  # of searching, for each store
K, TOGETHER, QUERIES = 10, 4, 24  # documents of an answer, queries of a search, and queries in all
DOCUMENTS, ADDED = 400, 60
FILTERS = ((), ("shelf<10",))
POINTS = {"A": (384, "int8"), "B": (96, "binary")}
STATES = "A", "A changed", "A without some", "B"
LIMIT = 1.0  # seconds that a search of a locked index may take
SLACK = 2.0  # seconds beyond, on a machine that does other things too
WAIT = 10.0  # seconds after which a client gives up

Answer = list[list[Any]]  # of each query: id, score, text and fields of its hits


@dataclass
class World:
    """Documents, queries, and the changes that a writer makes to an index of them.

    Attributes:
        run: the folder of a finished run, whose index it is.
        place: the store, as `--store` takes it.
        name: of the index in a database.
    """

    run: Path
    place: str
    name: str | None = None

    @cached_property
    def plans(self) -> dict[str, tuple[About, list[Codec]]]:
        """What A and B serve, and by which codecs."""
        opened = load_run(self.run)
        return {
            state: plan_index(select(opened, "pretrained", *point), IndexSettings(), Silent())
            for state, point in POINTS.items()
        }

    @cached_property
    def texts(self) -> list[str]:
        """Of the run's documents."""
        return list(load_run(self.run).catalogue.texts)

    @cached_property
    def vectors(self) -> np.ndarray[Any, Any]:
        """(d, full width) of the run's documents."""
        return np.array(select(load_run(self.run), "pretrained", *POINTS["A"]).document_vectors)

    @cached_property
    def asked(self) -> tuple[list[str], np.ndarray[Any, Any]]:
        """Queries and their vectors, as they were measured."""
        opened = load_run(self.run)
        vectors = select(opened, "pretrained", *POINTS["A"]).query_vectors
        texts = dict.fromkeys(opened.queries.texts)
        rows = [opened.queries.texts.index(text) for text in list(texts)[:QUERIES]]
        return [opened.queries.texts[row] for row in rows], np.array(vectors[rows])

    def open(self) -> Store:
        """The store."""
        folder = load_run(self.run).folder
        return StoreLocation.of(folder, self.place, self.name).open(folder)

    def remember(self) -> None:
        """Let the run say where its index is."""
        folder = load_run(self.run).folder
        StoreLocation.of(folder, self.place, self.name).remember(folder)

    def batch(self, rows: Sequence[int], shift: int = 0, mark: str = "a") -> Batch:
        """Documents of these rows with the texts and vectors of others, `shift` rows on."""
        places = [(row + shift) % len(self.texts) for row in rows]
        fields = [{"shelf": place % 30, "mark": mark} for place in places]
        return Batch([f"{mark}{row}" for row in rows], [self.texts[at] for at in places], self.vectors[places], fields)

    def changes(self) -> dict[str, Callable[[Store], object]]:
        """What makes each state of an index that is in the one before."""
        every, half, new = range(DOCUMENTS), range(0, DOCUMENTS, 2), range(DOCUMENTS, DOCUMENTS + ADDED)
        some = [f"a{row}" for row in range(0, DOCUMENTS, 5)] + [f"a{row}" for row in new]
        changed = [self.batch(half, 7), self.batch(new, 3)]
        return {
            "A": lambda store: store.upsert([self.batch(every)]),
            "A changed": lambda store: store.upsert([join(changed)]),
            "A without some": lambda store: store.delete(some),
            "B": lambda store: store.build(*self.plans["B"], [self.batch(every, 11, "b")]),
        }

    def build(self, store: Store) -> None:
        """Put up A in place of whatever is there."""
        store.build(*self.plans["A"], [self.batch(range(DOCUMENTS))])


def join(batches: Sequence[Batch]) -> Batch:
    """Batches as one, so that all of it happens or nothing."""
    first, *others = batches
    for each in others:
        vectors = np.concatenate([first.vectors, each.vectors])
        first = replace(
            first, ids=[*first.ids, *each.ids], texts=[*first.texts, *each.texts], vectors=vectors,
            fields=[*first.fields, *each.fields],
        )  # fmt: skip
    return first


def search(store: Store, world: World, mode: str, where: Sequence[str], rows: Sequence[int]) -> tuple[int, Answer]:
    """How many documents there are, and what is found for some queries, of one state where the store can say so."""
    conditions, (texts, vectors) = [Condition.parse(text) for text in where], world.asked
    asked = [texts[row] for row in rows]
    state = getattr(store, "one_state", nullcontext)
    with state():
        if mode == VECTORS:
            hits = store.search(vectors[list(rows)], K, conditions, exact=True)
        elif mode == WORDS:
            hits = store.search_words(asked, K, conditions)
        else:
            hits = store.search_fused(asked, vectors[list(rows)], K, conditions, exact=True)
        return len(store), [list(map(describe, each)) for each in hits]


def describe(hit: Hit) -> Any:  # noqa: ANN401 - as JSON has it
    """A hit as a list that JSON can hold: id, score, text and fields."""
    return [hit.id, hit.score, hit.text, dict(hit.fields)]


@dataclass
class Expected:
    """What each state answers, by mode, filter and query."""

    counts: dict[str, int] = field(default_factory=dict)
    answers: dict[tuple[str, str, tuple[str, ...]], Answer] = field(default_factory=dict)
    rankings: dict[tuple[str, tuple[str, ...]], Answer] = field(default_factory=dict)  # by vectors, of all documents

    @classmethod
    def of(cls, world: World) -> Expected:
        """Take an index that nobody disturbs through all states."""
        expected, changes = cls(), world.changes()
        with closing(world.open()) as store:  # type: ignore[type-var]
            world.build(store)
            for state in STATES:
                if state != "A":
                    changes[state](store)
                for mode, where in product((VECTORS, WORDS, FUSED), FILTERS):
                    count, found = search(store, world, mode, where, range(QUERIES))
                    expected.counts[state], expected.answers[state, mode, where] = count, found
                for where in FILTERS:
                    hits = store.search(world.asked[1], count, [Condition.parse(text) for text in where], exact=True)
                    expected.rankings[state, where] = [list(map(describe, each)) for each in hits]
        return expected

    def near_states(self, where: tuple[str, ...], rows: Sequence[int], count: int, found: Answer) -> list[str]:
        """The states that an answer of an approximate index can be of: some of a state's documents, in their order."""
        return [
            state
            for state in STATES
            if self.counts[state] == count
            and all(
                len(hits) == K and is_part(hits, self.rankings[state, where][row])
                for row, hits in zip(rows, found, strict=True)
            )
        ]

    def states(self, mode: str, where: tuple[str, ...], rows: Sequence[int], count: int, found: Answer) -> list[str]:
        """The states that an answer can be of."""
        return [
            state
            for state in STATES
            if self.counts[state] == count and [self.answers[state, mode, where][row] for row in rows] == found
        ]


def is_part(hits: Sequence[object], ranking: Sequence[object]) -> bool:
    """Whether a ranking holds all hits, in their order."""
    rest = iter(ranking)
    return all(hit in rest for hit in hits)


@dataclass
class Seen:
    """What a reader saw."""

    tried: int = 0
    fell: list[str] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)
    states: dict[str, int] = field(default_factory=dict)
    missed: int = 0  # answers of an approximate index that lack a document of the exact ones

    def take(self, told: str, states: Sequence[str], found: Answer, seconds: float) -> None:
        """Count an answer."""
        self.tried += 1
        self.seconds.append(seconds)
        for state in states[:1]:
            self.states[state] = self.states.get(state, 0) + 1
        if not states:
            self.fell.append(f"{told}: of no one state: {[[hit[:2] for hit in hits] for hits in found]}")


def draw(rng: random.Random) -> tuple[str, tuple[str, ...], list[int]]:
    """A search."""
    return rng.choice((VECTORS, WORDS, FUSED)), rng.choice(FILTERS), rng.sample(range(QUERIES), TOGETHER)


def read_store(world: World, expected: Expected, over: Any, seed: int, told: Any) -> None:  # noqa: ANN401
    """Search the store until it is over; a process of its own."""
    rng, seen = random.Random(seed), Seen()
    store = None
    while not over.is_set():
        mode, where, rows = draw(rng)
        began = time.perf_counter()
        try:
            if store is None or rng.random() < 0.02:  # who opens it just now, too
                if store is not None:
                    store.close()
                    store = None
                store = world.open()
            count, found = search(store, world, mode, where, rows)
        except Exception as error:  # whatever it is, it should not be
            seen.tried += 1
            seen.fell.append(f"{mode} {where}: {type(error).__name__}: {error}"[:300])
            continue
        states = expected.states(mode, where, rows, count, found)
        seen.take(f"{mode} {' '.join(where)}", states, found, time.perf_counter() - began)
    told.put(seen)


def read_server(url: str, world: World, expected: Expected, over: threading.Event, seed: int) -> Seen:
    """Ask a server until it is over."""
    rng, seen, points = random.Random(seed), Seen(), {state: POINTS.get(state, POINTS["A"]) for state in STATES}
    with httpx.Client(base_url=url, timeout=WAIT) as client:
        while not over.is_set():
            mode, where, rows = draw(rng)
            began = time.perf_counter()
            try:
                status, told, found = ask(client, world, mode, where, rows)
            except httpx.HTTPError as error:
                status, told, found = 0, {"error": repr(error)}, []
            seconds = time.perf_counter() - began
            if status != 200:
                seen.tried += 1
                seen.fell.append(f"served {mode} {where}: {status} {told}"[:300])
                continue
            states = expected.states(mode, where, rows, told["documents"], found)
            if not states and mode == VECTORS and world.name:  # PostgreSQL's HNSW, which serve asks, may miss some
                states = expected.near_states(where, rows, told["documents"], found)
                seen.missed += bool(states)
            if mode != WORDS:
                states = [each for each in states if points[each] == (told["dimension"], told["precision"])]
            seen.take(f"served {mode} {' '.join(where)}", states, found, seconds)
    return seen


def ask(
    client: httpx.Client, world: World, mode: str, where: Sequence[str], rows: Sequence[int]
) -> tuple[int, dict[str, Any], Answer]:
    """Status, answer and hits of a search over HTTP."""
    body = {"queries": [world.asked[0][row] for row in rows], "k": K, "mode": mode}
    answer = client.post("/v1/search", json={**body, **({"filter": list(where)} if where else {})})
    told = answer.json()
    found = [
        [[hit["id"], hit["score"], hit["text"], hit["fields"]] for hit in result["hits"]]
        for result in told.get("results", [])
    ]
    return answer.status_code, told, found


def write_store(world: World, over: Any, seed: int, told: Any) -> None:  # noqa: ANN401 - multiprocessing's
    """Take an index through its states until it is over; a process of its own."""
    rng, seen, changes = random.Random(seed), Seen(), world.changes()
    try:
        with closing(world.open()) as store:  # type: ignore[type-var]
            while not over.is_set():
                for _ in range(rng.choice((1, 2, 20))):  # after twenty, the embedded store merges its segments
                    for state in ("A changed", "A without some", "A"):
                        began = time.perf_counter()
                        changes[state](store)
                        seen.seconds.append(time.perf_counter() - began)
                        seen.tried += 1
                        time.sleep(rng.choice((0.0, 0.0, 0.01, 0.05)))
                        if over.is_set():
                            break
                    if over.is_set():
                        break
                for build in (changes["B"], world.build):
                    began = time.perf_counter()
                    build(store)
                    seen.seconds.append(time.perf_counter() - began)
                    seen.tried += 1
                    time.sleep(rng.choice((0.0, 0.05)))
    except Exception as error:
        seen.fell.append(f"the writer: {type(error).__name__}: {error}"[:300])
    told.put(seen)


def attack_store(world: World, oracle: World, seconds: float, seed: int, outcome: Outcome) -> None:
    """Read one store beside its writer."""
    expected, kind = Expected.of(oracle), "postgres" if world.name else "embedded"
    if not expected.answers["A", VECTORS, ()] != expected.answers["A changed", VECTORS, ()]:
        raise AssertionError("the states should answer differently")
    with closing(world.open()) as store:  # type: ignore[type-var]
        world.build(store)
    world.remember()
    processes = multiprocessing.get_context("spawn")
    over, told = processes.Event(), processes.Queue()
    workers = [processes.Process(target=write_store, args=(world, over, seed, told))]
    workers += [
        processes.Process(target=read_store, args=(world, expected, over, seed + number, told)) for number in (1, 2)
    ]
    stop, served = threading.Event(), list[Seen]()
    with serving(world.run) as server:
        clients = [
            threading.Thread(target=lambda seed=seed + number: served.append(
                read_server(server.url, world, expected, stop, seed)
            )) for number in (11, 12)
        ]  # fmt: skip
        for each in [*workers, *clients]:
            each.start()
        time.sleep(seconds)
        stop.set()
        for client in clients:
            client.join()
        over.set()
        try:
            seen = [told.get(timeout=120) for _ in workers]
        except queue.Empty:
            seen = []
            outcome.judge(f"{kind}: ends", "a process hung")
        for worker in workers:
            worker.join(10)
            worker.kill()
        outcome.judge(f"{kind}: the server's log", find_traceback(server))
    for part in (*seen, *served):
        outcome.tried += part.tried
        outcome.fell += [f"{kind}: {each}" for each in part.fell]
    outcome.figures[kind] = {
        "searches": sum(part.tried for part in (*seen, *served) if part.states),
        "of each state": {state: sum(part.states.get(state, 0) for part in (*seen, *served)) for state in STATES},
        "missed a document": sum(part.missed for part in served),
        "changes": sum(part.tried for part in seen if not part.states),
        "change ms": percentiles([each for part in seen if not part.states for each in part.seconds]),
        "search ms": percentiles([each for part in seen if part.states for each in part.seconds]),
        "served ms": percentiles([each for part in served for each in part.seconds]),
    }


def percentiles(seconds: Sequence[float]) -> list[float]:
    """The median, 99th percentile and maximum in milliseconds."""
    return [round(1000 * float(np.quantile(seconds, share)), 1) for share in (0.5, 0.99, 1)] if seconds else []


def find_traceback(server: Running) -> str | None:
    """What a server's log should not hold."""
    log = server.log.read_text()
    return log[log.index("Traceback") :][:300] if "Traceback" in log else None


# What a server reads, locked, damaged, moved and stopped


@contextmanager
def locked_file(world: World) -> Iterator[None]:
    """SQLite's file is locked by somebody else."""
    [path] = index_folder(world).rglob("documents.sqlite")
    with closing(sqlite3.connect(path, isolation_level=None)) as base:
        base.execute("BEGIN EXCLUSIVE")
        yield


def harm(spoil: Callable[[Path], object]) -> Callable[[World], Any]:
    """Spoil a file of the embedded index, and put it back; given the folder of the generation."""

    @contextmanager
    def harmed(world: World) -> Iterator[None]:
        folder = index_folder(world)
        kept = folder.with_name("kept")
        shutil.copytree(folder, kept)
        [generation] = [path for path in folder.iterdir() if path.name.isdecimal()]
        spoil(generation)
        yield
        shutil.rmtree(folder, ignore_errors=True)
        kept.rename(folder)

    return harmed


def index_folder(world: World) -> Path:
    """Of the embedded index."""
    return world.run / "index/embedded"


def of_one(pattern: str, spoil: Callable[[Path], object]) -> Callable[[Path], object]:
    """Spoil the one file of a pattern."""

    def spoil_it(generation: Path) -> object:
        [path] = generation.glob(pattern)
        return spoil(path)

    return spoil_it


def flip(path: Path) -> None:
    """Change bytes in place."""
    held = bytearray(path.read_bytes())
    held[len(held) // 2] ^= 255
    with path.open("r+b") as stream:
        stream.write(held)


HARMS: dict[str, Callable[[World], Any]] = {
    "the database is locked": locked_file,
    "current.json is cut short": harm(lambda folder: (folder.parent / "current.json").write_text('{"gen')),
    "current.json is gone": harm(lambda folder: (folder.parent / "current.json").unlink()),
    "the folder is moved": harm(lambda folder: folder.parent.rename(folder.parent.with_name("moved"))),
    "the generation is gone": harm(shutil.rmtree),
    "codes are cut short": harm(of_one("*.faiss", lambda path: os.truncate(path, 100))),
    "codes are changed": harm(of_one("*.faiss", flip)),
    "words are gone": harm(of_one("*.words.npy", Path.unlink)),
    "words are cut short": harm(of_one("*.words.npy", lambda path: os.truncate(path, 100))),
    "the database is junk": harm(of_one("documents.sqlite", lambda path: path.write_bytes(b"x" * 9000))),
    "the database is gone": harm(of_one("documents.sqlite", Path.unlink)),
}


def connect(world: World) -> Any:  # noqa: ANN401 - psycopg's
    """A connection of somebody else."""
    import psycopg

    return psycopg.connect(world.place)


def table_of(connection: Any, world: World) -> str:  # noqa: ANN401 - psycopg's
    """The documents' table."""
    [[table]] = connection.execute("SELECT documents FROM nestvec_indexes WHERE name = %s", [world.name]).fetchall()
    return str(table)


@contextmanager
def locked_table(world: World) -> Iterator[None]:
    """The documents' table is locked by somebody else."""
    with connect(world) as connection:
        connection.execute(f"LOCK TABLE {table_of(connection, world)} IN ACCESS EXCLUSIVE MODE")
        yield
        connection.rollback()


@contextmanager
def renamed_table(world: World) -> Iterator[None]:
    """The documents' table is moved away."""
    with connect(world) as connection:
        table = table_of(connection, world)
        connection.execute(f"ALTER TABLE {table} RENAME TO moved")
        connection.commit()
        yield
        connection.execute(f"ALTER TABLE moved RENAME TO {table}")


@contextmanager
def stopped_backend(world: World) -> Iterator[None]:
    """The server's processes for the index do not answer at all."""
    with connect(world) as connection:
        statement = "SELECT pid FROM pg_stat_activity WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()"
        pids = [pid for (pid,) in connection.execute(statement).fetchall()]
        for pid in pids:
            os.kill(pid, signal.SIGSTOP)
        yield
        for pid in pids:
            os.kill(pid, signal.SIGCONT)


HARMS_OF_DATABASE: dict[str, Callable[[World], Any]] = {
    "the table is locked": locked_table,
    "the table is moved": renamed_table,
    "the server does not answer": stopped_backend,
}


def attack_served(world: World, oracle: World, outcome: Outcome) -> None:
    """Harm what a server reads, ask it, mend it, and ask it again."""
    kind = "postgres" if world.name else "embedded"
    expected = Expected.of(oracle)
    with closing(world.open()) as store:  # type: ignore[type-var]
        world.build(store)
    world.remember()
    options = ["--index-seconds", LIMIT] if hasattr(ServingOptions, "index_seconds") else []  # before there was one
    with ExitStack() as stack:
        server = stack.enter_context(serving(world.run, *options))
        client = stack.enter_context(httpx.Client(base_url=server.url, timeout=WAIT))
        for told, harmed in (HARMS_OF_DATABASE if world.name else HARMS).items():
            outcome.judge(f"{kind}, served: {told}", _ask_harmed(server, client, world, expected, harmed))
            if server.process.poll() is not None:
                stack.close()
                server = stack.enter_context(serving(world.run, *options))
                client = stack.enter_context(httpx.Client(base_url=server.url, timeout=WAIT))


def _ask_harmed(
    server: Running, client: httpx.Client, world: World, expected: Expected, harmed: Callable[[World], Any]
) -> str | None:
    """What was wrong with the answers to a server whose index was harmed."""
    before, problem = len(server.log.read_text().splitlines()), None
    with harmed(world):
        for mode in (FUSED, WORDS):
            began = time.perf_counter()
            try:
                status, told, _ = ask(client, world, mode, (), [0])
            except (httpx.HTTPError, json.JSONDecodeError) as error:
                status, told = 0, {"error": repr(error)}
            seconds = time.perf_counter() - began
            if status != 503 or seconds > LIMIT + SLACK:
                problem = problem or f"{status} after {seconds:.1f} s: {told}"[:200]
        lines = server.log.read_text().splitlines()[before:]
        if problem is None and (not 1 <= len(lines) <= 2 or "Traceback" in "".join(lines)):
            problem = f"the log says {lines}"[:300]
    deadline = time.monotonic() + 3 * LIMIT + SLACK  # a search that waits may have to give up first
    while True:
        try:
            status, told, found = ask(client, world, FUSED, (), [0])
        except (httpx.HTTPError, json.JSONDecodeError) as error:
            status, told, found = 0, {"error": repr(error)}, []
        right = status == 200 and "A" in expected.states(FUSED, (), [0], told["documents"], found)
        if right or time.monotonic() > deadline or server.process.poll() is not None:
            return problem if right else problem or f"once mended: {status} {told}"[:300]
        time.sleep(0.1)


def attack(run: Path, folder: Path, effort: float, seed: int) -> Outcome:
    """Read both stores beside writers, and harm what a server reads; see the module.

    Args:
        run: a finished run with a system `pretrained` at 384 int8 and 96 binary.
        folder: empty.
        effort: 1.0 searches a minute in each store.
        seed: of what is searched when.

    Returns:
        The outcome.
    """
    outcome = Outcome("readers")
    with ExitStack() as stack:
        (folder / "server").mkdir()
        url = stack.enter_context(start_server(folder / "server"))
        for place in ("embedded", url):
            kind = "embedded" if place == "embedded" else "postgres"
            worlds = []
            for name in ("disturbed", "oracle"):
                copy = folder / kind / name
                shutil.copytree(run, copy, ignore=shutil.ignore_patterns("index"))
                worlds.append(World(copy, place, None if place == "embedded" else name))
            attack_store(*worlds, max(3.0, SECONDS * effort), seed, outcome)
            attack_served(*worlds, outcome)
    return outcome
