"""Checks an exported model: its vectors of about 500 texts must agree with those that the run measured."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from nestvec.errors import NestvecError
from nestvec.evaluation.metrics import mean_recall
from nestvec.models.prompts import DOCUMENT, QUERY
from nestvec.settings import CUTOFF
from nestvec.vectors.topk import tie_order, top_k

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from nestvec.models.prompts import Role
    from nestvec.progress import Reporter
    from nestvec.runs.point_files import Selection
    from nestvec.vectors.codecs import Codec

    Encode = Callable[[Sequence[str], Role], NDArray[np.float32]]

TEXTS = 500
QUERIES = 500  # most queries whose recall is compared
LOSS = 0.01  # recall@10 that an export may lose
LEAST = {"float32": 0.9999}  # least cosine that every text must reach, by weights
MEAN = {"int8": 0.99, "int8-dynamic": 0.98}  # least mean cosine, by weights
_ROWS = 65_536  # documents encoded at a time
_STEP = 64  # texts between two progress reports


@dataclass(frozen=True)
class Parity:
    """How close the vectors and the recall of an exported model are to those that the run measured."""

    weights: str  # the export's weights: float32, int8 or int8-dynamic
    texts: int  # number of documents and queries compared
    queries: int  # number of test queries among them, whose recall is compared
    cosine_least: float  # least cosine of a text's vector to its measured vector
    cosine_mean: float  # mean cosine
    recall: float  # recall@10 with queries encoded by the export, over the measured documents
    recall_before: float  # recall@10 with the measured queries
    agreement: float  # mean share of the first ten documents that both find

    @property
    def allowed_loss(self) -> float:
        """The recall@10 that an export may lose: 0.01, or one query's share if fewer than 100 queries are compared."""
        return max(LOSS, 1 / self.queries) if self.queries else 1.0

    @property
    def summary(self) -> str:
        """One line for the terminal: how close the exported model's vectors and recall are to the measured ones."""
        return (
            f"Compared with the measured vectors on {self.texts:,} texts: mean cosine {self.cosine_mean:.5f}, "
            f"least {self.cosine_least:.5f}; recall@{CUTOFF} of {self.queries:,} test queries {self.recall:.4f} "
            f"({self.recall_before:.4f} as measured); {self.agreement:.1%} of the documents found are the same"
        )

    def to_json(self) -> dict[str, float | int]:
        """Convert the comparison to rounded numbers, as stored in the export's `nestvec.json`."""
        return {
            "texts": self.texts,
            "queries": self.queries,
            "cosine_least": round(self.cosine_least, 7),
            "cosine_mean": round(self.cosine_mean, 7),
            f"recall@{CUTOFF}": round(self.recall, 7),
            f"recall@{CUTOFF}_before": round(self.recall_before, 7),
            f"agreement@{CUTOFF}": round(self.agreement, 7),
        }

    def refuse_other(self) -> None:
        """Raise NestvecError if the exported model's cosines or recall differ too much from the measured ones."""
        least, mean = LEAST.get(self.weights, -1.0), MEAN.get(self.weights, -1.0)
        wrong = []
        if not self.cosine_least >= least:  # true for NaN, too
            wrong.append(f"the least cosine is {self.cosine_least:.6f}, below {least:g}")
        if not self.cosine_mean >= mean:
            wrong.append(f"the mean cosine is {self.cosine_mean:.6f}, below {mean:g}")
        if not self.recall >= self.recall_before - self.allowed_loss - 1e-9:
            recalls = f"recall@{CUTOFF} is {self.recall:.4f} instead of {self.recall_before:.4f}"
            wrong.append(f"{recalls}, more than {self.allowed_loss:.3g} lower")
        if wrong:
            advice = "" if self.weights == "float32" else "; --weights float32 loses nothing"
            tried = f"{self.texts:,} texts, {self.queries:,} of them queries"
            raise NestvecError(
                f"the exported model's vectors differ from the measured ones ({tried}): {'; '.join(wrong)}. "
                f"Nothing was written{advice}"
            )


@dataclass(frozen=True)
class Sample:
    """A sample of a run's queries and documents, encoded again, with the vectors that the run measured.

    Attributes:
        queries: (q,) row numbers of the sampled queries among the run's queries.
        documents: (d,) row numbers of the sampled documents among the run's documents.
        vectors: (q + d, dimension) float32 vectors as encoded now, first those of queries; rows of unit length.
        measured: (q + d, full width) float32 vectors of the same texts, as the run measured them; rows of unit length.
    """

    queries: NDArray[np.int64]
    documents: NDArray[np.int64]
    vectors: NDArray[np.float32]
    measured: NDArray[np.float32]

    def cosines(self, codec: Codec) -> NDArray[np.float64]:
        """Return for each sampled text the cosine of its new vector and its measured one, shortened by the codec."""
        wanted = codec.cut(self.measured)
        are_zero = ~wanted.any(axis=1) & ~self.vectors.any(axis=1)  # two zero vectors count as equal
        return np.where(are_zero, 1.0, np.einsum("ij,ij->i", self.vectors, wanted, dtype=np.float64))


