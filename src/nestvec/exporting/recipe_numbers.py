"""The numbers that a recipe fills in: how words match, how both scores become one, and the form of the vectors."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from nestvec.lexical.fusion import CANDIDATES
from nestvec.lexical.words import CJK, UNSTEMMED, list_stop_words

if TYPE_CHECKING:
    from nestvec.lexical.bm25 import LexicalSettings
    from nestvec.lexical.fusion import Fusion
    from nestvec.lexical.hybrid_file import Hybrid
    from nestvec.point import VectorFormat
    from nestvec.runs.point_files import Selection
    from nestvec.vectors.codecs import Codec

# Lucene's Snowball stemmers, and languages for which Lucene has another stemmer than the one that was measured
_SNOWBALL = frozenset({
    "arabic", "armenian", "basque", "catalan", "danish", "dutch", "english", "estonian", "finnish", "french", "german",
    "hungarian", "irish", "italian", "lithuanian", "norwegian", "portuguese", "romanian", "russian", "serbian",
    "spanish", "swedish", "turkish",
})  # fmt: skip
_OTHER_STEMMERS = frozenset(["czech", "greek", "hindi", "indonesian"])


@dataclass(frozen=True)
class RecipeNumbers:
    """What a recipe fills in.

    Attributes:
        lexical: how words match.
        fusion: how the two scores become one.
        mean_length: mean number of words of the documents that were measured.
        format: dimension and precision of the vectors.
        codec: of that format.
    """

    lexical: LexicalSettings
    fusion: Fusion
    mean_length: float
    format: VectorFormat
    codec: Codec

    @classmethod
    def of(cls, hybrid: Hybrid, chosen: Selection) -> RecipeNumbers:
        """Take the numbers from `hybrid.json`, settled for the point that is exported, and from that point."""
        return cls(hybrid.lexical, hybrid.fusion, hybrid.mean_length, chosen.format, chosen.codec)

    @property
    def candidates(self) -> int:
        """How many documents of each leg take part."""
        return CANDIDATES

    @property
    def stop_words(self) -> list[str]:
        """The words that are left out."""
        return list_stop_words(self.lexical.forms.language) if self.lexical.forms.stop_words else []


def lucene_similarity(numbers: RecipeNumbers) -> dict[str, Any]:
    """The settings of a similarity named `nestvec`: BM25 with the fitted k1 and b."""
    return {"nestvec": {"type": "BM25", "k1": numbers.lexical.k1, "b": numbers.lexical.b}}


def lucene_mappings(vector: dict[str, Any]) -> dict[str, Any]:
    """The mappings of an index with an id, a text that is analysed and scored as `nestvec`, and a vector field."""
    return {
        "dynamic": False,
        "properties": {
            "id": {"type": "keyword"},
            "text": {"type": "text", "analyzer": "nestvec", "similarity": "nestvec"},
            "embedding": vector,
        },
    }


def lucene_analysis(numbers: RecipeNumbers) -> dict[str, Any]:
    """The settings of an analyzer named `nestvec` that splits and stems as was measured, as near as Lucene comes."""
    forms = numbers.lexical.forms
    filters: dict[str, Any] = {}
    if numbers.stop_words:
        filters["nestvec_stop"] = {"type": "stop", "stopwords": numbers.stop_words}
    if forms.stem and forms.language not in UNSTEMMED:
        if forms.language in _SNOWBALL:
            filters["nestvec_stem"] = {"type": "snowball", "language": forms.language.capitalize()}
        elif forms.language in _OTHER_STEMMERS:
            filters["nestvec_stem"] = {"type": "stemmer", "language": forms.language}
    cjk = forms.language == CJK
    tokenizer = {"type": "pattern", "pattern": r"\W+", "flags": "UNICODE_CHARACTER_CLASS"}
    chain = ["cjk_width", "lowercase", "cjk_bigram"] if cjk else ["lowercase"]
    analyzer = {
        "type": "custom",
        "tokenizer": "standard" if cjk else "nestvec_words",
        "filter": [*chain, *filters],
    }
    return {
        **({} if cjk else {"tokenizer": {"nestvec_words": tokenizer}}),
        **({"filter": filters} if filters else {}),
        "analyzer": {"nestvec": analyzer},
    }


def stems_differ(numbers: RecipeNumbers) -> bool:
    """Whether Lucene has no stemmer, or another one, for the language."""
    forms = numbers.lexical.forms
    return forms.stem and forms.language not in UNSTEMMED and forms.language not in _SNOWBALL


def to_json(value: object) -> str:
    """A value as the text of a JSON file, indented, with a line end."""
    return json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n"
