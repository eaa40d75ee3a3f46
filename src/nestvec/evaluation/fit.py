"""What is fitted before anything is measured: BM25's settings, and how its scores fuse with those of vectors.

All of it is fitted on training queries, which no reported figure is about, so neither validation nor test can leak into
a setting. Vectors are the pretrained model's: it has seen no training query, so its cosines are as good on these as on
any other. A trained model's would be too good on what it was trained on, and take weight from the words; that what is
fitted for the pretrained model serves its fine-tuned ones as well was measured (docs/decisions.md).
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

MOST_QUERIES = 1500  # beyond, more training queries change no choice
FEWEST_QUERIES = 20  # below, they decide nothing: everything stays as it is untuned
K1 = (0.1, 0.2, 0.3, 0.5, 0.9, 1.2, 1.5, 2.0)
B = (0.0, 0.2, 0.4, 0.6, 0.75, 0.9)
WEIGHTS = tuple(round(0.05 * step, 2) for step in range(2, 19))
FITTED = (FULL, "binary")  # precisions whose weights are fitted; the others take the nearest one's
CONSTANTS = (2, 5, 20, 60)
_CLEAR = 1.64  # standard errors by which another form of words, or correcting them, must be better


@dataclass(frozen=True)
class FitQueries:
    """Training queries, asked of the catalogue.

    Attributes:
        texts: q texts.
        judgements: theirs.
        catalogue: what is searched; its `own` is these queries'.
        metric: what is to be as high as it can be.
    """

    texts: Sequence[str]
    judgements: Judgements
    catalogue: Catalogue
    metric: str

    def measure(self, rows: NDArray[np.int64]) -> NDArray[np.float64]:
        """(q,) values of the metric for (q, k) documents, best first, as rows of the catalogue."""
        cutoff = cutoff_of(self.metric)
        looked_at = rows if self.metric.startswith(CONDENSED) else rows[:, :cutoff]
        measured = self.judgements.measure(np.arange(len(self.texts)), looked_at, (cutoff,))
        values: NDArray[np.float64] = measured[self.metric]
        return values


def fit_words(queries: FitQueries, language: str) -> tuple[Bm25, LexicalSettings, dict[str, float]]:
    """Choose k1 and b, whether stop words and stems count, and whether unknown query words are corrected.

    The grid is smoothed over its neighbours before its best place is taken: single places differ by chance.

    Args:
        queries: of the training split.
        language: of the catalogue.

    Returns:
        The tuned leg, its settings, and what was tried.
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
    """Choose the normalisation for all vectors, and the words' weight for each width of them.

    The formats of a width that are cut in the same way share their weight, which is the steadier for it. Of the weights
    that cannot be told from the best one, the most even is taken: few queries decide little, and trained vectors, which
    are better than those it is fitted with, want less of the words.

    Args:
        queries: of the training split.
        words: the keyword leg.
        coded: the pretrained model's documents in some formats, the whole one first, with vectors of these queries.

    Returns:
        The fusion of the whole vectors, the weight by format, and what was tried.
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
    """What a vector keeps, whatever its precision: how many numbers, and whether on principal axes."""
    return stored.dimension, stored.axes


def _other_forms(forms: WordForms) -> list[tuple[str, WordForms]]:
    """Other ways to take words, with what they are called."""
    others = [("without stems", replace(forms, stem=False))]
    if list_stop_words(forms.language):
        others.append(("without stop words", replace(forms, stop_words=True)))
    return others


def _values(queries: FitQueries, words: Bm25, asked: Any) -> NDArray[np.float64]:  # noqa: ANN401 - SciPy has no types
    """(q,) values that a keyword leg reaches; `asked` are the queries' words, counted."""
    return queries.measure(queries.catalogue.order[ask_counted(words, asked, queries.catalogue).found.rows])


def _keep_if_clear(queries: FitQueries, best: Bm25, candidate: Bm25) -> tuple[Bm25, float]:
    """The candidate if it is clearly better than the best keyword leg so far, else that one; and what it reached."""
    before, after = (_values(queries, words, words.count_queries(queries.texts)) for words in (best, candidate))
    return candidate if _is_clear(after - before) else best, float(after.mean())


def _is_clear(gain: NDArray[np.float64]) -> bool:
    """Whether a mean gain per query lies clearly above 0."""
    return bool(gain.mean() > _CLEAR * gain.std() / np.sqrt(len(gain)))


def _most_even_of_the_best(values: NDArray[np.float64]) -> int:
    """The place in `WEIGHTS` nearest to 0.5 of those that come within a standard error of the best, of (w, q) values.

    The error is that of the difference by query (the rule of one standard error, Breiman et al. 1984).
    """
    best = int(_smooth(values.mean(axis=1)[:, None]).argmax())
    lost = values[best] - values
    near = np.flatnonzero(lost.mean(axis=1) <= lost.std(axis=1) / np.sqrt(values.shape[1]))
    return int(min(near, key=lambda place: abs(WEIGHTS[place] - 0.5)))


def _smooth(grid: NDArray[np.float64]) -> NDArray[np.float64]:
    """Each place of a grid as the mean of itself and its neighbours, those beyond the edge left out."""
    around = sliding_window_view(np.pad(grid, 1, constant_values=np.nan), (3, 3))
    smoothed: NDArray[np.float64] = np.nanmean(around, axis=(2, 3))
    return smoothed
