"""Search of the same codes in both stores, beside faiss and pgvector over 384 float32 numbers.

    python benchmarks/search.py [--documents 200000,1000000] [--queries 200]

48 numbers as int8 and 384 as one bit each (with two bytes of a vector's own: 48 and 50 bytes a document), in the
embedded store and in PostgreSQL; beside them faiss' exact IndexFlatIP in memory, and a table as pgvector's manual has
it, `vector(384)`, by HNSW and exactly. Documents lie around topics, most of their variance in the first numbers, as
trained embeddings have it; queries lie near documents. All HNSW indexes are built by pgvector's own settings and look
at 400 documents, as the store has them do.

One query at a time: the median and the 99th percentile of milliseconds. Recall is the share of the best 10 that are
found: of the exact search over the same codes, and of the exact search over 384 float32. Bytes are those on disk, with
ids, texts, fields and all indexes (faiss: its file). PostgreSQL is a real server with 2 GB of shared buffers. The last
line is JSON, with each median over faiss', and each size over that of pgvector's float32.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import faiss
import numpy as np
import psycopg
from psycopg import sql

from nestvec.point import VectorFormat
from nestvec.stores.embedded import EmbeddedStore
from nestvec.stores.postgres.store import PostgresStore
from nestvec.stores.store import About, Batch
from nestvec.vectors.codecs import CODECS
from nestvec.vectors.cut import prefix

sys.path.append(str(Path(__file__).parent.parent / "tests"))
from database import start_server  # type: ignore[import-not-found]  # a helper of the tests

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from nestvec.stores.store import Hit

WIDTH = 384
STAGES = (VectorFormat(48, "int8"), VectorFormat(384, "binary"))
K = 10
STEP = 20_000  # documents made and loaded at a time
FITTED = 100_000  # documents that codecs learn from
TOPICS = 2000
EFFORT = 400
WARM = 20  # queries before the clock runs
SETTINGS = {"shared_buffers": "2GB", "max_wal_size": "8GB"}
Ids = list[list[str]]


def make(folder: Path, documents: int, queries: int) -> tuple[np.ndarray, np.ndarray]:
    """Unit vectors around topics, as a file, and queries near some of them."""
    rng = np.random.default_rng(0)
    spread = (1 + np.arange(WIDTH) / 24).astype(np.float32) ** -0.75
    topics = rng.standard_normal((TOPICS, WIDTH), dtype=np.float32) * spread

    def unit(vectors: np.ndarray) -> np.ndarray:
        found: np.ndarray = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
        return found

    def noise(size: int) -> np.ndarray:
        found: np.ndarray = rng.standard_normal((size, WIDTH), dtype=np.float32) * spread
        return found

    held = np.lib.format.open_memmap(folder / "vectors.npy", "w+", np.float32, (documents, WIDTH))
    for first in range(0, documents, STEP):
        size = len(held[first : first + STEP])
        held[first : first + STEP] = unit(topics[rng.integers(0, TOPICS, size)] + 0.8 * noise(size))
    held.flush()
    chosen = np.sort(rng.choice(documents, queries, replace=False))
    own = held[chosen]
    return held, unit(own + 0.02 * noise(queries))


def batches(vectors: np.ndarray) -> Iterator[Batch]:
    """Documents with a text and a field."""
    for first in range(0, len(vectors), STEP):
        rows = range(first, min(first + STEP, len(vectors)))
        texts = [f"document {row} of the benchmark, whose text is about as long as a title" for row in rows]
        yield Batch(
            [name(row) for row in rows],
            texts,
            np.array(vectors[rows.start : rows.stop]),
            [{"row": row} for row in rows],
        )


def name(row: int) -> str:
    """A document's id."""
    return f"d{row:07d}"


def timed(search: Callable[[np.ndarray], list[str]], queries: np.ndarray) -> tuple[Ids, list[float]]:
    """What is found, and milliseconds, one query at a time."""
    for query in queries[:WARM]:
        search(query)
    found, spent = [], []
    for query in queries:
        start = time.perf_counter()
        found.append(search(query))
        spent.append(1000 * (time.perf_counter() - start))
    return found, spent


def recall(found: Ids, truth: Ids) -> float:
    """Share of the best that are found."""
    return float(np.mean([len(set(mine) & set(best)) / len(best) for mine, best in zip(found, truth, strict=True)]))


