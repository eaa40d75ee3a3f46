"""The embedded store: a folder that serves the very codes that were measured, exactly, without any server.

    current.json   what is served, and by which generation
    000001/        that generation, `generation.py`: built whole under another name, then renamed

Every search is exact, with the evaluation's rule for ties, so what comes out is what the surface measured.

A reader sees one state whole. A generation that a build replaces is removed, but who reads it has its files open, and
who comes too late to open them reads `current.json` again.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager, suppress
from functools import partial
from threading import RLock
from typing import TYPE_CHECKING, Any

import numpy as np

from nestvec.errors import InputError
from nestvec.files import follow_links, locked, read_json, remove, replacing, sweep, write_json
from nestvec.processors import count_processors
from nestvec.stores.generation import Generation
from nestvec.stores.scan import load_faiss
from nestvec.stores.store import PATIENCE, About, Batch
from nestvec.stores.view import filter_generation

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from nestvec.stores.store import Condition, Hit
    from nestvec.stores.view import View
    from nestvec.vectors.codecs import Codec

CURRENT = "current.json"
_SEGMENT = 65_536  # documents of a segment: 100 MB of vectors at 384 dimensions
_SEGMENTS = 32  # more than that, and the codes are written together anew
_TRIES = 20  # to open a generation that builds replace one after the other


class EmbeddedStore:
    """See the module; a `Store`.

    Args:
        folder: where it lies; it is made by the first `build`.
        limit: seconds to wait for another process that has locked the documents.

    Raises:
        InputError: the folder holds an index that is damaged or newer than this nestvec, or is locked for longer.
    """

    def __init__(self, folder: Path, limit: float = PATIENCE) -> None:
        self._folder, self._limit = folder, limit
        self._generation: Generation | None = None
        self._state: Mapping[str, Any] = {}  # what `current.json` said of it
        self._lock = RLock()  # of the connection to SQLite, and of the generation, which a build replaces
        self._is_reading = False
        self._pool = ThreadPoolExecutor(count_processors(), initializer=partial(load_faiss().omp_set_num_threads, 1))
        if (folder / CURRENT).is_file():
            self._refresh()

    @property
    def about(self) -> About | None:
        """What it serves; None where nothing was built yet."""
        return self._generation.about if self._generation else None

    def build(self, about: About, codecs: Sequence[Codec], batches: Iterable[Batch]) -> None:
        """Put up an index in place of the one that is there; see `Store`."""
        with self._write_lock(), self._new_generation(about, codecs) as generation:
            for batch in _gather_segments(batches):
                _add_batch(generation, batch)

    def upsert(self, batches: Iterable[Batch], about: About | None = None) -> None:
        """Add documents, and replace those whose id is there; see `Store`."""
        with self._write_lock():
            for batch in _gather_segments(batches):
                with self._lock:
                    generation = self._refresh()
                    generation.about.require_same(about, self._folder)
                    _add_batch(generation, batch)
                    if len(generation.segments) > _SEGMENTS:
                        self._merge_segments(generation)

    def delete(self, ids: Sequence[str]) -> int:
        """Remove documents; see `Store`."""
        with self._write_lock(), self._lock:
            return self._refresh().remove_documents(ids)

    @contextmanager
    def one_state(self) -> Iterator[About]:
        """A block that reads one state; see `Store`."""
        with self._reading() as generation:
            yield generation.about

    def version(self) -> object:
        """What changes with the documents; see `Store`."""
        with self._reading() as generation:
            return generation.version

    def find_missing(self, ids: Sequence[str]) -> list[str]:
        """The ids that no document has; see `Store`."""
        with self._reading() as generation:
            known = generation.known_ids(ids)
        return [identifier for identifier in dict.fromkeys(ids) if identifier not in known]

    def search(
        self, queries: NDArray[np.float32], k: int, where: Sequence[Condition] = (), exact: bool = False
    ) -> list[list[Hit]]:
        """The best documents of each query by vectors; always exact, see `Store`."""
        del exact
        with self._reading() as generation:
            view = self._view(generation, where, queries)
            return [view.find_by_vectors(query, k) for query in queries]

    def correct(self, texts: Sequence[str]) -> list[str]:
        """Queries as their words are searched; see `Store`."""
        with self._reading() as generation:
            return generation.words.correct(texts) if generation.about.hybrid else list(texts)

    def search_words(self, texts: Sequence[str], k: int, where: Sequence[Condition] = ()) -> list[list[Hit]]:
        """The best documents of each query by words; see `Store`."""
        with self._reading() as generation:
            view = self._view(generation, where)
            return [view.find_by_words(text, k) for text in texts]

    def search_fused(
        self,
        texts: Sequence[str],
        queries: NDArray[np.float32],
        k: int,
        where: Sequence[Condition] = (),
        exact: bool = False,
        weight: float | None = None,
    ) -> list[list[Hit]]:
        """The best documents of each query by words and vectors; always exact, see `Store`."""
        del exact
        with self._reading() as generation:
            view = self._view(generation, where, queries)
            fusion = generation.about.require_words(self._folder).fusion.weighted(weight)
            return [view.find_by_both(text, query, k, fusion) for text, query in zip(texts, queries, strict=True)]

    def __len__(self) -> int:
        """How many documents there are."""
        with self._reading() as generation:
            return len(generation)

    def size(self) -> int:
        """Bytes on disk."""
        with self._reading() as generation:
            return generation.size()

    def close(self) -> None:
        """Let go of the files."""
        with self._lock:  # a search ends first
            self._pool.shutdown()
            if self._generation:
                self._generation.close()
            self._generation = None

    def _view(
        self, generation: Generation, where: Sequence[Condition], queries: NDArray[np.float32] | None = None
    ) -> View:
        """What fulfils the conditions, to be searched; InputError where queries have another width."""
        width = generation.about.full_dimension
        if queries is not None and queries.shape[1] != width:
            problem = f"the query has {queries.shape[1]} dimensions"
            raise InputError(problem, f"{width}, as the index was built", file=self._folder)
        return filter_generation(generation, where, self._pool)

    @contextmanager
    def _reading(self) -> Iterator[Generation]:
        """The generation that serves, in one state until the block ends; a block within another sees the same."""
        with self._lock:
            if self._is_reading and self._generation is not None:
                yield self._generation
                return
            generation = self._begin()
            self._is_reading = True
            try:
                yield generation
            finally:
                self._is_reading = False
                generation.end()

    def _refresh(self) -> Generation:
        """The generation that serves, as it is now."""
        with self._reading() as generation:
            return generation

    def _begin(self) -> Generation:
        """Open what `current.json` names, and begin to read it."""
        state = self._read_current()
        for _ in range(_TRIES):
            try:
                generation = self._open_generation(state)
                generation.begin()
                return generation
            except (InputError, OSError, RuntimeError):  # faiss has no other class for a file that is gone
                before, state = state, self._read_current()
                if state == before:
                    raise
        raise InputError("is built anew again and again", "an index that stays while it is read", file=self._folder)

    def _read_current(self) -> dict[str, Any]:
        """What `current.json` says; InputError where it names no generation, or is not there any more."""
        path = self._folder / CURRENT
        if not path.is_file():
            raise InputError("holds no index", "what `nestvec index` made", file=self._folder)
        state = read_json(path)
        name = state.get("generation") if isinstance(state, dict) else None
        if not isinstance(name, str) or not name.isdecimal():
            raise InputError("is damaged: it names no generation", "what `nestvec index` made", file=path)
        return dict(state)

    def _open_generation(self, state: Mapping[str, Any]) -> Generation:
        """The generation that `current.json` names: the open one, unless its files have been replaced."""
        held = self._generation
        if held is not None and state == self._state and not held.is_replaced:
            return held
        about = About.from_json(state, self._folder / CURRENT)
        opened = Generation(self._folder / state["generation"], about, self._limit)
        if held is not None:
            held.close()
        self._generation, self._state = opened, state
        return opened

    @contextmanager
    def _new_generation(self, about: About, codecs: Sequence[Codec]) -> Iterator[Generation]:
        """An empty generation, to be served in place of the one that is there when the block ends well."""
        numbers = [int(path.name) for path in self._folder.iterdir() if path.name.isdecimal()]
        name = f"{max(numbers, default=0) + 1:06d}"
        with (
            replacing(self._folder / name) as temporary,
            closing(Generation.create_empty(temporary, about, codecs, self._limit)) as generation,
        ):
            yield generation
        write_json(self._folder / CURRENT, {**about.to_json(), "generation": name})
        self._refresh()
        self._remove_all_but(name)

    def _remove_all_but(self, name: str) -> None:
        """Remove every generation but the named one, if that one is there."""
        if not (self._folder / name).is_dir():
            return
        for path in self._folder.iterdir():
            if path.name.isdecimal() and path.name != name:
                remove(path)

    def _merge_segments(self, old: Generation) -> None:
        """Write all documents into a new generation: few large segments, and no rows that are gone."""
        rows = np.flatnonzero(old.live_rows())
        with self._new_generation(old.about, old.codecs) as merged:
            for first in range(0, len(rows), _SEGMENT):
                chosen = rows[first : first + _SEGMENT]
                documents = sorted(old.documents_at(chosen), key=lambda document: document.row)
                merged.add_documents(
                    [document.id for document in documents],
                    [document.text for document in documents],
                    [document.fields for document in documents],
                    [old.codes_at(stage, chosen) for stage in range(len(old.codecs))],
                )

    @contextmanager
    def _write_lock(self) -> Iterator[None]:
        """Let one process write at a time; remove what killed writers left."""
        follow_links(self._folder).mkdir(parents=True, exist_ok=True)
        with locked(self._folder):
            sweep(self._folder)
            with suppress(InputError):  # there is no index yet, or one that only building it anew mends
                self._remove_all_but(self._read_current()["generation"])
            yield


def _add_batch(generation: Generation, batch: Batch) -> None:
    """Add a batch's documents to a generation, coded for each of its stages."""
    codes = [codec.encode(codec.cut(batch.vectors)) for codec in generation.codecs]
    generation.add_documents(batch.ids, batch.texts, batch.fields, codes)


def _gather_segments(batches: Iterable[Batch]) -> Iterator[Batch]:
    """Merge batches into segments of a good size; of an id that comes again, the last counts."""
    waiting: list[Batch] = []
    for batch in batches:
        waiting.append(batch)
        if sum(len(batch.ids) for batch in waiting) >= _SEGMENT:
            yield _merge_batches(waiting)
            waiting = []
    if waiting:
        yield _merge_batches(waiting)


def _merge_batches(batches: Sequence[Batch]) -> Batch:
    ids = [identifier for batch in batches for identifier in batch.ids]
    rows = sorted({identifier: row for row, identifier in enumerate(ids)}.values())
    texts = [text for batch in batches for text in batch.texts]
    fields = [entries for batch in batches for entries in batch.fields]
    vectors = np.concatenate([batch.vectors for batch in batches])
    if len(rows) < len(ids):
        vectors = vectors[rows]
    return Batch([ids[row] for row in rows], [texts[row] for row in rows], vectors, [fields[row] for row in rows])
