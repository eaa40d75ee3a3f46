"""The embedded store: a folder that serves the very codes that were measured, exactly, without any server.

    current.json   what is served, and by which generation
    000001/        that generation, `generation.py`: built whole under another name, then renamed

Every search is exact, with the evaluation's rule for ties, so what comes out is what the surface measured.
"""

from __future__ import annotations

import fcntl
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from threading import RLock
from typing import TYPE_CHECKING

import numpy as np

from nestvec.errors import InputError
from nestvec.files import read_json, remove, replacing, write_json
from nestvec.models.compute import count_processors
from nestvec.stores.exact import view_of
from nestvec.stores.generation import Generation
from nestvec.stores.scan import faiss
from nestvec.stores.store import About, Batch
from nestvec.vectors.codecs import prefix

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from nestvec.stores.store import Condition, Hit, Value
    from nestvec.vectors.codecs import Codec

CURRENT = "current.json"
_SEGMENT = 65_536  # documents of a segment: 100 MB of vectors at 384 dimensions
_SEGMENTS = 32  # more than that, and the codes are written together anew


class EmbeddedStore:
    """See the module; a `Store`.

    Args:
        folder: where it lies; it is made by the first `build`.

    Raises:
        InputError: the folder holds an index that is damaged or newer than this nestvec.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._generation: Generation | None = None
        self._name: str | None = None
        self._lock = RLock()  # a switch of generations closes what a search may be reading
        self._pool = ThreadPoolExecutor(count_processors(), initializer=partial(faiss().omp_set_num_threads, 1))
        self._open()

    @property
    def about(self) -> About | None:
        """What it serves; None where nothing was built yet."""
        return self._generation.about if self._generation else None

    def build(self, about: About, codecs: Sequence[Codec], batches: Iterable[Batch]) -> None:
        """Put up an index in place of the one that is there; see `Store`."""
        with self._writing():
            made = [int(path.name) for path in self._folder.iterdir() if path.name.isdecimal()]
            name = f"{max(made, default=0) + 1:06d}"
            with replacing(self._folder / name) as temporary:
                generation = Generation.make(temporary, about, codecs)
                try:
                    for batch in _gathered(batches):
                        generation.add(*_coded(generation, batch))
                finally:
                    generation.close()
            self._switch(name, about)

    def upsert(self, batches: Iterable[Batch]) -> None:
        """Add documents, and replace those whose id is there; see `Store`."""
        with self._writing():
            for batch in _gathered(batches):
                generation = self._current()
                generation.add(*_coded(generation, batch))
                if len(generation.segments) > _SEGMENTS:
                    self._compact(generation)

    def delete(self, ids: Sequence[str]) -> int:
        """Remove documents; see `Store`."""
        with self._writing():
            return self._current().remove(ids)

    def search(
        self, queries: NDArray[np.float32], k: int, where: Sequence[Condition] = (), exact: bool = False
    ) -> list[list[Hit]]:
        """The best documents of each query; always exact, see `Store`."""
        del exact
        with self._lock:
            return self._search(self._current(), queries, k, where)

    def _search(
        self, generation: Generation, queries: NDArray[np.float32], k: int, where: Sequence[Condition]
    ) -> list[list[Hit]]:
        """The same, of a generation that stays open."""
        if queries.shape[1] != generation.about.full_dimension:
            found = f"the query has {queries.shape[1]} dimensions"
            raise InputError(found, f"{generation.about.full_dimension}, as the index was built", file=self._folder)
        view = view_of(generation, where)
        return [view.hits(query, k, self._pool) for query in queries]

    def __len__(self) -> int:
        """How many documents there are."""
        return len(self._current())

    def size(self) -> int:
        """Bytes on disk."""
        return self._current().size()

    def close(self) -> None:
        """Let go of the files."""
        self._pool.shutdown()
        if self._generation:
            self._generation.close()
        self._generation = self._name = None

    def _current(self) -> Generation:
        """The generation that is served now."""
        self._open()
        if self._generation is None:
            raise InputError("holds no index", "what `nestvec index` made", file=self._folder)
        return self._generation

    def _open(self) -> None:
        """Open what `current.json` names, or take notice of what changed in it."""
        path = self._folder / CURRENT
        if not path.is_file():
            return
        with self._lock:
            self._take_up(path)

    def _take_up(self, path: Path) -> None:
        """Serve what a `current.json` names."""
        state = read_json(path)
        name = state.get("generation") if isinstance(state, dict) else None
        if not isinstance(name, str) or not name.isdecimal():
            raise InputError("is damaged: it names no generation", "what `nestvec index` made", file=path)
        if self._generation is not None and name == self._name:
            self._generation.refresh()
            return
        opened = Generation(self._folder / name, About.from_json(state, path))
        if self._generation is not None:
            self._generation.close()
        self._generation, self._name = opened, name

    def _switch(self, name: str, about: About) -> None:
        """Serve another generation, and remove what is not served."""
        write_json(self._folder / CURRENT, {**about.to_json(), "generation": name})
        self._open()
        for path in self._folder.iterdir():
            if path.name.isdecimal() and path.name != name:
                remove(path)

    def _compact(self, old: Generation) -> None:
        """Write the codes of all documents together: few large segments, and no rows that are gone."""
        name = f"{int(self._name or 0) + 1:06d}"
        with replacing(self._folder / name) as temporary:
            made = Generation.make(temporary, old.about, old.codecs)
            try:
                rows = np.flatnonzero(old.live())
                for first in range(0, len(rows), _SEGMENT):
                    chosen = rows[first : first + _SEGMENT]
                    found = sorted(old.documents(chosen), key=lambda document: document.row)
                    documents = (
                        [each.id for each in found],
                        [each.text for each in found],
                        [each.fields for each in found],
                    )
                    made.add(documents, [old.codes(stage, chosen) for stage in range(len(old.codecs))])
            finally:
                made.close()
        self._switch(name, old.about)

    @contextmanager
    def _writing(self) -> Iterator[None]:
        """One writer at a time; what killed ones left is removed."""
        self._folder.mkdir(parents=True, exist_ok=True)
        with (self._folder / ".lock").open("w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                raise InputError("is being written by another process", "one at a time", file=self._folder) from error
            for stale in self._folder.rglob(".*.tmp"):
                remove(stale)
            yield


def _coded(
    generation: Generation, batch: Batch
) -> tuple[tuple[Sequence[str], Sequence[str], Sequence[dict[str, Value]]], list[NDArray[np.generic]]]:
    """A batch as a generation takes it: its documents, and their codes at each stage."""
    stages = zip(generation.about.stages, generation.codecs, strict=True)
    codes = [codec.encode(prefix(batch.vectors, stage.dimension)) for stage, codec in stages]
    return (batch.ids, batch.texts, [dict(entries) for entries in batch.fields]), codes


def _gathered(batches: Iterable[Batch]) -> Iterator[Batch]:
    """Batches put together to segments of a good size; of an id that comes again, the last."""
    held: list[Batch] = []
    for batch in batches:
        held.append(batch)
        if sum(len(each.ids) for each in held) >= _SEGMENT:
            yield _merged(held)
            held = []
    if held:
        yield _merged(held)


def _merged(batches: Sequence[Batch]) -> Batch:
    """Several batches as one."""
    ids = [identifier for batch in batches for identifier in batch.ids]
    last = {identifier: place for place, identifier in enumerate(ids)}
    kept = [place for place, identifier in enumerate(ids) if last[identifier] == place]
    texts = [text for batch in batches for text in batch.texts]
    fields = [entries for batch in batches for entries in batch.fields]
    vectors = np.concatenate([batch.vectors for batch in batches])
    if len(kept) < len(ids):
        vectors = vectors[kept]
    return Batch(
        [ids[place] for place in kept], [texts[place] for place in kept], vectors, [fields[place] for place in kept]
    )
