"""Search by words, by vectors and by both, in both stores, beside PostgreSQL's own full-text rank.

    python benchmarks/fused_search.py [--documents 1000000] [--queries 300] [--stores embedded,postgres]

Documents are titles of 4 to 13 words, drawn as words of product titles are: few words stand in a fifth of them, most in
a handful. Vectors lie around topics, most of their variance in the first numbers, as trained ones have it, and are kept
as 384 bits (50 bytes). A query is one to five words of a title, and a vector near the title's. PostgreSQL's own rank is
`ts_rank_cd` over a GIN index of the same titles, which share a word with the query.

One query at a time: the median and the 99th percentile of milliseconds. `found` is the share of the exact search's best
10, fused, that is found without `exact`. PostgreSQL is a real server with 2 GB of shared buffers. The last line is JSON
with each median over that of the store's vectors.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from nestvec.lexical.bm25 import LexicalSettings
from nestvec.lexical.fusion import Fusion
from nestvec.lexical.hybrid_file import Hybrid
from nestvec.point import VectorFormat
from nestvec.stores.embedded import EmbeddedStore
from nestvec.stores.store import About, Batch
from nestvec.vectors.codecs import CODECS

sys.path.append(str(Path(__file__).parent.parent / "tests"))
from database import start_server  # type: ignore[import-not-found]  # a helper of the tests

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

WIDTH, STAGE = 384, VectorFormat(384, "binary")
HYBRID = Hybrid(LexicalSettings(k1=0.3, b=0.6), Fusion(0.5))
K = 10
STEP = 16_384  # documents made and loaded at a time
VOCABULARY = 60_000
TOPICS = 2000
SPREAD = ((1 + np.arange(WIDTH) / 24) ** -0.75).astype(np.float32)  # of a vector's numbers
WARM = 20  # queries before the clock runs
SETTINGS = {"shared_buffers": "2GB", "max_wal_size": "8GB"}


class Queries(NamedTuple):
    """What is asked: texts and their (q, 384) vectors."""

    texts: list[str]
    vectors: np.ndarray


def batches(documents: int) -> Iterator[Batch]:
    """Titles and vectors, the same ones every time."""
    likely = 1 / np.arange(1, VOCABULARY + 1) ** 0.9
    likely /= likely.sum()
    syllables = ["ba", "do", "fen", "gri", "kel", "lo", "mar", "nus", "pra", "ti"]
    topics = np.random.default_rng(0).standard_normal((TOPICS, WIDTH), dtype=np.float32) * SPREAD
    words = np.array(["".join(syllables[int(digit)] for digit in str(number)) for number in range(VOCABULARY)])
    for first in range(0, documents, STEP):
        rng = np.random.default_rng(first)
        count = min(STEP, documents - first)
        lengths = rng.integers(4, 14, count)
        drawn = np.split(words[rng.choice(VOCABULARY, lengths.sum(), p=likely)], np.cumsum(lengths)[:-1])
        noise = rng.standard_normal((count, WIDTH), dtype=np.float32) * SPREAD
        vectors = topics[rng.integers(0, TOPICS, count)] + 0.8 * noise
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
        ids = [f"d{row:07d}" for row in range(first, first + count)]
        yield Batch(ids, [" ".join(title) for title in drawn], vectors, [{} for _ in ids])


def make_queries(documents: int, count: int) -> Queries:
    """Words of titles, and vectors near theirs."""
    rng = np.random.default_rng(1)
    chosen, texts, vectors = set(rng.choice(documents, count, replace=False).tolist()), [], []
    for number, batch in enumerate(batches(documents)):
        for row in sorted(chosen.intersection(range(number * STEP, number * STEP + len(batch.ids)))):
            title = batch.texts[row - number * STEP].split()
            texts.append(" ".join(rng.choice(title, min(len(title), int(rng.integers(1, 6))), replace=False)))
            noise = rng.standard_normal(WIDTH, dtype=np.float32) * SPREAD
            vectors.append(batch.vectors[row - number * STEP] + 0.02 * noise)
    found = np.stack(vectors).astype(np.float32)
    return Queries(texts, found / np.linalg.norm(found, axis=1, keepdims=True))


def measure(what: str, search: Callable[[int], object], queries: int) -> dict[str, float]:
    """Median and 99th percentile of milliseconds, one query at a time; prints a line."""
    for query in range(WARM):
        search(query % queries)
    spent = []
    for query in range(queries):
        start = time.perf_counter()
        search(query)
        spent.append(1000 * (time.perf_counter() - start))
    p50, p99 = (float(np.percentile(spent, part)) for part in (50, 99))
    print(f"{what:<34}{p50:>10.2f}{p99:>10.2f}", flush=True)
    return {"p50_ms": round(p50, 3), "p99_ms": round(p99, 3)}


def measure_store(name: str, store: Any, documents: int, asked: Queries) -> dict[str, Any]:  # noqa: ANN401 - any `Store`
    """Build an index of both legs and search it."""
    texts, vectors = asked
    codec = CODECS[STAGE.precision](next(batches(documents)).vectors)
    start = time.perf_counter()
    store.build(About("benchmark", "", WIDTH, (STAGE,), hybrid=HYBRID), [codec], batches(documents))
    built = time.perf_counter() - start
    print(f"{name}: built in {built:.0f} s, {store.size() / 1e6:,.0f} MB", flush=True)
    searches: dict[str, Callable[[int], object]] = {
        "vectors": lambda query: store.search(vectors[query : query + 1], K),
        "words": lambda query: store.search_words(texts[query : query + 1], K),
        "fused": lambda query: store.search_fused(texts[query : query + 1], vectors[query : query + 1], K),
    }
    found = {mode: measure(f"{name} {mode}", search, len(texts)) for mode, search in searches.items()}
    near, exact = (store.search_fused(texts, vectors, K, exact=exact) for exact in (False, True))
    shares = [
        len({hit.id for hit in one} & {hit.id for hit in other}) / len(other)
        for one, other in zip(near, exact, strict=True)
    ]
    print(f"{name}: found {np.mean(shares):.4f}", flush=True)
    return {**found, "found": round(float(np.mean(shares)), 4), "build_s": round(built, 1), "bytes": store.size()}


def measure_full_text(url: str, documents: int, asked: Queries) -> dict[str, float]:
    """PostgreSQL's own rank of the titles that share a word with the query."""
    import psycopg

    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("CREATE TABLE plain (id text, text text, words tsvector)")
        with connection.cursor().copy("COPY plain (id, text) FROM STDIN") as copy:
            for batch in batches(documents):
                for row in zip(batch.ids, batch.texts, strict=True):
                    copy.write_row(row)
        connection.execute("UPDATE plain SET words = to_tsvector('english', text)")
        connection.execute("CREATE INDEX ON plain USING gin (words)")
        connection.execute("VACUUM ANALYZE plain")
        statement = (
            "SELECT id, text, ts_rank_cd(words, query) AS score FROM plain, to_tsquery('english', %s) AS query "
            f"WHERE words @@ query ORDER BY score DESC, id DESC LIMIT {K}"
        )

        def search(query: int) -> object:
            return connection.execute(statement, [" | ".join(asked.texts[query].split())]).fetchall()

        return measure("postgres ts_rank_cd", search, len(asked.texts))


