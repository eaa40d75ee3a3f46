"""The embedded index: a folder that is searched in this process, without a database server.

    current.json   settings of the index, and the name of the subfolder that is searched now
    000001/        one complete build of the index, called a generation (`generation.py`)

The index stores the vectors at the precision that nestvec measured. Every search is exact and orders equal scores as
the evaluation does, so search results agree with the measured quality.

A new build writes a new generation, then points `current.json` to it and removes the old one. A process that has the
old files open can go on reading them; a process that finds them removed reads `current.json` again.
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
    """The `Store` that keeps documents and vectors in a folder, without a server (embedded index).

    Args:
        folder: the index's folder; the first `build` creates it.
        limit: seconds to wait while another process has locked the index's SQLite file.

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
        """Description of the index: its system, vector formats and search settings; None before the first build."""
        return self._generation.about if self._generation else None

    def build(self, about: About, codecs: Sequence[Codec], batches: Iterable[Batch]) -> None:
        """Build a new index from batches of documents; when complete, it replaces the present index, see `Store`."""
        with self._write_lock(), self._new_generation(about, codecs) as generation:
            for batch in _gather_segments(batches):
                _add_batch(generation, batch)

    def upsert(self, batches: Iterable[Batch], about: About | None = None) -> None:
        """Add documents to the index; a document whose id exists already replaces the old document, see `Store`."""
        with self._write_lock():
            for batch in _gather_segments(batches):
                with self._lock:
                    generation = self._refresh()
                    generation.about.require_same(about, self._folder)
                    _add_batch(generation, batch)
                    if len(generation.segments) > _SEGMENTS:
                        self._merge_segments(generation)

    def delete(self, ids: Sequence[str]) -> int:
        """Remove the documents with the given ids and return how many were removed."""
        with self._write_lock(), self._lock:
            return self._refresh().remove_documents(ids)

    @contextmanager
    def one_state(self) -> Iterator[About]:
        """Open a `with` block in which all reads see the same state of the index, whatever other processes write."""
        with self._reading() as generation:
            yield generation.about

    def version(self) -> object:
        """Return a value that changes whenever documents are added, replaced or removed."""
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
        """Find the documents whose vectors are most similar to each query's; always exact, `exact` is ignored."""
        del exact
        with self._reading() as generation:
            view = self._view(generation, where, queries)
            return [view.find_by_vectors(query, k) for query in queries]

    def correct(self, texts: Sequence[str]) -> list[str]:
        """Return the queries with corrected spelling, as keyword search uses them."""
        with self._reading() as generation:
            return generation.words.correct(texts) if generation.about.hybrid else list(texts)

    def search_words(self, texts: Sequence[str], k: int, where: Sequence[Condition] = ()) -> list[list[Hit]]:
        """Find the best documents for each query by keyword search (BM25); see `Store`."""
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
        """Find the best documents for each query by fused keyword and vector scores; always exact, see `Store`."""
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
        """Close the index's files and end its search threads."""
        with self._lock:  # wait for a search in progress
            self._pool.shutdown()
            if self._generation:
                self._generation.close()
            self._generation = None

    def _view(
        self, generation: Generation, where: Sequence[Condition], queries: NDArray[np.float32] | None = None
    ) -> View:
        """Prepare a search among the documents that fulfil all conditions of a filter (`where`).

        Raises InputError if the query vectors do not have as many dimensions as the index expects.
        """
        width = generation.about.full_dimension
        if queries is not None and queries.shape[1] != width:
            problem = f"the query has {queries.shape[1]} dimensions"
            raise InputError(problem, f"{width} dimensions, as the index was built with", file=self._folder)
        return filter_generation(generation, where, self._pool)

    @contextmanager
    def _reading(self) -> Iterator[Generation]:
        """Open a `with` block that reads the current generation; until it ends, writes by other processes are not seen.

        A block inside another one reads the same state.
        """
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
        """Return the current generation, after loading the changes that other processes have committed."""
        with self._reading() as generation:
            return generation

    def _begin(self) -> Generation:
        """Open the generation that `current.json` names and start a read transaction; retry if a build replaces it."""
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
        raise InputError(problem, "no builds in progress: try again when they are done", file=self._folder)

    def _read_current(self) -> dict[str, Any]:
        """Read `current.json`; raises InputError if the file is missing or does not name the generation to search."""
        path = self._folder / CURRENT
        if not path.is_file():
            raise InputError("holds no index", "a folder that `nestvec index` made", file=self._folder)
        state = read_json(path)
        name = state.get("generation") if isinstance(state, dict) else None
        if not isinstance(name, str) or not name.isdecimal():
            problem = f"is damaged: its entry generation is {name!r}, not a folder's name such as '000001'"
            raise InputError(problem, EXPECTED, file=path)
        return dict(state)

    def _open_generation(self, state: Mapping[str, Any]) -> Generation:
        """Open the generation that `current.json` names, unless that generation is open already."""
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
        """Open a `with` block that fills a new, empty generation.

        If the block ends without an error, the new generation replaces the old one, which is removed.
        """
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
        """Remove every generation except the named one; if the named one does not exist, remove nothing."""
        if not (self._folder / name).is_dir():
            return
        for path in self._folder.iterdir():
            if path.name.isdecimal() and path.name != name:
                remove(path)

    def _merge_segments(self, old: Generation) -> None:
        """Copy all documents into a new generation with few large segments, leaving out rows of removed documents."""
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
        """Open a `with` block in which only this process may write to the index.

        First remove the files that killed processes left behind.
        """
        follow_links(self._folder).mkdir(parents=True, exist_ok=True)
        with locked(self._folder):
            sweep(self._folder)
            with suppress(InputError):  # there is no index yet, or it is damaged and must be built again
                self._remove_all_but(self._read_current()["generation"])
            yield


def _add_batch(generation: Generation, batch: Batch) -> None:
    """Encode a batch's vectors in each vector format of the index, and add its documents to a generation."""
    codes = [codec.encode(codec.cut(batch.vectors)) for codec in generation.codecs]
    generation.add_documents(batch.ids, batch.texts, batch.fields, codes)


def _gather_segments(batches: Iterable[Batch]) -> Iterator[Batch]:
    """Merge small batches into batches of 65,536 documents or more; of documents with the same id, keep the last."""
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
