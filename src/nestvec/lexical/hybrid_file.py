"""Reads and writes `hybrid.json`: the settings that a run used for keyword search and to fuse it with vector search."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, fields, replace
from math import inf, isinf
from typing import TYPE_CHECKING, Any

from nestvec.errors import InputError
from nestvec.files import read_object, write_json
from nestvec.lexical.bm25 import UNTUNED, LexicalSettings
from nestvec.lexical.corrections import RULES, CorrectionRules
from nestvec.lexical.fusion import CANDIDATES, NORMALISATIONS, UNFITTED, Fusion
from nestvec.lexical.words import WordForms
from nestvec.point import BITS, VectorFormat
from nestvec.settings import LANGUAGES

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

SCHEMA = 1
_LARGEST = 1e9  # upper bound of numbers without a bound of their own; it also refuses infinity
_FINE = 4  # with this many bits per number or more, vectors rank nearly as full-precision ones
_KINDS = {str: "a text", int: "a whole number", bool: "true or false", dict: "an object"}


@dataclass(frozen=True)
class Hybrid:
    """The settings of keyword search, and of the fusion of keyword and vector scores.

    Attributes:
        lexical: the settings of keyword search (BM25).
        fusion: how keyword and vector scores are combined, for the vector format that the run recommends or exports.
        weights: weight of the BM25 score for each fitted vector format, by its name, such as `96.binary`.
        documents: number of documents that were in the BM25 index when the run measured it.
        mean_length: mean number of words of these documents.
    """

    lexical: LexicalSettings = UNTUNED
    fusion: Fusion = UNFITTED
    documents: int = 0
    mean_length: float = 0.0
    weights: dict[str, float] = field(default_factory=dict)

    @property
    def is_fitted(self) -> bool:
        """Whether the run fitted the fusion on training queries; with too few of them it keeps the default fusion."""
        return bool(self.weights) or self.fusion != UNFITTED

    def fusion_of(self, stored: VectorFormat) -> Fusion:
        """Return the fusion for a vector format: the fusion fitted for it, or else for the most similar fitted format.

        Vectors of 1 or 2 bits per number rank less well, so BM25 gets more weight beside them. Vectors of 4 bits or
        more per number rank nearly as float32 does, so a difference in precision among these formats is ignored.
        """

        def distance(name: str) -> tuple[bool, float, bool, str]:
            fitted = VectorFormat.parse(name)
            coarse = BITS[fitted.precision] < _FINE, BITS[stored.precision] < _FINE
            apart = abs(fitted.dimension / stored.dimension - 1)
            return coarse[0] != coarse[1], apart, fitted.axes != stored.axes, name

        nearest = min(self.weights, key=distance, default=None)
        return self.fusion if nearest is None else replace(self.fusion, weight=self.weights[nearest])

    def settle(self, stored: VectorFormat) -> Hybrid:
        """Return a copy of these settings whose `fusion` is the fusion for the given vector format."""
        return replace(self, fusion=self.fusion_of(stored))

    def to_json(self) -> dict[str, Any]:
        """Convert to the content of `hybrid.json`."""
        forms, fusion = self.lexical.forms, self.fusion
        return {
            "schema": SCHEMA,
            "tokenisation": {"language": forms.language, "stem": forms.stem, "stop_words": forms.stop_words},
            "k1": self.lexical.k1,
            "b": self.lexical.b,
            "correction": asdict(self.lexical.correction) if self.lexical.correction else False,
            "weight": fusion.weight,
            "normalisation": fusion.normalisation,
            "constant": fusion.constant,
            "candidates": CANDIDATES,
            "documents": self.documents,
            "mean_length": self.mean_length,
            "weights": self.weights,
        }

    @classmethod
    def from_json(cls, value: Mapping[str, Any], place: object) -> Hybrid:
        """Make the settings from the content of `hybrid.json`.

        Raises InputError, with the name of the file in `place`, if a value is missing or wrong.
        """
        if value.get("schema") != SCHEMA:
            wanted = f"schema {SCHEMA}, which this version of nestvec reads: run nestvec again"
            raise InputError(f"has schema {value.get('schema')!r}", wanted, file=place)
        words = _read(place, value, "tokenisation", dict)
        language = _read(place, words, "language", str)
        normalisation = _read(place, value, "normalisation", str)
        if language not in LANGUAGES:
            raise InputError(f"tokenisation.language is {language!r}", f"one of {', '.join(LANGUAGES)}", file=place)
        if normalisation not in NORMALISATIONS:
            raise InputError(f"normalisation is {normalisation!r}", f"one of {', '.join(NORMALISATIONS)}", file=place)
        forms = WordForms(language, _read(place, words, "stem", bool), _read(place, words, "stop_words", bool))
        lexical = LexicalSettings(
            forms,
            _read_number(place, value, "k1"),
            _read_number(place, value, "b", 1.0),
            _read_correction(place, value.get("correction")),
        )
        fusion = Fusion(_read_number(place, value, "weight", 1.0), normalisation, _read(place, value, "constant", int))
        counted = _read(place, value, "documents", int), _read_number(place, value, "mean_length")
        return cls(lexical, fusion, *counted, _read_weights(place, value.get("weights", {})))


def write_hybrid(path: Path, hybrid: Hybrid) -> None:
    """Write `hybrid.json` atomically: a process that reads it meanwhile sees the old file or the complete new file."""
    write_json(path, hybrid.to_json())


def read_hybrid(path: Path) -> Hybrid:
    """Read the settings from a file `hybrid.json`; raises InputError if the file is missing or damaged."""
    return Hybrid.from_json(
        read_object(path, "what nestvec run writes: BM25's settings and its fusion with vectors"), path
    )


def _read_correction(place: object, rules: object) -> CorrectionRules | None:
    """Read the rules of spelling correction: `false` for no correction, `true` for the default rules, or all rules."""
    names = [rule.name for rule in fields(CorrectionRules)]
    if isinstance(rules, dict) and sorted(rules) == sorted(names):
        if all(type(number) is int and number > 0 for number in rules.values()):
            return CorrectionRules(**rules)
    elif isinstance(rules, bool):
        return RULES if rules else None
    wanted = f"false, or an object with {', '.join(names)}, each a whole number of 1 or more"
    raise InputError(f"correction is {rules!r}", wanted, file=place)


def _read_weights(place: object, weights: object) -> dict[str, float]:
    """Read the weight of the BM25 score, from 0 to 1, for each vector format; raises InputError for other content."""
    if not isinstance(weights, dict):
        raise InputError(f"weights is {weights!r}", 'an object such as {"96.binary": 0.7}', file=place)
    for name in weights:
        try:
            VectorFormat.parse(name)
        except ValueError as error:
            wanted = "a dimension and a precision, such as 96.binary"
            raise InputError(f"weights has the key {name!r}", wanted, file=place) from error
    return {name: _read_number(place, weights, name, 1.0) for name in weights}


def _read(place: object, value: Mapping[str, Any], key: str, kind: type) -> Any:  # noqa: ANN401 - of the kind asked for
    found = value.get(key)
    if not isinstance(found, kind) or (kind is int and isinstance(found, bool)):
        raise InputError(f"{key} is {found!r}", _KINDS[kind], file=place)
    return found


def _read_number(place: object, value: Mapping[str, Any], key: str, most: float = inf) -> float:
    """Read the number stored under `key`; raises InputError unless it is a number from 0 to `most`."""
    found = value.get(key)
    if isinstance(found, bool) or not isinstance(found, int | float) or not 0 <= found <= min(most, _LARGEST):
        wanted = "a number, 0 or more" if isinf(most) else f"a number from 0 to {most:g}"
        raise InputError(f"{key} is {found!r}", wanted, file=place)
    return float(found)
