"""An index of a finished run: built from the vectors that were measured, kept up to date, searched and verified.

index/store.json   which store was built last, for searches that name none
index/embedded/    the embedded store
index/work/        documents on their way in; gone when they are there
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from nestvec.errors import InputError
from nestvec.files import read_json, write_json
from nestvec.indexing.filling import arrived, counted, encoded, measured
from nestvec.indexing.settings import Columns
from nestvec.indexing.verify import verify
from nestvec.point import Point
from nestvec.progress import Silent
from nestvec.runs.delivered import choose, of_point
from nestvec.runs.finished import read_finished
from nestvec.runs.folder import RunFolder
from nestvec.settings import CUTOFF
from nestvec.stores.embedded import EmbeddedStore
from nestvec.stores.store import About, Condition, Stage
from nestvec.vectors.stored import load_codecs

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    import numpy as np
    from numpy.typing import NDArray
    from sentence_transformers import SentenceTransformer

    from nestvec.indexing.verify import Verified
    from nestvec.progress import Reporter
    from nestvec.runs.delivered import Delivered
    from nestvec.stores.store import Hit, Store
    from nestvec.vectors.codecs import Codec

EMBEDDED = "embedded"
_SCHEMES = ("postgresql://", "postgres://")
_ALIASES = {"faiss": EMBEDDED, "postgres": "postgresql://", "pgvector": "postgresql://"}  # libpq's variables say where


class Index:
    """A run's index, open.

    Args:
        delivered: the point whose vectors it holds.
        store: where they are.
    """

    def __init__(self, delivered: Delivered, store: Store) -> None:
        self.delivered = delivered
        self.store = store
        self._loaded: SentenceTransformer | None = None

    @property
    def about(self) -> About:
        """What is served."""
        found = self.store.about
        if found is None:
            raise InputError("holds no index", "`nestvec index` first", file=self.delivered.folder.path("index"))
        return found

    def search(self, query: str, k: int = CUTOFF, where: Sequence[Condition] = (), exact: bool = False) -> list[Hit]:
        """The best documents of a query.

        Args:
            query: a text.
            k: how many, at least 1.
            where: what they must fulfil.
            exact: don't use an approximate index where the store has one.

        Returns:
            At most k, best first.

        Raises:
            InputError: the query is empty, or the store cannot be used.
        """
        if not query.strip():
            raise InputError("the query is empty", "a text to search for")
        if k < 1:
            raise InputError(f"--top is {k}", "a whole number from 1 on")
        return self.store.search(self._encoded([query]), k, where, exact)[0]

    def delete(self, ids: Sequence[str]) -> int:
        """Remove documents; how many were there."""
        return self.store.delete(ids)

    def upsert(self, source: Path, columns: Columns | None = None, reporter: Reporter | None = None) -> int:
        """Add the documents of a file, and replace those whose id is there.

        Args:
            source: a CSV, TSV, JSONL or Parquet file.
            columns: where it has what.
            reporter: is told of progress.

        Returns:
            How many rows were taken in.

        Raises:
            InputError: the file cannot be used; nothing was changed.
        """
        _ = self.about  # there is one
        rows, batches = encoded(self.delivered, source, columns or Columns(), reporter or Silent())
        self.store.upsert(batches)
        arrived(self.delivered)
        return rows

    def verify(self, exact: bool = False, reporter: Reporter | None = None) -> Verified:
        """Ask the test queries again, and compare with the surface.

        Args:
            exact: don't use an approximate index where the store has one.
            reporter: is told of progress.

        Returns:
            The recall of both.

        Raises:
            InputError: the index holds other documents than were measured.
        """
        return verify(self.delivered, self.store, exact, reporter or Silent())

    def close(self) -> None:
        """Let go of files and connections."""
        self.store.close()

    def __enter__(self) -> Index:
        """For a `with` block, which closes it."""
        return self

    def __exit__(self, *_: object) -> None:
        """See `close`."""
        self.close()

    def _encoded(self, texts: list[str]) -> NDArray[np.float32]:
        """(q, full width) of queries; the model is loaded when it is first needed."""
        from nestvec.models.encode import encode
        from nestvec.models.load import load_model

        self._loaded = self._loaded or load_model(self.delivered.model)
        return encode(self._loaded, texts)


def build_index(
    run: str | Path,
    store: str = EMBEDDED,
    *,
    name: str | None = None,
    system: str | None = None,
    dimension: int | None = None,
    precision: str | None = None,
    shortlist: str | None = None,
    candidates: int = 100,
    documents: Path | None = None,
    columns: Columns | None = None,
    reporter: Reporter | None = None,
) -> Index:
    """Build an index of a run's documents, or of a file's.

    Args:
        run: the folder of a finished run.
        store: `embedded`, or the URL of a PostgreSQL database.
        name: of the index in a database; None takes the folder's.
        system: as for `delivered.choose`.
        dimension: likewise.
        precision: likewise.
        shortlist: dimension and precision of a first stage, such as `48.int8`; None searches in one.
        candidates: documents that a first stage hands on.
        documents: a file to index in place of the run's documents.
        columns: where it has what.
        reporter: is told of progress.

    Returns:
        The index, open.

    Raises:
        InputError: something is wrong with the run, the point, the file or the store; an index that was there stays.
    """
    run, reporter = Path(run), reporter or Silent()
    delivered = choose(run, system, dimension, precision)
    about, codecs = _planned(delivered, shortlist, candidates)
    place = {"store": _meant(store), "name": name or _named(run)}
    held = _opened(delivered.folder, place)
    try:
        if documents is None:
            ids = delivered.catalogue()[0]
            with reporter.step("index", len(ids)) as advance:
                held.build(about, codecs, counted(measured(delivered), advance))
        else:
            _, batches = encoded(delivered, documents, columns or Columns(), reporter)
            held.build(about, codecs, batches)
            arrived(delivered)
        write_json(_note(delivered.folder), {"schema": 1, **place, "store": _shown(place["store"])})
    except BaseException:
        held.close()
        raise
    return Index(delivered, held)


def is_built(run: Path) -> bool:
    """Whether a run has an index, in whatever store."""
    return _note(RunFolder(run)).is_file()


def open_index(run: str | Path, store: str | None = None, name: str | None = None) -> Index:
    """Open a run's index.

    Args:
        run: the folder of a finished run.
        store: as for `build_index`; None takes the one that was built last.
        name: as for `build_index`; None takes the one that was built last.

    Returns:
        The index.

    Raises:
        InputError: there is none, it is damaged or newer, or it was built with another model than the run's.
    """
    finished = read_finished(Path(run))
    note = _note(finished.folder)
    if not note.is_file():
        raise InputError("there is no index", "`nestvec index` first", file=note.parent)
    kept = read_json(note)
    if not isinstance(kept, dict) or not all(isinstance(kept.get(key), str) for key in ("store", "name")):
        raise InputError("is damaged", "what `nestvec index` wrote", file=note)
    place = {"store": _meant(store or kept["store"]), "name": name or kept["name"]}
    held = _opened(finished.folder, place)
    try:
        about = held.about
        if about is None:
            raise InputError("holds no index", "`nestvec index` first", file=note.parent)
        delivered = of_point(finished, Point(about.system, about.served.dimension, about.served.precision, None))
        if delivered.model.sha256 != about.model_sha256:
            problem = f"was built with another model (sha256 {about.model_sha256[:12]}…)"
            wanted = f"{about.system} of this run ({delivered.model.sha256[:12]}…): build the index again"
            raise InputError(problem, wanted, file=note.parent)
    except BaseException:
        held.close()
        raise
    return Index(delivered, held)


def search(
    run: str | Path, query: str, k: int = CUTOFF, where: Iterable[str] = (), store: str | None = None
) -> list[Hit]:
    """The best documents of a query in a run's index.

    Args:
        run: the folder of a finished run with an index.
        query: a text.
        k: how many.
        where: conditions on fields, such as `price<=20`; all must hold.
        store: as for `open_index`.

    Returns:
        At most k, best first.

    Raises:
        InputError: there is no usable index, or a condition cannot be read.
    """
    conditions = [Condition.parse(each) for each in where]
    with open_index(run, store) as opened:
        return opened.search(query, k, conditions)


def _planned(delivered: Delivered, shortlist: str | None, candidates: int) -> tuple[About, list[Codec]]:
    """What an index is to serve, and the codecs of its stages."""
    stages, codecs = [Stage(delivered.dimension, delivered.point.precision or "")], [delivered.codec]
    if shortlist is not None:
        path = delivered.folder.codecs(delivered.point.system)
        known = load_codecs(path)
        if shortlist not in known:
            raise InputError(f"--shortlist {shortlist} was not measured", "one of " + ", ".join(known), file=path)
        width, _, kind = shortlist.partition(".")
        stages, codecs = [Stage(int(width), kind), *stages], [known[shortlist], *codecs]
    if candidates < 1:
        raise InputError(f"--candidates is {candidates}", "a whole number from 1 on")
    model = delivered.model
    return About(delivered.point.system, model.sha256, model.width, tuple(stages), candidates), codecs


def _meant(store: str) -> str:
    """A store by its one name."""
    return _ALIASES.get(store, store)


def _opened(folder: RunFolder, place: dict[str, str]) -> Store:
    """The store that is meant."""
    if place["store"] == EMBEDDED:
        return EmbeddedStore(folder.path("index") / EMBEDDED)
    if place["store"].startswith(_SCHEMES):
        from nestvec.stores.postgres.store import PostgresStore

        return PostgresStore(place["store"], place["name"])
    raise InputError(f"--store is {place['store']!r}", f"`{EMBEDDED}`, or postgresql://user@host:port/database")


def _shown(store: str) -> str:
    """A store as it may be written down: without a password."""
    if store == EMBEDDED:
        return store
    from nestvec.stores.postgres.server import place_of

    return place_of(store)


def _named(run: Path) -> str:
    """A name for a run's index."""
    return "".join(letter if letter.isalnum() else "_" for letter in run.resolve().name.lower()) or "nestvec"


def _note(folder: RunFolder) -> Path:
    """The file that says which store was built last."""
    return folder.path("index") / "store.json"
