"""A finished run opened for serving: its models, its documents, and its index.

The documents can be searched at every dimension and precision that the run measured. A query that was measured is
searched with its measured vector, so the results equal the run's.
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

_CODES = 2 * 2**30  # most bytes of documents' codes in memory
_VECTORS = 64 * 2**20  # most bytes of remembered query vectors


class Service:
    """Searches a run's documents and its index, and encodes texts; create one with `open`.

    All methods are thread-safe, except `encode` for systems of which `parallel` is false.

    Args:
        run: the run.
        index: the run's index, if there is one.
        backend: what runs the models: `kept`, `torch`, `onnx`, `openvino` or `auto`.
        compute: the number format in which models compute.

    Attributes:
        run: the run.
        index: the run's index; None if none was built.
        default: the system, dimension and precision that the run recommends, or else its best system at full width.
        systems: names of the run's systems: those with vectors in the order of the results, then BM25.
        keywords: keyword search over the run's documents.
    """

    def __init__(self, run: Run, index: Index | None, backend: str, compute: str) -> None:
        self.run, self.index = run, index
        self.systems = tuple(run.systems)
        chosen = run.chosen.vectors
        self.default = choose_point(run.systems.get(chosen.system, []), chosen, file=run.root)
        opened = {index.selection.files.system: index.selection.files} if index else {}  # opening the index checked it
        self._dense = {name: opened.get(name) or open_system(run, name) for name in self.systems if name != BM25}
        for name, files in self._dense.items():
            for point in run.systems[name]:
                files.codec(point.format)  # report a damaged codec at the start and not at the first request
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
        # searches run in parallel: if each matrix product used all processors, they would slow each other down
        self._limits = threadpool_limits(1, "blas")

    @classmethod
    def open(cls, run: Path, options: ServingOptions | None = None) -> Service:
        """Open and check a run without loading a model; raises InputError if a run's file is missing or damaged."""
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
        """Load a system's model if it is not yet loaded; raises InputError if the model is damaged."""
        self._models.load(system)

    @property
    def loaded_first(self) -> tuple[str, ...]:
        """Systems whose models are loaded before the server is ready; the others are loaded afterwards.

        With a backend other than `kept`, these are all systems with vectors. With `kept`, these are the systems with an
        ONNX graph beside the index, which loads in a second; without any graph, this is the default system, or else the
        run's first system.
        """
        if self._loads_all or not self._dense:
            return tuple(self._dense)
        kept = tuple(system for system in self._dense if self._models.is_kept(system))
        default = self.default.system
        return kept or (default if default in self._dense else next(iter(self._dense)),)

    def warm_up(self) -> None:
        """Prepare what first requests would wait for: quantised documents, the run's summary, and BM25."""
        if self.default.system != BM25:
            self._code_cache.get(self.default)
        self._summary()
        if BM25 in self.systems:
            self.keywords.index()

    def warm_up_index(self) -> None:
        """Prepare spelling correction of the index, which needs a count of all words in the index."""
        if self.index:
            self.index.store.correct(())

    @property
    def documents(self) -> int:
        """Number of the run's documents."""
        return len(self._catalogue.ids)

    @property
    def served(self) -> tuple[About, Point] | tuple[None, None]:
        """The description of the index, and its system, dimension and precision; (None, None) without an index."""
        return (self.index.about, self.index.selection.point) if self.index else (None, None)

    def find_point(self, asked: PointSettings = NOTHING_NAMED) -> Point:
        """Find the measured system, dimension and precision that a request names; else raise UnknownPointError."""
        measured = [point for points in self.run.systems.values() for point in points]
        return choose_point(measured, self.default, asked, file=self.run.root)

    def parallel(self, system: str) -> bool:
        """Whether several threads may call `encode` at once for a system."""
        return self._models.parallel(system)

    def width(self, system: str) -> int:
        """Return the full width of a system's vectors; raises UnknownPointError for a system without vectors."""
        if system not in self._dense:
            systems = f"one of {', '.join(self._dense)}"
            hint = "no such system with vectors"
            raise UnknownPointError("system", f"has {hint}", systems, file=self.run.root, hint=hint)
        return self._dense[system].width

    def prompts(self, system: str) -> Prompts:
        """Return the prompts that a system puts before queries and documents."""
        return self._dense[system].model.prompts

    def one_for_both(self, system: str) -> bool:
        """Whether a system gives a text the same vector as a query and as a document."""
        return self._models.one_for_both(system)

    def model_folder(self, system: str) -> Path:
        """Return the folder of a system's model."""
        return self._dense[system].model.path

    def encode(
        self, system: str, texts: Sequence[str], role: Role, token_counts: NDArray[np.int64] | None = None
    ) -> NDArray[np.float32]:
        """Encode n texts, none empty, with a system's model to (n, full width) float32 vectors of unit length."""
        return self._models.encode(system, texts, role, token_counts)

    def find_vector(self, system: str, query: str) -> NDArray[np.float32] | None:
        """Return a query's (full width,) vector if the run measured it or `remember_vector` stored it; else None."""
        row = self._rows.get(query)
        if row is not None:
            return np.array(self._dense[system].query_vectors[row])
        with self._recent_lock:
            return self._recent.get((system, query))

    def remember_vector(self, system: str, query: str, vector: NDArray[np.float32]) -> None:
        """Cache a query's (full width,) vector for `find_vector`; the least recently used vectors are dropped."""
        copy = np.array(vector)  # a view would keep the whole batch in memory
        with self._recent_lock:
            self._recent[system, query] = copy

    def search(
        self, point: Point, queries: Sequence[str], vectors: NDArray[np.float32] | None, k: int
    ) -> list[list[Hit]]:
        """Find the best of the run's documents for each query, ranked exactly as the run measured.

        Args:
            point: the system, dimension and precision to search, from `find_point`.
            queries: q texts.
            vectors: (q, full width) float32 vectors of the queries by this system, rows of unit length; None for BM25.
            k: documents to find for each query, at least 1.

        Returns:
            q lists of min(k, documents) hits, best first. BM25 gives score 0 to documents without a word of the query.
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
        """Find the best of the run's documents for each query by keyword search (BM25) and vectors fused.

        Args:
            point: the system with vectors, dimension and precision to search, from `find_point`.
            queries: q texts.
            vectors: (q, full width) float32 vectors of the queries by this system, rows of unit length.
            k: documents to find for each query, at least 1.
            weight: weight of the keyword score, 0 to 1.

        Returns:
            q lists of at most k hits, best first; fewer if the two searches together find fewer candidates.
        """
        coded, fusion = self._code_cache.get(point), self.keywords.fusion(point.format, weight)
        pairs = zip(map(self._ask, queries), vectors, strict=True)
        found = (self.keywords.search(query, vector, coded, fusion, k, self._pool) for query, vector in pairs)
        return [self._make_hits(rows, scores) for rows, scores in found]

    def search_index(self, asked: IndexQuery) -> IndexAnswer:
        """Search the run's index.

        Args:
            asked: the queries, encoded for the index that `served` describes.

        Returns:
            The documents found for each query.

        Raises:
            RebuiltError: the index was rebuilt with other settings meanwhile; `served` is updated.
            InputError: the index cannot be used now.
            UnknownPointError: the run has no index.
        """
        if self.index is None:
            hint = "filters need an index, and the run has none"
            raise UnknownPointError("filter", hint, "an index: run `nestvec index`", file=self.run.root, hint=hint)
        return self.index.answer(asked)

    def find_judgements(self, query: str) -> QueryJudgements | None:
        """Return a query's judgements; None if the query was not judged."""
        return self._judged.find(query)

    def summarise(self) -> dict[str, Any]:
        """Return the response of GET /v1/run as JSON values; callers share these and must not modify them."""
        return {**self._summary(), "default": point_to_json(self.default), "index": self._describe_index()}

    def close(self) -> None:
        """Close all files, connections and threads of the service."""
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
        """Make a query whose results leave out the document that is the query itself, as in the measurement."""
        row = self._own.get(text)
        return Query(text, None if row is None else int(self._catalogue.places[row]))

    def _make_hits(self, rows: NDArray[np.int64], scores: NDArray[np.float32]) -> list[Hit]:
        """Make hits with ids and texts from the positions of k documents in tie order, and from their k scores."""
        ids, texts = self._catalogue.ids, self._catalogue.texts
        ranked = zip(self._catalogue.order[rows].tolist(), scores.tolist(), strict=True)
        return [Hit(ids[row], score, texts[row]) for row, score in ranked]
