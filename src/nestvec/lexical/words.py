"""Splits texts into words for BM25: in any script, and stemmed in the language of the catalogue.

Text in scripts that put no space between words (Chinese, Japanese, Thai …) is split into overlapping pairs of
characters, as Lucene's CJKAnalyzer does; a single such character is a word. Latin words in such texts stay whole.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from functools import cache
from itertools import islice, pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from nestvec.errors import MissingExtraError
from nestvec.settings import LANGUAGES

if TYPE_CHECKING:
    from collections.abc import Sequence

CJK = "cjk"  # the language of scripts that put no space between words
UNSTEMMED = (CJK, "none")  # values of a language that name no stemmer
_USUAL = "english"  # used if the language cannot be detected
_SURE = 0.9  # least probability of a detected language
_NO_WORDS = "zxx"  # py3langid's code for texts in no language
_SAMPLE = 200  # texts from which the language is detected
_UNSPACED = (  # Thai to Burmese, Khmer, kana, Han and their supplements
    "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3005-\u3007\u3040-\u30ff\u31f0-\u31ff\u3400-\u4dbf\u4e00-\u9fff"
    "\uf900-\ufaff\uff66-\uff9f\U00020000-\U0003ffff"
)
_UNSPACED_RUN = re.compile(f"[{_UNSPACED}]+")
_LETTER = re.compile(r"[^\W\d_]")


@dataclass(frozen=True)
class WordForms:
    """How texts are split into words: the language, and whether words are stemmed and stop words left out.

    Attributes:
        language: a key of `settings.LANGUAGES`; words are not stemmed if it is `cjk` or `none`.
        stem: whether words are reduced to their stems, so that `drills` becomes `drill`.
        stop_words: whether frequent words such as `the` and `of` are left out, if the language has a list of them.
    """

    language: str = "english"
    stem: bool = True
    stop_words: bool = False


ENGLISH = WordForms()
AS_THEY_STAND = WordForms("none", stem=False)


def split_words(texts: Sequence[str], forms: WordForms) -> list[list[str]]:
    """Split texts into lower-case words; `forms` decides whether they are stemmed and whether stop words are left out.

    Args:
        texts: the texts.
        forms: language, stemming and stop words.

    Returns:
        A list of words for each text.

    Raises:
        MissingExtraError: PyStemmer is not installed.
    """
    find = _compile_word().findall  # one letter or digit is a word: sizes such as "2 in" tell products apart
    left_out = frozenset(list_stop_words(forms.language)) if forms.stop_words else frozenset()
    spaced = (_UNSPACED_RUN.sub(_pair_characters, text).lower() for text in texts)
    words = [[word for word in find(text) if word not in left_out] for text in spaced]
    if not forms.stem or forms.language in UNSTEMMED:
        return words
    stems = _stem_words({word for text in words for word in text}, forms.language)
    return [[stems[word] for word in text] for text in words]


def _stem_words(words: set[str], language: str) -> dict[str, str]:
    """Return each word's stem, as PyStemmer finds it; raises MissingExtraError if PyStemmer is not installed."""
    try:
        import Stemmer
    except ImportError as error:
        raise MissingExtraError("PyStemmer", "evaluate") from error
    distinct, stemmer = list(words), Stemmer.Stemmer(language)  # a stemmer is not for several threads
    return dict(zip(distinct, stemmer.stemWords(distinct), strict=True))


def find_words(text: str) -> list[re.Match[str]]:
    """Find the words of a text and their positions, as spelt in the text.

    Text without spaces between words, such as Chinese, is found as one word; it is not split into characters.
    """
    return list(_compile_word().finditer(text))


def find_typed_words(text: str, most: int | None = None) -> list[re.Match[str]]:
    """Find the words of a text, and their positions, as a person would type them: `1/2-in` is one word.

    Punctuation at a word's ends is left out. Scripts that put no space between words, such as Chinese, are split into
    pieces of two characters.

    Args:
        text: the text.
        most: how many words to find at most; None finds all.

    Returns:
        The words in the order of the text.
    """
    return list(islice(_compile_typed_word().finditer(text), most))


