"""What codes keep of float32's recall on a finished run's vectors, beside faiss's RaBitQ on the same vectors.

    python benchmarks/codes.py DIR [DIMENSION]

Every system with embeddings in the run, the test queries against every document. Bytes are what each keeps of a vector.
faiss is given a random rotation and the query in float32, as ours has. The last line is JSON: shares of float32's
recall@10 by system and code.
"""

from __future__ import annotations

import json
import sys
import tomllib
from pathlib import Path

import faiss
import numpy as np

from nestvec.pipeline.inputs import Prepared, prepare
from nestvec.settings import Settings
from nestvec.vectors.codecs import CODECS
from nestvec.vectors.cut import prefix
from nestvec.vectors.topk import top_k

K = 10


def recall(prepared: Prepared, asked: np.ndarray, rows: np.ndarray) -> float:
    """Mean recall@10 of rankings of the test queries, as rows of the catalogue."""
    return float(prepared.judgements.measure(asked, rows)[f"recall@{K}"].mean())


def faiss_rabitq(queries: np.ndarray, documents: np.ndarray, bits: int) -> tuple[np.ndarray, int]:
    """The ranking by faiss's RaBitQ of so many bits, and its bytes a vector."""
    width = documents.shape[1]
    quantised = faiss.IndexRaBitQ(width, faiss.METRIC_INNER_PRODUCT, bits)
    quantised.qb = 0  # the query in float32
    index = faiss.IndexPreTransform(faiss.RandomRotationMatrix(width, width), quantised)
    index.train(documents)
    index.add(documents)
    return index.search(queries, K)[1], quantised.code_size


def main() -> None:
    """Print a line per system and code, then JSON."""
    folder = Path(sys.argv[1])
    config = tomllib.loads((folder / "config.toml").read_text(encoding="utf-8"))
    given = {name: value for name, value in config.items() if not isinstance(value, dict)}
    prepared = prepare(Settings.from_flat(given))
    topics, order = prepared.topics, prepared.catalogue.order
    asked = np.flatnonzero(topics.splits == "test")
    print(f"{len(asked):,} test queries, {len(order):,} documents, {faiss.omp_get_max_threads()} threads")
    shares: dict[str, dict[str, float]] = {}
    for path in sorted((folder / "embeddings").glob("*.npy")):
        vectors = np.load(path)
        width = int(sys.argv[2]) if len(sys.argv) > 2 else vectors.shape[1]
        queries = prefix(vectors[: len(topics.ids)], width)[asked]
        documents = prefix(vectors[len(topics.ids) :], width)[order]
        found = {}
        for name, fit in CODECS.items():
            codec = fit(documents)
            rows, _ = top_k(queries, codec.encode(documents), K, codec.decode)
            found[name] = recall(prepared, asked, order[rows]), codec.bytes_per_vector
        for bits, name in ((4, "int4"), (2, "int2"), (1, "binary")):
            rows, size = faiss_rabitq(queries, documents, bits)
            found[f"faiss {name}"] = recall(prepared, asked, order[rows]), size
        whole = found["float32"][0]
        for name, (value, size) in found.items():
            print(f"{path.stem:<14}{width:>5} {name:<14}{size:>6} bytes  recall@10 {value:.4f}  {value / whole:.2%}")
        shares[path.stem] = {name: round(value / whole, 4) for name, (value, _) in found.items()}
    print(json.dumps(shares))


if __name__ == "__main__":
    main()
