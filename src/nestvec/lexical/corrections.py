"""Corrects the spelling of queries: a query word that no document contains is replaced by words that documents contain.

A misspelt word is replaced by a similar word, split into two words, or joined with the word beside it. symspellpy finds
similar words (symmetric deletes, Garbe 2012): words at most two edits away, an edit being a letter that is missing,
added or replaced, or two neighbouring letters that are swapped.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from functools import cache
from importlib import resources
from itertools import islice
from threading import Lock
from typing import TYPE_CHECKING, NamedTuple

from nestvec.errors import MissingExtraError
from nestvec.lexical.words import AS_THEY_STAND, ENGLISH, find_words, is_spelt, split_words

if TYPE_CHECKING:
    import re
    from collections.abc import Iterable, Mapping, Sequence

    from nestvec.lexical.words import WordForms

_EDITS = 2  # at most; three edits often give an unrelated word
_PREFIX = 5  # letters of a word that are indexed; symspellpy's default 7 takes four times the memory and half the time
_ENGLISH_WORDS = "frequency_dictionary_en_82_765.txt"  # each with its count in Google's n-grams
_GAPS = frozenset([" ", "-"])  # may stand between two words that are one word in the documents
_TOGETHER = 10_000  # documents whose words are in memory at the same time


@dataclass(frozen=True)
class CorrectionRules:
    """Rules of spelling correction: which query words are changed, and which replacements are allowed.

    Attributes:
        documents: a replacement must be in at least this many documents; a word in one document may be misspelt itself.
        letters: words with fewer letters are neither replaced nor split.
        letters_for_two_edits: from this many letters on, a replacement may be two edits away; for shorter words, one.
        part_letters: fewest letters of each half of a split word.
        common_per_million: in an English catalogue, a word that occurs at least this often in a million words of
            English text is taken as intended: it may be split, but not replaced.
    """

    documents: int = 2
    letters: int = 4
    letters_for_two_edits: int = 7
    part_letters: int = 3
    common_per_million: int = 1


RULES = CorrectionRules()


class _Better(NamedTuple):
    """A possible replacement and how many documents contain it; for two words, how many contain the rarer one."""

    text: str
    documents: int
    edits: int = 0


class Corrector:
    """Corrects the spelling of queries with the words of a catalogue; several threads may use the same corrector.

    A word is known if a document contains it or a word with the same stem. Known words are not changed, nor are
    numbers, words with a digit or an underscore, and words of scripts without spaces.

    Args:
        vocabulary: each word of the documents and the number of documents that contain it, see `count_words`.
        forms: how texts are split into words: language, stemming and stop words.
        rules: which query words are changed, and which replacements are allowed.

    Raises:
        MissingExtraError: symspellpy or PyStemmer is not installed.
    """

    def __init__(self, vocabulary: Mapping[str, int], forms: WordForms, rules: CorrectionRules = RULES) -> None:
        try:
            from symspellpy import SymSpell, Verbosity
        except ImportError as error:
            raise MissingExtraError("symspellpy", "evaluate") from error
        self.vocabulary, self.rules = dict(vocabulary), rules
        self._forms = replace(forms, stop_words=False)  # a stop word is no misspelt one
        english = forms.language == ENGLISH.language
        self._common = _read_common_words(rules.common_per_million) if english else frozenset()
        self._stems = set().union(*split_words(list(self.vocabulary), self._forms))
        self._speller, self._closest = SymSpell(_EDITS, _PREFIX), Verbosity.CLOSEST
        self._lock = Lock()  # symspellpy measures edits in one buffer
        for word, documents in self.vocabulary.items():
            if documents >= rules.documents and len(word) >= rules.part_letters:
                self._speller.create_dictionary_entry(word, documents)

    @classmethod
    def of(cls, documents: Iterable[str], forms: WordForms, rules: CorrectionRules = RULES) -> Corrector:
        """Make a corrector that knows the words of the given documents.

        Raises MissingExtraError if symspellpy or PyStemmer is not installed.
        """
        return cls(count_words(documents), forms, rules)

    def correct(self, queries: Sequence[str]) -> list[str]:
        """Correct the words of each query that no document contains.

        Args:
            queries: the queries' texts.

        Returns:
            The corrected texts. Replacements are in lower case; all other characters stay as they were typed.
        """
        found = [find_words(query) for query in queries]
        unknown = self._find_unknown({word[0].lower() for words in found for word in words})
        return [self._correct_query(*pair, unknown) for pair in zip(queries, found, strict=True)]

    def _find_unknown(self, words: Iterable[str]) -> set[str]:
        """Find the words to correct: words of letters only that no document contains, not even with the same stem."""
        new = sorted(word for word in words if word not in self.vocabulary and is_spelt(word))
        stems = split_words(new, self._forms)
        return {word for word, forms in zip(new, stems, strict=True) if self._stems.isdisjoint(forms)}

    def _correct_query(self, query: str, words: Sequence[re.Match[str]], unknown: set[str]) -> str:
        """Correct one query; `words` are its words with their positions, `unknown` the words to correct."""
        pieces, done, place = list[str](), 0, 0
        while place < len(words):
            word, following = words[place], words[place + 1 : place + 2]
            better = self._join(query, word, following, unknown)
            last = following[0] if better else word
            if better is None and (text := word[0].lower()) in unknown:
                better = self._replace(text)
            if better is not None:
                pieces += [query[done : word.start()], better]
                done = last.end()
            place += 1 if last is word else 2
        return "".join([*pieces, query[done:]])

    def _join(
        self, query: str, word: re.Match[str], following: Sequence[re.Match[str]], unknown: set[str]
    ) -> str | None:
        """Join two neighbouring words if one is unknown and enough documents contain the joined word; else None."""
        if not following or query[word.end() : following[0].start()] not in _GAPS:
            return None
        first, second = word[0].lower(), following[0][0].lower()
        joined = first + second
        held = self.vocabulary.get(joined, 0) >= self.rules.documents and len(joined) >= self.rules.letters
        return joined if held and not unknown.isdisjoint((first, second)) else None

    def _replace(self, word: str) -> str | None:
        """Replace an unknown word by a similarly spelt word, or split it in two; None if neither is possible.

        Two words win if at least as many documents contain each of them, or if the similar word is two edits away.
        """
        if len(word) < self.rules.letters:
            return None
        near, parts = self._find_near(word), self._split(word)
        if near is None or (parts is not None and (near.edits > 1 or parts.documents >= near.documents)):
            return parts and parts.text
        return near.text

    def _find_near(self, word: str) -> _Better | None:
        """Find the replacement with the fewest edits, of several the one in most documents.

        Gives None if no word is near enough, or if the word is common English and so taken as intended.
        """
        if word in self._common:
            return None
        edits = 1 if len(word) < self.rules.letters_for_two_edits else _EDITS
        with self._lock:
            near = self._speller.lookup(word, self._closest, edits)
        found = [_Better(each.term, each.count, each.distance) for each in near]
        return min(found, key=lambda better: (better.edits, -better.documents, better.text), default=None)

    def _split(self, word: str) -> _Better | None:
        """Split a word into two words of the documents; of several splits, take the one whose rarer word is commonest.

        Gives None if no split gives two words that enough documents contain.
        """
        shortest = self.rules.part_letters
        cuts = [(word[:cut], word[cut:]) for cut in range(shortest, len(word) - shortest + 1)]
        ways = [_Better(" ".join(parts), min(self.vocabulary.get(part, 0) for part in parts)) for parts in cuts]
        best = max(ways, key=lambda better: better.documents, default=None)
        return best if best and best.documents >= self.rules.documents else None


@cache
def _read_common_words(per_million: int) -> frozenset[str]:
    """Read from symspellpy's word list which English words occur at least `per_million` times per million words."""
    from symspellpy import SymSpell

    listed = resources.files("symspellpy").joinpath(_ENGLISH_WORDS).read_text("utf-8-sig").split()
    least = per_million * SymSpell.N / 1e6
    return frozenset(word for word, count in zip(listed[::2], listed[1::2], strict=True) if int(count) >= least)


def count_words(documents: Iterable[str]) -> dict[str, int]:
    """Count how many documents contain each word; words are in lower case and not stemmed.

    Args:
        documents: the documents' texts.

    Returns:
        For each word that consists of letters only, the number of documents that contain it, in alphabetical order.

    Raises:
        MissingExtraError: PyStemmer is not installed.
    """
    left, held = iter(documents), Counter[str]()
    while part := list(islice(left, _TOGETHER)):
        held.update(word for words in split_words(part, AS_THEY_STAND) for word in set(words))
    return {word: held[word] for word in sorted(held) if is_spelt(word)}
