"""`hybrid.json`: all that another process needs to rank words and fuse them with vectors as a run measured it."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from nestvec.errors import InputError
from nestvec.files import read_json, write_json
from nestvec.lexical.bm25 import UNTUNED, LexicalSettings
from nestvec.lexical.fusion import CANDIDATES, NORMALISATIONS, UNFITTED, Fusion
from nestvec.lexical.words import WordForms
from nestvec.point import BITS, VectorFormat
from nestvec.settings import LANGUAGES

if TYPE_CHECKING:
    from pathlib import Path

SCHEMA = 1
_FINE = 4  # bits of a number from which vectors rank nearly as whole ones
_EXPECTED = "what nestvec wrote there"


@dataclass(frozen=True)
class Hybrid:
    """The keyword leg and its fusion with vectors.

    Attributes:
        lexical: how words match.
        fusion: how the two scores become one, for the vectors that the run recommends.
        weights: fitted for other vectors: the words' weight by their format, such as `96.binary`.
        documents: how many documents BM25 counted when it was measured.
        mean_length: their mean number of words.
    """

    lexical: LexicalSettings = UNTUNED
    fusion: Fusion = UNFITTED
    documents: int = 0
    mean_length: float = 0.0
    weights: dict[str, float] = field(default_factory=dict)

    def fusion_of(self, stored: VectorFormat) -> Fusion:
        """How words and vectors of a format fuse: as fitted for it, or for the nearest that was fitted.

        Small codes tell less, so words weigh more beside them. Formats of 4 bits and more rank nearly as float32 does.
        """

        def distance(name: str) -> tuple[bool, float, str]:
            fitted = VectorFormat.parse(name)
            coarse = BITS[fitted.precision] < _FINE, BITS[stored.precision] < _FINE
            return coarse[0] != coarse[1], abs(fitted.dimension / stored.dimension - 1), name

        nearest = min(self.weights, key=distance, default=None)
        return self.fusion if nearest is None else replace(self.fusion, weight=self.weights[nearest])

    def to_json(self) -> dict[str, Any]:
        """As the file has it."""
        forms, fusion = self.lexical.forms, self.fusion
        return {
            "schema": SCHEMA,
            "tokenisation": {"language": forms.language, "stem": forms.stem, "stop_words": forms.stop_words},
            "k1": self.lexical.k1,
            "b": self.lexical.b,
            "correction": self.lexical.correct,
            "weight": fusion.weight,
            "normalisation": fusion.normalisation,
            "constant": fusion.constant,
            "candidates": CANDIDATES,
            "documents": self.documents,
            "mean_length": self.mean_length,
            "weights": self.weights,
        }


def write_hybrid(path: Path, hybrid: Hybrid) -> None:
    """Write the file, whole or not at all."""
    write_json(path, hybrid.to_json())


def read_hybrid(path: Path) -> Hybrid:
    """Read what `write_hybrid` wrote; raises InputError where the file is missing or damaged."""
    value = read_json(path)
    if not isinstance(value, dict):
        raise InputError("is no JSON object", _EXPECTED, file=path)
    if value.get("schema") != SCHEMA:
        raise InputError(f"has schema {value.get('schema')!r}", f"schema {SCHEMA}", file=path)
    words = _read(path, value, "tokenisation", dict)
    language = _read(path, words, "language", str)
    normalisation = _read(path, value, "normalisation", str)
    if language not in LANGUAGES:
        raise InputError(f"language is {language!r}", f"one of {', '.join(LANGUAGES)}", file=path)
    if normalisation not in NORMALISATIONS:
        raise InputError(f"normalisation is {normalisation!r}", f"one of {', '.join(NORMALISATIONS)}", file=path)
    forms = WordForms(language, _read(path, words, "stem", bool), _read(path, words, "stop_words", bool))
    lexical = LexicalSettings(
        forms,
        _read_number(path, value, "k1"),
        _read_number(path, value, "b", 1.0),
        _read(path, value, "correction", bool),
    )
    fusion = Fusion(_read_number(path, value, "weight", 1.0), normalisation, _read(path, value, "constant", int))
    counted = _read(path, value, "documents", int), _read_number(path, value, "mean_length")
    return Hybrid(lexical, fusion, *counted, _read_weights(path, value.get("weights", {})))


def _read_weights(path: Path, weights: object) -> dict[str, float]:
    """Weights by format."""
    if not isinstance(weights, dict):
        raise InputError(f"weights is {weights!r}", "an object of formats and weights", file=path)
    for name in weights:
        try:
            VectorFormat.parse(name)
        except ValueError as error:
            raise InputError(f"weights holds {name!r}", "formats such as 96.binary", file=path) from error
    return {name: _read_number(path, weights, name, 1.0) for name in weights}


def _read(path: Path, value: dict[str, Any], key: str, kind: type) -> Any:  # noqa: ANN401 - of the kind asked for
    found = value.get(key)
    if not isinstance(found, kind) or (kind is int and isinstance(found, bool)):
        raise InputError(f"{key} is {found!r}", f"a value of type {kind.__name__}", file=path)
    return found


def _read_number(path: Path, value: dict[str, Any], key: str, most: float = float("inf")) -> float:
    """A number from 0 to `most`."""
    found = value.get(key)
    if isinstance(found, bool) or not isinstance(found, int | float) or not 0 <= found <= most:
        raise InputError(f"{key} is {found!r}", f"a number from 0 to {most:g}", file=path)
    return float(found)
