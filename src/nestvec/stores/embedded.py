"""The embedded store: a search index in a folder, which needs no server and is always searched exactly.

    current.json   the index's description (system, model, vector formats), and the name of the current generation
    000001/        the current generation: a folder with one complete build of the index (`generation.py`)

The index holds the same codes that the run measured, and orders documents with equal scores as the evaluation does. So
searches return the results that were measured.

A build writes a new generation under a temporary name, renames its folder, names it in `current.json`, and then removes
the old generation. So a reader always sees one complete state: a reader that has the old files open can go on reading
them, and a reader that finds the old files gone reads `current.json` again.
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
from nestvec.stores.sqlite_file import EXPECTED
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
_SEGMENT = 65_536  # documents in a segment: 100 MB of vectors at 384 dimensions
_SEGMENTS = 32  # with more segments than this, an update merges all of them into a new generation
_TRIES = 20  # attempts to open a generation while builds keep replacing it


class EmbeddedStore:
    """A search index (`Store`) that consists of files in one folder and needs no server.

    Args:
        folder: the index's folder; the first `build` creates it.
        limit: seconds to wait while another process has locked the SQLite file of documents.

    Raises:
        InputError: the index in the folder is damaged, made by a newer nestvec, or locked for longer than `limit`.
    """

    def __init__(self, folder: Path, limit: float = PATIENCE) -> None:
        self._folder, self._limit = folder, limit
        self._generation: Generation | None = None
        self._state: Mapping[str, Any] = {}  # content of `current.json` when the generation was opened
        self._lock = RLock()  # guards the SQLite connection and the generation, which a build replaces
        self._is_reading = False
        self._pool = ThreadPoolExecutor(count_processors(), initializer=partial(load_faiss().omp_set_num_threads, 1))
        if (folder / CURRENT).is_file():
            self._refresh()

    @property
    def about(self) -> About | None:
        """The index's description: system, model and vector formats; None if no index was built yet."""
        return self._generation.about if self._generation else None

    def build(self, about: About, codecs: Sequence[Codec], batches: Iterable[Batch]) -> None:
        """Build a new index from batches of documents; it replaces the present index when it is complete."""
        with self._write_lock(), self._new_generation(about, codecs) as generation:
            for batch in _gather_segments(batches):
                _add_batch(generation, batch)

    def upsert(self, batches: Iterable[Batch], about: About | None = None) -> None:
        """Add documents, and replace stored documents that have the same ids; see `Store.upsert`."""
        with self._write_lock():
            for batch in _gather_segments(batches):
                with self._lock:
                    generation = self._refresh()
                    generation.about.require_same(about, self._folder)
                    _add_batch(generation, batch)
                    if len(generation.segments) > _SEGMENTS:
                        self._merge_segments(generation)

    def delete(self, ids: Sequence[str]) -> int:
        """Remove the documents with the given ids, and return how many were removed."""
        with self._write_lock(), self._lock:
            return self._refresh().remove_documents(ids)

    @contextmanager
    def one_state(self) -> Iterator[About]:
        """Open a `with` block in which all reads see the same state of the index; see `Store.one_state`."""
        with self._reading() as generation:
            yield generation.about

    def version(self) -> object:
        """Return a value that is unequal to earlier values if the index's documents have changed since."""
        with self._reading() as generation:
            return generation.version

    def find_missing(self, ids: Sequence[str]) -> list[str]:
        """Return those of the given ids that no document in the index has."""
        with self._reading() as generation:
            known = generation.known_ids(ids)
        return [identifier for identifier in dict.fromkeys(ids) if identifier not in known]

    def search(
        self, queries: NDArray[np.float32], k: int, where: Sequence[Condition] = (), exact: bool = False
    ) -> list[list[Hit]]:
        """Find the k best documents for each query vector, always by exact search; see `Store.search`."""
        del exact
        with self._reading() as generation:
            view = self._view(generation, where, queries)
            return [view.find_by_vectors(query, k) for query in queries]

    def correct(self, texts: Sequence[str]) -> list[str]:
        """Return the queries with the spelling correction that keyword search applies; see `Store.correct`."""
        with self._reading() as generation:
            return generation.words.correct(texts) if generation.about.hybrid else list(texts)

    def search_words(self, texts: Sequence[str], k: int, where: Sequence[Condition] = ()) -> list[list[Hit]]:
        """Find the k best documents for each query by keyword search (BM25); see `Store.search_words`."""
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
        """Find the k best documents for each query by fused keyword and vector search; see `Store.search_fused`."""
        del exact
        with self._reading() as generation:
            view = self._view(generation, where, queries)
            fusion = generation.about.require_words(self._folder).fusion.weighted(weight)
            return [view.find_by_both(text, query, k, fusion) for text, query in zip(texts, queries, strict=True)]

    def __len__(self) -> int:
        """Number of documents in the index."""
        with self._reading() as generation:
            return len(generation)

    def size(self) -> int:
        """Size of the index on disk, in bytes."""
        with self._reading() as generation:
            return generation.size()

    def close(self) -> None:
        """Close the index's files, after a search in progress has ended."""
        with self._lock:  # wait for a search in progress
            self._pool.shutdown()
            if self._generation:
                self._generation.close()
            self._generation = None

    def _view(
        self, generation: Generation, where: Sequence[Condition], queries: NDArray[np.float32] | None = None
    ) -> View:
        """Select documents that fulfil the conditions; raises InputError if query vectors have the wrong width."""
        width = generation.about.full_dimension
        if queries is not None and queries.shape[1] != width:
            problem = f"the query vector has {queries.shape[1]} dimensions"
            wanted = f"{width} dimensions, like the vectors that the index was built from"
            raise InputError(problem, wanted, file=self._folder)
        return filter_generation(generation, where, self._pool)

    @contextmanager
    def _reading(self) -> Iterator[Generation]:
        """Open the current build of the index for reading; a nested `with` block sees the outer block's state."""
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
        """Load all committed changes, and return the current generation (build) of the index."""
        with self._reading() as generation:
            return generation

    def _begin(self) -> Generation:
        """Open the generation (build of the index) that `current.json` names, and begin to read it."""
        state = self._read_current()
        for _ in range(_TRIES):
            try:
                generation = self._open_generation(state)
                generation.begin()
                return generation
            except (InputError, OSError, RuntimeError):  # faiss raises RuntimeError for a file that is gone
                before, state = state, self._read_current()
                if state == before:
                    raise
        problem = f"other processes replaced the index {_TRIES} times while it was being opened"
        wanted = "no build of this index in progress: wait until other builds are done, then try again"
        raise InputError(problem, wanted, file=self._folder)

    def _read_current(self) -> dict[str, Any]:
        """Read `current.json`; raises InputError if the file is missing or names no generation."""
        path = self._folder / CURRENT
        if not path.is_file():
            raise InputError("holds no index", "a folder with an index that `nestvec index` built", file=self._folder)
        state = read_json(path)
        name = state.get("generation") if isinstance(state, dict) else None
        if not isinstance(name, str) or not name.isdecimal():
            problem = 'is damaged: "generation" is not the number of a build, such as "000001"'
            raise InputError(problem, EXPECTED, file=path)
        return dict(state)

    def _open_generation(self, state: Mapping[str, Any]) -> Generation:
        """Return the build of the index that `current.json` names; opens it unless that build is open already."""
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
        """Create an empty generation for the `with` block to fill; it replaces the old one if the block succeeds."""
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
        """Remove all generations except the named one; if the named one does not exist, remove none."""
        if not (self._folder / name).is_dir():
            return
        for path in self._folder.iterdir():
            if path.name.isdecimal() and path.name != name:
                remove(path)

    def _merge_segments(self, old: Generation) -> None:
        """Copy all documents into a new generation, with few large segments and without rows of removed documents."""
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
        """Lock the index's folder against other writers, and remove files that killed writers left behind."""
        follow_links(self._folder).mkdir(parents=True, exist_ok=True)
        with locked(self._folder):
            sweep(self._folder)
            with suppress(InputError):  # there is no index yet, or it is damaged and must be built again
                self._remove_all_but(self._read_current()["generation"])
            yield


def _add_batch(generation: Generation, batch: Batch) -> None:
    """Encode a batch's vectors with each codec of a generation, and add the batch's documents to this generation."""
    codes = [codec.encode(codec.cut(batch.vectors)) for codec in generation.codecs]
    generation.add_documents(batch.ids, batch.texts, batch.fields, codes)


def _gather_segments(batches: Iterable[Batch]) -> Iterator[Batch]:
    """Merge batches into larger ones, big enough for a segment; if an id repeats, its last document is kept."""
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
