"""Fits BM25's settings, and how BM25's scores and vector scores are fused, before anything is measured.

BM25 and fusion are fitted on training queries only, so that no validation or test query influences a setting. Fusion
is fitted with vectors of the pretrained model, because a fine-tuned model ranks the queries that it was trained on too
well, which would give BM25 too little weight. Settings that were fitted for the pretrained model suit the fine-tuned
models as well; this was measured (docs/decisions.md).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from nestvec.evaluation.metrics import CONDENSED
from nestvec.evaluation.ranking import ask_counted, ask_words
from nestvec.lexical.bm25 import Bm25, LexicalSettings, WordCounts
from nestvec.lexical.candidates import fuse_candidates, gather_candidates
from nestvec.lexical.corrections import Corrector
from nestvec.lexical.fusion import BEST, RANGE, RANKS, Fusion
from nestvec.lexical.words import CJK, WordForms, list_stop_words
from nestvec.point import FULL
from nestvec.settings import DEPTH, cutoff_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from numpy.typing import NDArray

    from nestvec.evaluation.metrics import Judgements
    from nestvec.evaluation.ranking import Coded
    from nestvec.evaluation.surface import Catalogue
    from nestvec.lexical.candidates import Candidates
    from nestvec.point import VectorFormat

MOST_QUERIES = 1500  # more training queries than this change no choice
FEWEST_QUERIES = 20  # with fewer training queries nothing is fitted: all settings keep their defaults
K1 = (0.1, 0.2, 0.3, 0.5, 0.9, 1.2, 1.5, 2.0)
B = (0.0, 0.2, 0.4, 0.6, 0.75, 0.9)
WEIGHTS = tuple(round(0.05 * step, 2) for step in range(2, 19))
FITTED = (FULL, "binary")  # precisions whose weights are fitted; others use the weight of the nearest
CONSTANTS = (2, 5, 20, 60)
_CLEAR = 1.64  # another form of words, or their correction, must be better by this many standard errors


@dataclass(frozen=True)
class FitQueries:
    """Training queries to fit on, with the catalogue that they search.

    Attributes:
        texts: the texts of the q queries.
        judgements: the queries' judgements.
        catalogue: the documents that are searched; its `own` states which document is each of these queries itself.
        metric: name of the metric to maximise, such as `ndcg@10`.
    """

    texts: Sequence[str]
    judgements: Judgements
    catalogue: Catalogue
    metric: str

    def measure(self, rows: NDArray[np.int64]) -> NDArray[np.float64]:
        """Compute the metric of each of q queries from the catalogue rows of its documents, best first; gives (q,)."""
        cutoff = cutoff_of(self.metric)
        looked_at = rows if self.metric.startswith(CONDENSED) else rows[:, :cutoff]
        measured = self.judgements.measure(np.arange(len(self.texts)), looked_at, (cutoff,))
        values: NDArray[np.float64] = measured[self.metric]
        return values


def fit_words(queries: FitQueries, language: str) -> tuple[Bm25, LexicalSettings, dict[str, float]]:
    """Choose BM25's k1 and b, and whether to stem words, drop stop words and correct unknown query words.

    k1 and b are chosen on a grid. Each cell's metric is averaged with its neighbours' first, as single cells vary by
    chance.

    Args:
        queries: queries of the training split.
        language: the catalogue's language, a key of `settings.LANGUAGES`.

    Returns:
        The tuned BM25 index, its settings, and the mean metric of every setting that was tried.
    """
    untuned = LexicalSettings(WordForms(language))
    texts = [queries.catalogue.texts[row] for row in queries.catalogue.order]
    counts = WordCounts.of(texts, untuned.forms)
    default = Bm25(counts, untuned.k1, untuned.b)
    if not queries.texts:  # nothing to train on was judged
        return default, untuned, {}
    asked = counts.count_queries(queries.texts)
    tried = {"bm25-default": float(_values(queries, default, asked).mean())}
    if len(queries.texts) < FEWEST_QUERIES:
        return default, untuned, tried
    grid = np.array([[_values(queries, Bm25(counts, k1, b), asked).mean() for b in B] for k1 in K1])
    row, column = np.unravel_index(int(_smooth(grid).argmax()), grid.shape)
    best = Bm25(counts, K1[row], B[column])
    tried[f"k1 {best.k1:g}, b {best.b:g}"] = float(grid[row, column])
    for name, forms in _other_forms(untuned.forms):
        best, tried[name] = _keep_if_clear(queries, best, Bm25(WordCounts.of(texts, forms), best.k1, best.b))
    if language != CJK:
        corrector = Corrector.of(texts, best.counts.forms)
        corrected = Bm25(best.counts, best.k1, best.b, corrector)
        best, tried["with corrected words"] = _keep_if_clear(queries, best, corrected)
    return best, best.settings, tried


def fit_fusion(
    queries: FitQueries, words: Bm25, coded: Iterable[Coded]
) -> tuple[Fusion, dict[str, float], dict[str, float]]:
    """Choose how scores are normalised before they are fused, and BM25's weight for vectors of each dimension.

    All precisions of a dimension share a weight, which makes the estimate steadier; vectors on principal axes have a
    weight of their own. Of all weights within one standard error of the best, the one nearest to 0.5 is taken: a few
    queries prove little, and fine-tuned vectors, which are better than the pretrained ones used here, need less weight
    on BM25.

    Args:
        queries: queries of the training split.
        words: the BM25 index.
        coded: the pretrained model's vectors of documents and queries at several dimensions and precisions, the full
            ones first.

    Returns:
        The fusion for full vectors, BM25's weight by vector format (such as `192.int8`), and the mean metric of
        every normalisation that was tried.
    """
    lexical = ask_words(words, queries.texts, queries.catalogue)
    fusion, tried = Fusion(), dict[str, float]()
    curves: dict[VectorFormat, NDArray[np.float64]] = {}
    for place, point in enumerate(coded):
        candidates = gather_candidates(point.leg(point.search(queries.catalogue)), lexical.leg)

        def values(fusion: Fusion, candidates: Candidates = candidates) -> NDArray[np.float64]:
            rows, _ = fuse_candidates(candidates, fusion, DEPTH)
            return queries.measure(queries.catalogue.order[rows])

        if place == 0:
            reached = {
                name: max(float(values(Fusion(weight, name)).mean()) for weight in WEIGHTS) for name in (BEST, RANGE)
            }
            tried |= {f"{name} normalisation": value for name, value in reached.items()}
            tried["reciprocal rank"] = max(float(values(Fusion(0.5, RANKS, rank)).mean()) for rank in CONSTANTS)
            fusion = Fusion(0.5, max(reached, key=lambda name: reached[name]))
        curves[point.point.format] = np.array([values(replace(fusion, weight=weight)) for weight in WEIGHTS])
    shared = {}
    for cut in dict.fromkeys(map(_cut_of, curves)):
        mean_curve = np.mean([curves[form] for form in curves if _cut_of(form) == cut], axis=0)
        shared[cut] = WEIGHTS[_most_even_of_the_best(mean_curve)]
    weights = {form.name: shared[_cut_of(form)] for form in curves}
    return replace(fusion, weight=next(iter(shared.values()))), weights, tried


def _cut_of(stored: VectorFormat) -> tuple[int, bool]:
    """Return a vector format's dimension, and whether the vectors are on principal axes."""
    return stored.dimension, stored.axes


