"""Makes training rows without judgements, for `adapted`: each document with a pseudo-query of the document's own words.

Source of the idea to make pairs without labels by cropping texts: Izacard et al. 2022 (Contriever), section 3.1. They
crop spans. Shoppers type the words that distinguish a product, so here single words are drawn, rare words more often,
in the order of the document. Some words get a typo, as real queries do.
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

MOST_WORDS = 6  # most words of a pseudo-query
TYPOS = 0.15  # share of pseudo-queries with a typo
WINDOW = 32  # number of successive words from which a pseudo-query is drawn
READ = 160  # number of words of a document that are used: about as many as most models read
_AT_START = 0.5  # share of windows at the start of long documents, where titles are
_LEAST_LETTERS = 4  # shorter words get no typo
_STREAM = 0xC409  # makes these draws independent of other draws with the same seed


@dataclass(frozen=True)
class WordWeights:
    """Inverse document frequencies, as the weights with which words are drawn from a document.

    Attributes:
        documents: number of documents that were counted.
        frequency: number of documents that hold each word, in lower case.
    """

    documents: int
    frequency: Mapping[str, int]

    @classmethod
    def of(cls, documents: Sequence[str]) -> WordWeights:
        """Count how many documents hold each word; only the first `READ` words of a document are read."""
        counts = Counter(
            word for text in documents for word in {found[0].casefold() for found in find_typed_words(text, READ)}
        )
        return cls(len(documents), counts)

    def weigh(self, word: str) -> float:
        """Compute a word's weight, log(1 + documents / documents with the word), which is always above 0."""
        return log(1 + self.documents / self.frequency[word.casefold()])


def crop_rows(data: TrainingData, seed: int) -> Examples:
    """Make a training row for each distinct document: the document and a pseudo-query drawn from the document's words.

    Documents of validation and test queries are left out unless `data.every_document` is set. The numbers of the
    pseudo-queries follow those of the real queries; equal pseudo-queries have the same number. A document without words
    gets no row.
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
    """Make a pseudo-query for each of n documents, by drawing words of the document.

    Args:
        documents: n texts.
        seed: seed of all draws.

    Returns:
        n pseudo-queries of 1 to `MOST_WORDS` words, in the order of the document; empty for a document without words.
    """
    rng, weights = np.random.default_rng([seed, _STREAM]), WordWeights.of(documents)
    return [_crop_query(find_typed_words(text, READ), weights, rng) for text in documents]


def _crop_query(words: Sequence[re.Match[str]], weights: WordWeights, rng: np.random.Generator) -> str:
    """Make a pseudo-query, sometimes with a typo, by drawing words of a document; empty if there are no words."""
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
    """Return all words of a short document, or `WINDOW` successive words of a longer one, often the first."""
    spare = len(words) - WINDOW
    if spare <= 0 or rng.random() < _AT_START:
        return words[:WINDOW]
    start = int(rng.integers(spare + 1))
    return words[start : start + WINDOW]


def draw_words(
    words: Sequence[re.Match[str]], weights: WordWeights, rng: np.random.Generator
) -> Sequence[re.Match[str]]:
    """Draw 1 to `MOST_WORDS` different words, rare words more often, and return them in the order of the document.

    Source: Efraimidis & Spirakis 2006: draw an exponential time for each word, divide it by the weight, and take the
    words with the smallest results.
    """
    first = {word[0].casefold(): word for word in reversed(words)}  # a word that occurs twice: its first place
    distinct = sorted(first.values(), key=lambda word: word.start())
    count = int(rng.integers(min(MOST_WORDS, len(distinct)))) + 1
    times = rng.exponential(size=len(distinct)) / [weights.weigh(word[0]) for word in distinct]
    return [distinct[place] for place in np.sort(np.argsort(times)[:count]).tolist()]


def misspell(word: str, rng: np.random.Generator) -> str:
    """Make a typo in a word: drop, double or replace a letter, or swap two neighbouring letters."""
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
