"""The run's fitted settings for other search engines' files: BM25, fusion, and the format of the vectors."""

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

# languages with a Snowball stemmer in Lucene, and languages for which Lucene has a different stemmer
_SNOWBALL = frozenset({
    "arabic", "armenian", "basque", "catalan", "danish", "dutch", "english", "estonian", "finnish", "french", "german",
    "hungarian", "irish", "italian", "lithuanian", "norwegian", "portuguese", "romanian", "russian", "serbian",
    "spanish", "swedish", "turkish",
})  # fmt: skip
_OTHER_STEMMERS = frozenset(["czech", "greek", "hindi", "indonesian"])


@dataclass(frozen=True)
class RecipeNumbers:
    """The settings of a run that are written into files for another search engine (a recipe).

    Attributes:
        lexical: how texts are split into words, and BM25's fitted k1 and b.
        fusion: how keyword and vector scores are combined.
        mean_length: mean number of words in the run's documents.
        format: dimension and precision of the vectors.
        codec: the codec for this format.
    """

    lexical: LexicalSettings
    fusion: Fusion
    mean_length: float
    format: VectorFormat
    codec: Codec

    @classmethod
    def of(cls, hybrid: Hybrid, chosen: Selection) -> RecipeNumbers:
        """Collect BM25's settings and the fusion weights from `hybrid.json`, and the vector format from the export."""
        return cls(hybrid.lexical, hybrid.fusion, hybrid.mean_length, chosen.format, chosen.codec)

    @property
    def candidates(self) -> int:
        """How many of the best documents keyword search and vector search each contribute to a fused search."""
        return CANDIDATES

    @property
    def stop_words(self) -> list[str]:
        """The stop words that keyword search ignores; [] if it keeps all words."""
        return list_stop_words(self.lexical.forms.language) if self.lexical.forms.stop_words else []


def lucene_similarity(numbers: RecipeNumbers) -> dict[str, Any]:
    """Make an Elasticsearch or OpenSearch similarity named `nestvec`: BM25 with the run's fitted k1 and b."""
    return {"nestvec": {"type": "BM25", "k1": numbers.lexical.k1, "b": numbers.lexical.b}}


def lucene_mappings(vector: dict[str, Any]) -> dict[str, Any]:
    """Make the field mappings of an Elasticsearch or OpenSearch index: an id, a text, and the given vector field."""
    return {
        "dynamic": False,
        "properties": {
            "id": {"type": "keyword"},
            "text": {"type": "text", "analyzer": "nestvec", "similarity": "nestvec"},
            "embedding": vector,
        },
    }


def lucene_analysis(numbers: RecipeNumbers) -> dict[str, Any]:
    """Make an Elasticsearch or OpenSearch analyzer that splits and stems texts like nestvec, as far as Lucene can."""
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
    """Whether nestvec stems the run's language, but Lucene has no Snowball stemmer for this language."""
    forms = numbers.lexical.forms
    return forms.stem and forms.language not in UNSTEMMED and forms.language not in _SNOWBALL


def to_json(value: object) -> str:
    """Format a value as indented JSON with a newline at the end."""
    return json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n"