def _other_forms(forms: WordForms) -> list[tuple[str, WordForms]]:
    """List other ways to choose and stem words that are worth a try, each with a name."""
    others = [("without stems", replace(forms, stem=False))]
    if list_stop_words(forms.language):
        others.append(("without stop words", replace(forms, stop_words=True)))
    return others


def _values(queries: FitQueries, words: Bm25, asked: Any) -> NDArray[np.float64]:  # noqa: ANN401 - SciPy has no types
    """Rank the documents with a BM25 index and return the (q,) metric values of q queries, whose words are counted."""
    return queries.measure(queries.catalogue.order[ask_counted(words, asked, queries.catalogue).found.rows])


def _keep_if_clear(queries: FitQueries, best: Bm25, candidate: Bm25) -> tuple[Bm25, float]:
    """Return the better of two BM25 indexes, and its mean metric; the candidate wins only if it is clearly better."""
    before, after = (_values(queries, words, words.count_queries(queries.texts)) for words in (best, candidate))
    return candidate if _is_clear(after - before) else best, float(after.mean())


def _is_clear(gain: NDArray[np.float64]) -> bool:
    """Whether the mean gain over q queries lies at least `_CLEAR` standard errors above 0."""
    return bool(gain.mean() > _CLEAR * gain.std() / np.sqrt(len(gain)))


def _most_even_of_the_best(values: NDArray[np.float64]) -> int:
    """Choose the weight nearest to 0.5 among those within a standard error of the best, given w x q metric values.

    `values` holds the metric for each weight (row) and query (column). The standard error is that of the paired
    difference to the best weight (one-standard-error rule, Breiman et al. 1984).
    """
    best = int(_smooth(values.mean(axis=1)[:, None]).argmax())
    lost = values[best] - values
    near = np.flatnonzero(lost.mean(axis=1) <= lost.std(axis=1) / np.sqrt(values.shape[1]))
    return int(min(near, key=lambda place: abs(WEIGHTS[place] - 0.5)))


def _smooth(grid: NDArray[np.float64]) -> NDArray[np.float64]:
    """Replace each value of a two-dimensional grid by the mean of the value and its neighbours in the grid."""
    around = sliding_window_view(np.pad(grid, 1, constant_values=np.nan), (3, 3))
    smoothed: NDArray[np.float64] = np.nanmean(around, axis=(2, 3))
    return smoothed