def encode_sample(chosen: Selection, encode: Encode, queries: int, texts: int, reporter: Reporter) -> Sample:
    """Encode a random sample of a run's texts again; every call draws the same sample.

    The sample has at most `queries` test queries with relevant documents, and fills up to `texts` texts with
    documents; if there are many queries, at least `texts` // 2 documents are added.
    """
    run, rng = chosen.run, np.random.default_rng(0)
    asked = _draw_rows(rng, [row for row, query in enumerate(run.queries.ids) if query in run.answerable], queries)
    documents = _draw_rows(rng, range(len(run.catalogue)), max(texts // 2, texts - len(asked)))
    tried: dict[Role, list[str]] = {
        QUERY: [run.queries.texts[row] for row in asked],
        DOCUMENT: [run.catalogue.texts[row] for row in documents],
    }
    measured = np.concatenate([chosen.query_vectors[asked], chosen.document_vectors[documents]])
    return Sample(asked, documents, _encode_texts(encode, tried, reporter), measured)


def measure_parity(chosen: Selection, encode: Encode, weights: str, reporter: Reporter) -> Parity:
    """Encode a sample of texts with an exported model, and compare the vectors with those that the run measured.

    Args:
        chosen: the exported system, dimension and precision.
        encode: encodes n texts, all queries or all documents, with the exported model to (n, dimension) float32. It
            must add the prompts itself, so that the comparison detects a wrong prompt.
        weights: the type of the exported weights: float32, int8 or int8-dynamic.
        reporter: receives progress.

    Returns:
        The cosines and the recall of the exported model beside the measured ones.
    """
    run, dimension = chosen.run, chosen.dimension
    ids, query_ids = run.catalogue.ids, run.queries.ids
    tried = encode_sample(chosen, encode, QUERIES, TEXTS, reporter)
    asked, vectors = tried.queries, tried.vectors
    if vectors.shape[1] != dimension:
        raise NestvecError(f"the exported model gives vectors of {vectors.shape[1]} dimensions instead of {dimension}")
    cosines = tried.cosines(chosen.codec)
    before = chosen.codec.cut(tried.measured[: len(asked)])
    order = tie_order(ids)
    codes = code_catalogue(chosen, order)
    exported, measured = (
        order[top_k(queries, codes, CUTOFF, chosen.codec.decode)[0]] for queries in (vectors[: len(asked)], before)
    )
    recalls = []
    for rows in (exported, measured):
        rankings = {query_ids[query]: [ids[row] for row in ranked] for query, ranked in zip(asked, rows, strict=True)}
        recalls.append(mean_recall(rankings, run.answerable, run.results.relevant_from, CUTOFF))
    same = [len(np.intersect1d(a, b)) / len(b) for a, b in zip(exported, measured, strict=True)]
    return Parity(
        weights=weights,
        texts=len(vectors),
        queries=len(asked),
        cosine_least=float(cosines.min()),
        cosine_mean=float(cosines.mean()),
        recall=recalls[0],
        recall_before=recalls[1],
        agreement=float(np.mean(same)) if same else 1.0,
    )


def _draw_rows(rng: np.random.Generator, rows: Sequence[int], count: int) -> NDArray[np.int64]:
    """Draw `count` row numbers at random from `rows`, or all if there are fewer; gives them in ascending order."""
    numbers = np.asarray(rows, dtype=np.int64)
    return np.sort(rng.choice(numbers, min(count, len(numbers)), replace=False)) if len(numbers) else numbers


def _encode_texts(encode: Encode, tried: dict[Role, list[str]], reporter: Reporter) -> NDArray[np.float32]:
    """Encode n texts to (n, dimension); a batch mixes texts of different lengths, so padding errors are detected."""
    parts = []
    with reporter.step("compare with measured vectors", sum(map(len, tried.values()))) as advance:
        for role, texts in tried.items():
            for first in range(0, len(texts), _STEP):
                part = texts[first : first + _STEP]
                parts.append(encode(part, role))
                advance(len(part))
    return np.concatenate(parts)


def code_catalogue(chosen: Selection, order: NDArray[np.int64]) -> NDArray[np.generic]:
    """Quantise the run's measured vectors of all documents, in the order of the row numbers in `order`."""
    vectors = chosen.document_vectors
    parts = [
        chosen.codec.encode(chosen.codec.cut(np.asarray(vectors[order[first : first + _ROWS]])))
        for first in range(0, len(order), _ROWS)
    ]
    return np.concatenate(parts)
