"""Whether an exported model gives the vectors that were measured, tried on about 500 texts."""

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
QUERIES = 500  # whose recall is compared; few of them say little
LOSS = 0.01  # of recall@10 that an export may have
LEAST = {"float32": 0.9999}  # cosine of every text to its evaluated vector
MEAN = {"int8": 0.99, "int8-dynamic": 0.98}  # and of all texts on average
_ROWS = 65_536  # documents coded at a time
_STEP = 64  # texts between two progress reports


@dataclass(frozen=True)
class Parity:
    """How near an export comes to what was measured."""

    weights: str  # of the export
    texts: int  # encoded, documents and queries
    queries: int  # test queries among them, whose recall is compared
    cosine_least: float  # of any text to its evaluated vector
    cosine_mean: float  # of all
    recall: float  # recall@10 of the queries as the export encodes them, among the documents as they were measured
    recall_before: float  # the same of the evaluated queries
    agreement: float  # share of the ten documents that both find, on average

    @property
    def allowed_loss(self) -> float:
        """Recall that may be lost: a point, but where so few queries are judged that one of them weighs more, that."""
        return max(LOSS, 1 / self.queries) if self.queries else 1.0

    @property
    def summary(self) -> str:
        """One line for people."""
        return (
            f"Against what was measured, on {self.texts:,} texts: cosine {self.cosine_mean:.5f} on average, "
            f"{self.cosine_least:.5f} at the least; recall@{CUTOFF} of {self.queries:,} test queries {self.recall:.4f} "
            f"({self.recall_before:.4f} as measured), {self.agreement:.1%} of the documents found are the same"
        )

    def to_json(self) -> dict[str, float | int]:
        """As the card holds it."""
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
        """Raise NestvecError where a figure is beyond its limit: the export gives other vectors."""
        least, mean = LEAST.get(self.weights, -1.0), MEAN.get(self.weights, -1.0)
        wrong = []
        if not self.cosine_least >= least:  # also where it is no number
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
                f"the exported model gives other vectors than were measured ({tried}): {'; '.join(wrong)}. "
                f"Nothing was written{advice}"
            )


@dataclass(frozen=True)
class Sample:
    """Some test queries, then documents, encoded again beside what was measured of them.

    Attributes:
        queries: (q,) rows of the run's queries.
        documents: (d,) rows of its documents.
        vectors: (q + d, dimension) float32 as they are encoded now, rows of unit length.
        measured: (q + d, full width) float32 as they were measured, rows of unit length.
    """

    queries: NDArray[np.int64]
    documents: NDArray[np.int64]
    vectors: NDArray[np.float32]
    measured: NDArray[np.float32]

    def cosines(self, codec: Codec) -> NDArray[np.float64]:
        """(q + d,) cosines of each text's vector to the measured one, which the codec shortens."""
        wanted = codec.cut(self.measured)
        are_zero = ~wanted.any(axis=1) & ~self.vectors.any(axis=1)  # no direction on either side: equal all the same
        return np.where(are_zero, 1.0, np.einsum("ij,ij->i", self.vectors, wanted, dtype=np.float64))


def encode_sample(chosen: Selection, encode: Encode, queries: int, texts: int, reporter: Reporter) -> Sample:
    """Encode some of a run's texts again: at most so many answerable test queries, and documents up to so many texts.

    Half of the texts are documents at the least. The same texts are drawn every time.
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
    """Encode documents and test queries with an export and compare.

    Args:
        chosen: what was measured.
        encode: the export's: n texts, and whether they are queries or documents, to (n, dimension) float32. It puts
            their prompts before them, so that a wrong prompt is seen.
        weights: of the export.
        reporter: is told of progress.

    Returns:
        The figures.
    """
    run, dimension = chosen.run, chosen.dimension
    ids, query_ids = run.catalogue.ids, run.queries.ids
    tried = encode_sample(chosen, encode, QUERIES, TEXTS, reporter)
    asked, vectors = tried.queries, tried.vectors
    if vectors.shape[1] != dimension:
        raise NestvecError(f"the exported model gives vectors of {vectors.shape[1]} numbers, not {dimension}")
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
    """Draw so many of the rows, or take all; ascending."""
    numbers = np.asarray(rows, dtype=np.int64)
    return np.sort(rng.choice(numbers, min(count, len(numbers)), replace=False)) if len(numbers) else numbers


def _encode_texts(encode: Encode, tried: dict[Role, list[str]], reporter: Reporter) -> NDArray[np.float32]:
    """Encode texts to (n, dimension), in batches whose texts differ in length, so that padding is tried as well."""
    parts = []
    with reporter.step("compare with what was measured", sum(map(len, tried.values()))) as advance:
        for role, texts in tried.items():
            for first in range(0, len(texts), _STEP):
                part = texts[first : first + _STEP]
                parts.append(encode(part, role))
                advance(len(part))
    return np.concatenate(parts)


def code_catalogue(chosen: Selection, order: NDArray[np.int64]) -> NDArray[np.generic]:
    """Code the catalogue's d documents in the order (d,) given, as they were coded when measured."""
    vectors = chosen.document_vectors
    parts = [
        chosen.codec.encode(chosen.codec.cut(np.asarray(vectors[order[first : first + _ROWS]])))
        for first in range(0, len(order), _ROWS)
    ]
    return np.concatenate(parts)
