"""What `adapted` learns from: every document with a pseudo-query, a few of its own words; nobody has judged anything.

Cropping a text for pairs that need no labels: Izacard et al. 2022 (Contriever), section 3.1. Their crops are spans; a
shopper types the words that tell a product apart, so words are drawn here one by one, rare ones likelier, and keep the
order in which the document has them. Some are misspelt, as what shoppers type is.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from itertools import pairwise
from math import log
from typing import TYPE_CHECKING

import numpy as np

from nestvec.evaluation.metrics import Judgements
from nestvec.lexical.words import find_typed_words
from nestvec.training.examples import Examples

if TYPE_CHECKING:
    import re
    from collections.abc import Mapping, Sequence

    from nestvec.training.examples import TrainingData

MOST_WORDS = 6  # of a pseudo-query
TYPOS = 0.15  # share of pseudo-queries with a typo
WINDOW = 32  # words of a document that a pseudo-query is drawn from
READ = 160  # words of a document that are looked at: about what most models read
_AT_START = 0.5  # share of the windows of long documents that begin where the document does: titles stand there
_LEAST_LETTERS = 4  # of a word that gets a typo
_STREAM = 0xC409  # keeps these draws apart from others of the same seed


@dataclass(frozen=True)
class WordWeights:
    """How likely each word is drawn, beside the others of its document: its inverse document frequency.

    Attributes:
        documents: how many documents were counted.
        frequency: in how many of them each word is, in lower case.
    """

    documents: int
    frequency: Mapping[str, int]

    @classmethod
    def of(cls, documents: Sequence[str]) -> WordWeights:
        """Count the first `READ` words of each document."""
        counts = Counter(
            word for text in documents for word in {found[0].casefold() for found in find_typed_words(text, READ)}
        )
        return cls(len(documents), counts)

    def weigh(self, word: str) -> float:
        """log(1 + documents / those that hold the word): above 0, also for a word that all of them hold."""
        return log(1 + self.documents / self.frequency[word.casefold()])


def crop_rows(data: TrainingData, seed: int) -> Examples:
    """A row per distinct document: a pseudo-query and the document it was cropped from.

    Documents of validation and test queries are left out unless the data says `every_document`. Pseudo-queries are
    queries beyond those of the texts, the same one once. A document without any word has no row.
    """
    texts, held_out = data.texts, data.task.held_out_documents
    chosen = np.unique(texts.number if data.every_document else texts.number[~held_out])
    numbers: dict[str, int] = {}
    query, members = [], []
    crops = crop_queries([texts.documents[row] for row in chosen.tolist()], seed)
    for document, crop in zip(chosen.tolist(), crops, strict=True):
        if crop:
            query.append(len(texts.queries) + numbers.setdefault(crop, len(numbers)))
            members.append([document])
    nothing = np.empty(0, dtype=np.int64)
    shape = len(texts.queries) + len(numbers), len(texts.documents)
    judgements = Judgements(nothing, nothing, nothing, shape, relevant_from=1)
    return Examples(np.array(query, dtype=np.int64), members, judgements, highest=1, pseudo_queries=list(numbers))


def crop_queries(documents: Sequence[str], seed: int) -> list[str]:
    """Crop a pseudo-query from each of n documents.

    Args:
        documents: n texts.
        seed: decides every draw.

    Returns:
        n texts of 1 to `MOST_WORDS` words of their document, in its order; empty where it has no word.
    """
    rng, weights = np.random.default_rng([seed, _STREAM]), WordWeights.of(documents)
    return [_crop_query(find_typed_words(text, READ), weights, rng) for text in documents]


def _crop_query(words: Sequence[re.Match[str]], weights: WordWeights, rng: np.random.Generator) -> str:
    """Crop a pseudo-query from a document's words."""
    if not words:
        return ""
    chosen = draw_words(draw_window(words, rng), weights, rng)
    typed = [word[0] for word in chosen]
    long_words = [place for place, word in enumerate(typed) if sum(map(str.isalpha, word)) >= _LEAST_LETTERS]
    if rng.random() < TYPOS and long_words:
        place = int(rng.choice(long_words))
        typed[place] = misspell(typed[place], rng)
    gaps = [" " if before.end() < after.start() else "" for before, after in pairwise(chosen)]
    return "".join(part for pair in zip(typed, [*gaps, ""], strict=True) for part in pair)


def draw_window(words: Sequence[re.Match[str]], rng: np.random.Generator) -> Sequence[re.Match[str]]:
    """All words of a short document; of a longer one `WINDOW` in a row, every other time the first ones."""
    spare = len(words) - WINDOW
    if spare <= 0 or rng.random() < _AT_START:
        return words[:WINDOW]
    start = int(rng.integers(spare + 1))
    return words[start : start + WINDOW]


def draw_words(
    words: Sequence[re.Match[str]], weights: WordWeights, rng: np.random.Generator
) -> Sequence[re.Match[str]]:
    """Draw 1 to `MOST_WORDS` different words, each as likely as its weight says, in the order of the document.

    Source: Efraimidis & Spirakis 2006: the smallest of exponential times over weights are such a draw.
    """
    first = {word[0].casefold(): word for word in reversed(words)}  # where a word comes twice, its first place
    distinct = sorted(first.values(), key=lambda word: word.start())
    count = int(rng.integers(min(MOST_WORDS, len(distinct)))) + 1
    times = rng.exponential(size=len(distinct)) / [weights.weigh(word[0]) for word in distinct]
    return [distinct[place] for place in np.sort(np.argsort(times)[:count]).tolist()]


def misspell(word: str, rng: np.random.Generator) -> str:
    """A word of several letters with one letter dropped, swapped with the next, replaced or doubled."""
    place = int(rng.choice([place for place, sign in enumerate(word) if sign.isalpha()]))
    before, letter, after = word[:place], word[place], word[place + 1 :]
    kind = rng.integers(4)
    if kind == 0:
        return before + after
    if kind == 1 and after[:1].isalpha() and after[0] != letter:
        return before + after[0] + letter + after[1:]
    others = sorted({sign for sign in word if sign.isalpha()} - {letter})  # of the same script
    if kind == 2 and others:
        return before + str(rng.choice(others)) + after
    return before + 2 * letter + after