class Table:
    """Prints a line per search, and keeps what it says."""

    def __init__(self, floats: Ids) -> None:
        self._floats = floats
        self.found: dict[str, dict[str, float]] = {}
        heads = ("p50 ms", "p99 ms", "of codes", "of float", "MB", "B/doc", "build s")
        print(f"{'':<34}" + "".join(f"{head:>10}" for head in heads))

    def add(
        self, what: str, told: tuple[Ids, list[float]], truth: Ids, size: int, built: float, documents: int
    ) -> None:
        """A line."""
        found, spent = told
        p50, p99 = (float(np.percentile(spent, part)) for part in (50, 99))
        shares = recall(found, truth), recall(found, self._floats[: len(found)])
        line = f"{what:<34}{p50:>10.2f}{p99:>10.2f}{shares[0]:>10.4f}{shares[1]:>10.4f}"
        print(f"{line}{size / 1e6:>10.1f}{size / documents:>10.0f}{built:>10.1f}", flush=True)
        keys = ("p50_ms", "p99_ms", "recall_codes", "recall_float", "bytes", "build_s")
        self.found[what] = dict(zip(keys, (p50, p99, *shares, size, built), strict=True))


def ids(hits: list[list[Hit]]) -> Ids:
    """Of hits."""
    return [[hit.id for hit in each] for each in hits]


def compare_stage(
    stage: VectorFormat, vectors: np.ndarray, queries: np.ndarray, folder: Path, url: str, table: Table
) -> None:
    """Both stores over the same codes."""
    codec = CODECS[stage.precision](prefix(vectors[:FITTED], stage.dimension))
    about = About("benchmark", "", WIDTH, (stage,))
    stores: dict[str, Any] = {
        "embedded": EmbeddedStore(folder / stage.name),
        "postgres": PostgresStore(url, stage.name),
    }
    spent = {}
    for kind, store in stores.items():
        start = time.perf_counter()
        store.build(about, [codec], batches(vectors))
        spent[kind] = time.perf_counter() - start
    truth = ids(stores["embedded"].search(queries, K, exact=True))
    for kind, store in stores.items():
        told = timed(lambda query, store=store: ids(store.search(query[None], K))[0], queries)
        table.add(f"{stage.name} {kind}", told, truth, store.size(), spent[kind], len(vectors))
    start = time.perf_counter()
    same = np.mean([a == b for a, b in zip(ids(stores["postgres"].search(queries, K, exact=True)), truth, strict=True)])
    took = time.perf_counter() - start
    print(f"{'':<4}exact in PostgreSQL: {len(queries)} queries in {took:.1f} s, {same:.1%} with the same 10 in order")
    print(f"{'':<4}bytes in PostgreSQL: {stores['postgres'].sizes()}", flush=True)
    for store in stores.values():
        store.close()
    with psycopg.connect(url, autocommit=True) as connection:  # room for the next
        row = connection.execute("DELETE FROM nestvec_indexes RETURNING documents").fetchone()
        connection.execute(sql.SQL("DROP TABLE {}").format(sql.Identifier(row[0] if row else "")))


def compare_faiss(vectors: np.ndarray, folder: Path) -> tuple[Callable[[np.ndarray], list[str]], int, float]:
    """Exact search over float32 in memory."""
    start = time.perf_counter()
    index = faiss.IndexFlatIP(WIDTH)
    for first in range(0, len(vectors), STEP):
        index.add(np.array(vectors[first : first + STEP]))
    spent = time.perf_counter() - start
    path = folder / "flat.faiss"
    faiss.write_index(index, str(path))
    size = path.stat().st_size
    path.unlink()
    return lambda query: [name(row) for row in index.search(query[None], K)[1][0]], size, spent


