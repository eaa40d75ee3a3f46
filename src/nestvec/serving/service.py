"""A finished run, ready to be asked: its models, its documents at every point measured, and its index.

A query that was measured is answered with the very vector that was measured, so that the answer is the run's own.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from functools import partial
from threading import Lock
from typing import TYPE_CHECKING, Any

import numpy as np
from cachetools import LRUCache
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from nestvec.evaluation.surface import Catalogue
from nestvec.indexing.index import is_built, open_index
from nestvec.point import BM25
from nestvec.processors import count_processors
from nestvec.runs.choose_point import NOTHING_NAMED, PointSettings, UnknownPointError, choose_point
from nestvec.runs.point_files import open_system
from nestvec.runs.run import load_run
from nestvec.serving.code_cache import CodeCache
from nestvec.serving.judged_queries import JudgedQueries, find_own_rows, find_query_rows
from nestvec.serving.keyword_search import KeywordSearch, Query
from nestvec.serving.lazy_value import LazyValue
from nestvec.serving.loaded_models import LoadedModels
from nestvec.serving.run_summary import point_to_json, summarise_run
from nestvec.serving.serving_options import KEPT, ServingOptions
from nestvec.stores.scan import load_faiss
from nestvec.stores.store import Hit

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from nestvec.indexing.index_query import IndexAnswer, IndexQuery
    from nestvec.indexing.opened_index import Index
    from nestvec.models.prompts import Prompts, Role
    from nestvec.point import Point
    from nestvec.runs.run import Run
    from nestvec.serving.judged_queries import QueryJudgements
    from nestvec.stores.store import About

_CODES = 2 * 2**30  # bytes of documents' codes that are held at most
_VECTORS = 64 * 2**20  # bytes of queries' vectors that are remembered


class Service:
    """A run that can be asked; made by `open`. Any thread may ask; for `encode`, see `parallel`.

    Args:
        run: the run.
        index: of the run, where there is one.
        backend: what runs the models, see `LoadedModels`.
        compute: the number format that models compute in.

    Attributes:
        run: the run.
        index: what is delivered, where an index was built.
        default: the point that is recommended, or else the run's best at full width.
        systems: those with vectors in the surface's order, then BM25.
        keywords: the keyword leg.
    """

    def __init__(self, run: Run, index: Index | None, backend: str, compute: str) -> None:
        self.run, self.index = run, index
        self.systems = tuple(run.systems)
        chosen = run.chosen.vectors
        self.default = choose_point(run.systems.get(chosen.system, []), chosen, file=run.root)
        opened = {index.selection.files.system: index.selection.files} if index else {}  # hashed and checked just now
        self._dense = {name: opened.get(name) or open_system(run, name) for name in self.systems if name != BM25}
        for name, files in self._dense.items():
            for point in run.systems[name]:
                files.codec(point.format)  # damage is named before anybody asks
        self._catalogue, self._rows = Catalogue(run.catalogue.ids, run.catalogue.texts), find_query_rows(run)
        self._judged = JudgedQueries(run)
        self._own = find_own_rows(run, self._judged)
        vectors = {name: files.document_vectors for name, files in self._dense.items()}
        codecs = {name: files.codecs for name, files in self._dense.items()}
        self._code_cache = CodeCache(self._catalogue.order, vectors, codecs, _CODES)
        self._recent: LRUCache[tuple[str, str], NDArray[np.float32]] = LRUCache(_VECTORS, lambda vector: vector.nbytes)
        self._recent_lock = Lock()
        self._loads_all = backend != KEPT
        self._models = LoadedModels(self._dense, backend, compute)
        self.keywords = KeywordSearch(run, self._catalogue)
        self._summary = LazyValue(lambda: summarise_run(run, self._judged, self.keywords.hybrid))
        self._pool = ThreadPoolExecutor(
            count_processors(), "nestvec-search", partial(load_faiss().omp_set_num_threads, 1)
        )
        # several searches at once: products that each wanted all processors would wait for one another
        self._limits = threadpool_limits(1, "blas")

    @classmethod
    def open(cls, run: Path, options: ServingOptions | None = None) -> Service:
        """Read and check a run; no model is loaded yet. Raises InputError where a file in it is missing or damaged."""
        opened, options = load_run(run), options or ServingOptions()
        index = None
        if options.store or is_built(run):
            index = open_index(opened, options.store, options.name, options.index_seconds)
        try:
            return cls(opened, index, options.backend, options.compute)
        except BaseException:
            if index:
                index.close()
            raise

    def load(self, system: str) -> None:
        """Load a system's model unless it is loaded; raises InputError where it is damaged."""
        self._models.load(system)

    @property
    def loaded_first(self) -> tuple[str, ...]:
        """Systems with vectors whose models are loaded before the server is ready; others are loaded after that.

        A backend other than `kept` loads all of them first. `kept` loads the systems whose graph lies beside the index,
        which takes a second; where there is no graph, it loads the system of `default`, or the run's first.
        """
        if self._loads_all or not self._dense:
            return tuple(self._dense)
        kept = tuple(system for system in self._dense if self._models.is_kept(system))
        default = self.default.system
        return kept or (default if default in self._dense else next(iter(self._dense)),)

    def warm_up(self) -> None:
        """Make what whoever asks first would wait for: the default point's codes, what the page shows, all words."""
        if self.default.system != BM25:
            self._code_cache.get(self.default)
        self._summary()
        if BM25 in self.systems:
            self.keywords.index()

    def warm_up_index(self) -> None:
        """The same of the index: its words are counted."""
        if self.index:
            self.index.store.correct(())

    @property
    def documents(self) -> int:
        """How many documents were measured."""
        return len(self._catalogue.ids)

    @property
    def served(self) -> tuple[About, Point] | tuple[None, None]:
        """What the index served when it was last asked, and the run's point that it was made of; None without one."""
        return (self.index.about, self.index.selection.point) if self.index else (None, None)

    def find_point(self, asked: PointSettings = NOTHING_NAMED) -> Point:
        """Find a measured point by what is named of it, as `choose_point`; raises UnknownPointError."""
        measured = [point for points in self.run.systems.values() for point in points]
        return choose_point(measured, self.default, asked, file=self.run.root)

    def parallel(self, system: str) -> bool:
        """Whether several threads may encode at once with a system's model."""
        return self._models.parallel(system)

    def width(self, system: str) -> int:
        """The full width of a system's vectors; raises UnknownPointError where there is no such system with vectors."""
        if system not in self._dense:
            systems = f"one of {', '.join(self._dense)}"
            raise UnknownPointError("system", "has no such system with vectors", systems, file=self.run.root)
        return self._dense[system].width

    def prompts(self, system: str) -> Prompts:
        """What goes before the queries and documents of a system with vectors."""
        return self._dense[system].model.prompts

    def one_for_both(self, system: str) -> bool:
        """Whether a system gives a text the same vector as a query and as a document."""
        return self._models.one_for_both(system)

    def model_folder(self, system: str) -> Path:
        """The folder of a system's model."""
        return self._dense[system].model.path

    def encode(
        self, system: str, texts: Sequence[str], role: Role, token_counts: NDArray[np.int64] | None = None
    ) -> NDArray[np.float32]:
        """(n, full width) float32 of n texts, none of them empty, rows of unit length; see `Encoder.encode`."""
        return self._models.encode(system, texts, role, token_counts)

    def find_vector(self, system: str, query: str) -> NDArray[np.float32] | None:
        """Find a query's (full width,) vector: the one that was measured, or one that is remembered; None otherwise."""
        row = self._rows.get(query)
        if row is not None:
            return np.array(self._dense[system].query_vectors[row])
        with self._recent_lock:
            return self._recent.get((system, query))

    def remember_vector(self, system: str, query: str, vector: NDArray[np.float32]) -> None:
        """Keep a query's (full width,) vector for `find_vector`, for a while."""
        copy = np.array(vector)  # not a view of a batch
        with self._recent_lock:
            self._recent[system, query] = copy

    def search(
        self, point: Point, queries: Sequence[str], vectors: NDArray[np.float32] | None, k: int
    ) -> list[list[Hit]]:
        """The best of the run's documents for each query, as they were measured.

        Args:
            point: from `find_point`.
            queries: q texts.
            vectors: (q, full width) float32 of the point's system, rows of unit length; BM25 needs none.
            k: at least 1.

        Returns:
            q lists of min(k, documents), best first. BM25 scores 0 where no word is shared.
        """
        if point.system == BM25 or vectors is None:
            return [self._make_hits(*self.keywords.rank(query, k)) for query in map(self._ask, queries)]
        coded = self._code_cache.get(point)
        pairs = zip(map(self._ask, queries), vectors, strict=True)
        found = ((query, coded.top_k(vector, query.depth(k), self._pool)) for query, vector in pairs)
        return [self._make_hits(*query.leave_out_own(*best)) for query, best in found]

    def search_fused(
        self, point: Point, queries: Sequence[str], vectors: NDArray[np.float32], k: int, weight: float
    ) -> list[list[Hit]]:
        """The best of the run's documents for each query by words and vectors.

        Args:
            point: from `find_point`, with vectors.
            queries: q texts.
            vectors: (q, full width) float32 of the point's system, rows of unit length.
            k: at least 1.
            weight: of the words, 0 to 1.

        Returns:
            q lists, best first: at most k, fewer where neither leg has more candidates.
        """
        coded, fusion = self._code_cache.get(point), self.keywords.fusion(point.format, weight)
        pairs = zip(map(self._ask, queries), vectors, strict=True)
        found = (self.keywords.search(query, vector, coded, fusion, k, self._pool) for query, vector in pairs)
        return [self._make_hits(rows, scores) for rows, scores in found]

    def search_index(self, asked: IndexQuery) -> IndexAnswer:
        """What the index finds.

        Args:
            asked: queries that were prepared for what is `served`.

        Returns:
            The answer.

        Raises:
            RebuiltError: the index was built anew meanwhile, and `served` says for what.
            InputError: it cannot be used now.
            UnknownPointError: there is none.
        """
        if self.index is None:
            hint = "the run has no index to filter"
            raise UnknownPointError("filter", hint, "`nestvec index` first", file=self.run.root, hint=hint)
        return self.index.answer(asked)

    def find_judgements(self, query: str) -> QueryJudgements | None:
        """Find what was judged of a query; None where nothing was."""
        return self._judged.find(query)

    def summarise(self) -> dict[str, Any]:
        """What the page shows of the run, as JSON values; not to be changed."""
        return {**self._summary(), "default": point_to_json(self.default), "index": self._describe_index()}

    def close(self) -> None:
        """Let go of files, connections and threads."""
        self._limits.restore_original_limits()
        self._pool.shutdown()
        if self.index:
            self.index.close()

    def _describe_index(self) -> dict[str, Any] | None:
        if self.index is None:
            return None
        point, documents = self.index.describe()
        return {**point_to_json(point), "documents": documents}

    def _ask(self, text: str) -> Query:
        """A query as it is asked: one that is a document itself does not find itself, as it did not when measured."""
        row = self._own.get(text)
        return Query(text, None if row is None else int(self._catalogue.places[row]))

    def _make_hits(self, rows: NDArray[np.int64], scores: NDArray[np.float32]) -> list[Hit]:
        """Make hits of documents' (k,) rows in tie order and their (k,) scores."""
        ids, texts = self._catalogue.ids, self._catalogue.texts
        ranked = zip(self._catalogue.order[rows].tolist(), scores.tolist(), strict=True)
        return [Hit(ids[row], score, texts[row]) for row, score in ranked]