def is_spelt(word: str) -> bool:
    """Whether a word consists of letters only, in a script that puts spaces between words."""
    return not _UNSPACED_RUN.search(word) and not any(letter.isnumeric() or letter == "_" for letter in word)


def list_stop_words(language: str) -> list[str]:
    """List a language's stop words, as the library bm25s has them; empty if bm25s has none for the language.

    Args:
        language: a key of `settings.LANGUAGES`.

    Returns:
        The stop words in lower case.
    """
    import bm25s.stopwords

    name = "EN" if language == "english" else language.upper()
    return list(getattr(bm25s.stopwords, f"STOPWORDS_{name}", ()))


def detect_language(texts: Sequence[str]) -> str:
    """Detect the language of a catalogue from a sample of its texts.

    The result is `cjk` if most letters belong to scripts without spaces between words. Otherwise py3langid (Lui &
    Baldwin 2012) detects the language; the result is `english` if it is not sure, and `none` if the language has no
    stemmer.

    Args:
        texts: the texts of the catalogue.

    Returns:
        The language, a key of `settings.LANGUAGES`.

    Raises:
        MissingExtraError: py3langid is not installed.
    """
    rows = np.unique(np.linspace(0, max(0, len(texts) - 1), _SAMPLE).astype(int))
    sample = " ".join(texts[row][:500] for row in rows) if texts else ""
    unspaced = sum(map(len, _UNSPACED_RUN.findall(sample)))
    if 2 * unspaced > len(_LETTER.findall(sample)):
        return CJK
    code, probability = _load_identifier().classify(sample)
    if probability < _SURE or code == _NO_WORDS:
        return _USUAL
    return next((name for name, known in LANGUAGES.items() if code in known), "none")


@cache
def _load_identifier() -> Any:  # noqa: ANN401 - the library has no types
    try:
        from py3langid.langid import MODEL_FILE, LanguageIdentifier
    except ImportError as error:
        raise MissingExtraError("py3langid", "evaluate") from error
    return LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)


def _pair_characters(run: re.Match[str]) -> str:
    """Split characters into overlapping pairs with spaces between them: `abc` becomes `ab bc`; a single one stays."""
    characters = re.findall(rf".[{_combining_marks()}]*", run[0])
    pairs = [first + second for first, second in pairwise(characters)] or characters
    return " " + " ".join(pairs) + " "


@cache
def _compile_word() -> re.Pattern[str]:
    r"""Compile the pattern of a word: letters, digits, underscores and combining marks.

    The marks are needed because `\w` alone splits Hindi words at vowel signs.
    """
    return re.compile(rf"\b\w[\w{_combining_marks()}]*")


@cache
def _compile_typed_word() -> re.Pattern[str]:
    """Compile the pattern of a typed word: characters without a space, from the first letter or digit to the last.

    In scripts that put no space between words, such as Chinese, the pattern matches one or two characters.
    """
    marks, spaced = _combining_marks(), f"(?![{_UNSPACED}])"
    return re.compile(rf"(?:[{_UNSPACED}][{marks}]*){{1,2}}|{spaced}\w(?:(?:{spaced}\S)*{spaced}[\w{marks}])?")


@cache
def _combining_marks() -> str:
    """List all combining marks, such as accents and vowel signs, as character ranges for a regular expression."""
    codes = {code for code in range(0x300, 0x10000) if unicodedata.category(chr(code)).startswith("M")}
    starts = [code for code in sorted(codes) if code - 1 not in codes]
    ends = [code for code in sorted(codes) if code + 1 not in codes]
    return "".join(f"{chr(start)}-{chr(end)}" for start, end in zip(starts, ends, strict=True))