def main() -> None:
    """Time searches by words, vectors and both in each store, and end with a line of JSON."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--documents", type=int, default=1_000_000)
    parser.add_argument("--queries", type=int, default=300)
    parser.add_argument("--stores", default="embedded,postgres")
    options = parser.parse_args()
    stores, found = options.stores.split(","), dict[str, dict[str, Any]]()
    asked = make_queries(options.documents, options.queries)
    print(f"{options.documents:,} documents, the best {K}, {len(os.sched_getaffinity(0))} processors")
    print(f"{'':<34}{'p50 ms':>10}{'p99 ms':>10}")
    with tempfile.TemporaryDirectory(prefix="nestvec-fused-") as held:
        if "embedded" in stores:
            with closing(EmbeddedStore(Path(held) / "index")) as store:
                found["embedded"] = measure_store("embedded", store, options.documents, asked)
        if "postgres" in stores:
            import psycopg

            from nestvec.stores.postgres.store import PostgresStore

            folder = Path(held) / "server"
            folder.mkdir()
            with start_server(folder) as url, psycopg.connect(url, autocommit=True) as connection:
                for setting, value in SETTINGS.items():
                    connection.execute(f"ALTER SYSTEM SET {setting} = '{value}'")
            with start_server(folder) as url:
                with closing(PostgresStore(url, "benchmark")) as store:
                    found["postgres"] = measure_store("postgres", store, options.documents, asked)
                found["postgres"]["ts_rank_cd"] = measure_full_text(url, options.documents, asked)
    ratios = {
        name: {
            mode: round(told[mode]["p50_ms"] / told["vectors"]["p50_ms"], 3)
            for mode in ("words", "fused", "ts_rank_cd")
            if mode in told
        }
        for name, told in found.items()
    }
    print(json.dumps({"documents": options.documents, "p50_over_vectors": ratios, "searches": found}))


if __name__ == "__main__":
    main()
