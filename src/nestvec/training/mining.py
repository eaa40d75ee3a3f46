"""Mines hard negatives: documents that a model ranks high for a query, and that nobody judged for this query.

An unjudged document may be relevant, so documents nearly as similar as the query's relevant document are skipped
(Moreira et al. 2024, section 3.2: at most a share of the positive's score). Judged documents are never mined.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import numpy as np

from nestvec.files import replacing
from nestvec.settings import MOST_NEGATIVES
from nestvec.training.examples import group_by_query
from nestvec.training.token_passes import encode_tokens
from nestvec.vectors.topk import top_k

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray
    from sentence_transformers import SentenceTransformer

    from nestvec.training.examples import Examples
    from nestvec.training.token_passes import Tokens


def mine_negatives(
    model: SentenceTransformer,
    examples: Examples,
    tokens: Tokens,
    margin: float,
    compute: str,
    cache: Path | None = None,
) -> dict[int, list[int]]:
    """Find up to `MOST_NEGATIVES` hard negatives for each query, most similar first, among all documents of the rows.

    A negative's similarity is at most `margin` times the similarity of the query's most similar relevant document. The
    folder `cache` keeps results in files whose names are a hash of the weights and of all other input.
    """
    path = None if cache is None else cache / f"{_cache_key(model, examples, tokens, f'{margin} {compute}')}.npz"
    if path is not None and path.is_file():
        with np.load(path, allow_pickle=False) as cached:
            return group_by_query(cached["query"], cached["document"])
    queries = np.unique(examples.query)
    documents = np.unique([document for row in examples.members for document in row])
    query_vectors = encode_tokens(model, tokens, queries, compute)
    document_vectors = encode_tokens(model, tokens, examples.queries + documents, compute)
    columns, scores = top_k(query_vectors, document_vectors, MOST_NEGATIVES * 2)
    ranked = documents[columns]
    gains = examples.judgements.gains(queries, ranked)
    limit = margin * _best_relevant(examples, queries, query_vectors, documents, document_vectors)
    fit = (gains < 0) & (scores <= limit[:, None])
    fit &= np.cumsum(fit, axis=1) <= MOST_NEGATIVES
    query, document = np.broadcast_to(queries[:, None], ranked.shape)[fit], ranked[fit]
    if path is not None:
        with replacing(path) as temporary, temporary.open("wb") as stream:
            np.savez(stream, query=query, document=document)
    return group_by_query(query, document)


def _best_relevant(
    examples: Examples,
    queries: NDArray[np.int64],
    query_vectors: NDArray[np.float32],
    documents: NDArray[np.int64],
    document_vectors: NDArray[np.float32],
) -> NDArray[np.float32]:
    """Compute each query's similarity to its most similar relevant document among the training rows."""
    best = np.full(len(queries), -1, dtype=np.float32)
    for query, members in zip(examples.query.tolist(), examples.members, strict=True):
        row = int(np.searchsorted(queries, query))
        gains = examples.judgements.gains(np.array([query]), np.array([members]))[0]
        relevant = np.searchsorted(documents, np.array(members)[gains >= examples.judgements.relevant_from])
        best[row] = max(best[row], (document_vectors[relevant] @ query_vectors[row]).max(initial=-1))
    return best


def _cache_key(model: SentenceTransformer, examples: Examples, tokens: Tokens, settings: str) -> str:
    """Hash everything that decides which negatives are mined: weights, texts, rows, judgements and settings."""
    digest = hashlib.sha256(f"{settings} {examples.queries}".encode())
    for name, weights in model.state_dict().items():
        digest.update(name.encode())
        digest.update(weights.cpu().contiguous().numpy().tobytes())
    members = [document for row in examples.members for document in row]
    judged = examples.judgements
    arrays = (examples.query, np.array(members), judged.keys, judged.values, np.array(judged.relevant_from))
    for values in (tokens.ids, tokens.starts, *arrays):
        digest.update(np.ascontiguousarray(values).tobytes())
    return digest.hexdigest()