def compare_pgvector(vectors: np.ndarray, queries: np.ndarray, url: str, floats: Ids, table: Table) -> None:
    """A table as pgvector's manual has it."""
    with psycopg.connect(url, autocommit=True) as connection:
        start = time.perf_counter()
        connection.execute("CREATE EXTENSION IF NOT EXISTS vector")
        connection.execute(f"CREATE TABLE plain (id text, text text, fields jsonb, embedding vector({WIDTH}))")
        connection.execute("ALTER TABLE plain ALTER embedding SET STORAGE PLAIN")
        with connection.cursor().copy("COPY plain FROM STDIN (FORMAT BINARY)") as copy:
            copy.write(b"PGCOPY\n\xff\r\n\x00" + bytes(8))
            head = np.array([WIDTH, 0], dtype=">i2").tobytes()
            for batch in batches(vectors):
                held = zip(batch.ids, batch.texts, batch.fields, batch.vectors.astype(">f4"), strict=True)
                for key, text, fields, vector in held:
                    packed = b"\x01" + json.dumps(fields).encode(), head + vector.tobytes()
                    copy.write(_row(key.encode(), text.encode(), *packed))
            copy.write(b"\xff\xff")
        connection.execute("SET maintenance_work_mem = '4GB'")
        connection.execute("ALTER TABLE plain ADD PRIMARY KEY (id)")
        connection.execute("CREATE INDEX ON plain USING hnsw (embedding vector_cosine_ops)")
        spent = time.perf_counter() - start
        row = connection.execute("SELECT pg_total_relation_size('plain')").fetchone()
        size = row[0] if row else 0
        connection.execute(f"SET hnsw.ef_search = {EFFORT}")
        connection.execute("SET jit = off")

        by = "embedding <=> %s::vector"

        def search(query: np.ndarray) -> list[str]:
            text = f"[{','.join(map(str, query.tolist()))}]"
            asked = f"SELECT id, {by}, text, fields FROM plain ORDER BY {by} LIMIT {K}"
            return [found[0] for found in connection.execute(asked, [text, text], binary=True).fetchall()]

        table.add("384.float32 pgvector HNSW", timed(search, queries), floats, size, spent, len(vectors))
        connection.execute("DROP INDEX plain_embedding_idx")  # a prepared statement would go on using it
        few = queries[: max(WARM, len(queries) // 5)]
        table.add("384.float32 pgvector exact", timed(search, few), floats[: len(few)], size, spent, len(vectors))
        connection.execute("DROP TABLE plain")


def _row(*values: bytes) -> bytes:
    """A row of a binary COPY."""
    return len(values).to_bytes(2, "big") + b"".join(len(value).to_bytes(4, "big") + value for value in values)


def compare(documents: int, queries: int) -> dict[str, Any]:
    """All searches at one size."""
    with tempfile.TemporaryDirectory(prefix="nestvec-search-") as held:
        folder = Path(held)
        (folder / "server").mkdir()
        with start_server(folder / "server") as url, psycopg.connect(url, autocommit=True) as connection:
            for setting, value in SETTINGS.items():
                connection.execute(f"ALTER SYSTEM SET {setting} = '{value}'")
        vectors, asked = make(folder, documents, queries)
        print(f"\n{documents:,} documents, {queries} queries, the best {K}, {len(os.sched_getaffinity(0))} processors")
        search, size, built = compare_faiss(vectors, folder)
        told = timed(search, asked)
        table = Table(told[0])
        table.add("384.float32 faiss IndexFlatIP", told, told[0], size, built, documents)
        floats = told[0]
        del search
        with start_server(folder / "server") as url:
            for stage in STAGES:
                compare_stage(stage, vectors, asked, folder, url, table)
            compare_pgvector(vectors, asked, url, floats, table)
    return {"documents": documents, **table.found}


def main() -> None:
    """Time each search at each number of documents, and end with a line of JSON."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--documents", default="200000")
    parser.add_argument("--queries", type=int, default=200)
    options = parser.parse_args()
    print(f"faiss {faiss.__version__}, psycopg {psycopg.__version__}, {faiss.omp_get_max_threads()} threads")
    found = [compare(int(documents), options.queries) for documents in options.documents.split(",")]
    flat, plain = "384.float32 faiss IndexFlatIP", "384.float32 pgvector HNSW"
    ratios = {
        f"{sizes['documents']}": {
            what: {
                "p50_over_faiss": round(told["p50_ms"] / sizes[flat]["p50_ms"], 3),
                "bytes_over_pgvector": round(told["bytes"] / sizes[plain]["bytes"], 3),
            }
            for what, told in sizes.items()
            if what != "documents"
        }
        for sizes in found
    }
    print(json.dumps({"queries": options.queries, "ratio": ratios, "searches": found}))


if __name__ == "__main__":
    main()
