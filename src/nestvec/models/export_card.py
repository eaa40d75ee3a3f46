"""An export's card, `nestvec.json`: what the folder holds, and whether it is still what was exported."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, fields
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any

from nestvec.errors import ChangedError, InputError
from nestvec.files import can_be_path, read_json, read_object, sha256, write_json
from nestvec.models.model_files import CARD
from nestvec.models.prompts import Prompts
from nestvec.point import PRECISIONS, VectorFormat
from nestvec.vectors.stored import load_codecs

if TYPE_CHECKING:
    from pathlib import Path

SCHEMA = 1
KIND = "export"
CODEC, README = "codec.safetensors", "README.md"
TARGETS = ("sentence-transformers", "onnx", "openvino")
WEIGHTS = ("float32", "int8", "int8-dynamic")
MODEL_FILES = {
    "sentence-transformers": ("model.safetensors", "modules.json"),
    "onnx": ("model.onnx", "tokenizer.json"),
    "openvino": ("openvino_model.xml", "openvino_model.bin", "tokenizer.json"),
}
_OPTIONAL = ("sha256", "model", "axes")
_SEAL = "card_sha256"  # of all else in the card
_ONE_PROMPT = "prompt"  # in cards of before queries and documents had prompts of their own: that of both
_EXPECTED = "a folder that `nestvec export` wrote"


@dataclass(frozen=True)
class Card:
    """What an export's folder holds.

    Attributes:
        to: one of `TARGETS`.
        system: name of the exported system in its run.
        base: the model that it was trained from, or the model itself.
        dimension: of the vectors that it makes.
        full_dimension: the model's width.
        precision: that its codec stores documents at.
        weights: one of `WEIGHTS`.
        max_length: tokens that are read of a text; None where there is no limit.
        pad_id: the token id that fills up a batch.
        inputs: the graph's inputs in order; `text` for sentence-transformers.
        output: the graph's output.
        query_prompt: text that goes before every query.
        document_prompt: text that goes before every document.
        model_sha256: of the system's weights in the run.
        files: every other file's name to its sha256; names are relative and use slashes.
        parity: what the check at export found; see `exporting.parity`.
        sha256: of model.safetensors; only for sentence-transformers.
        model: all that decided the vectors of the system's model in the run, by name, with its sha256; None in cards
            of before it was stated.
        axes: whether the vectors are on the documents' principal axes; the model turns them.
    """

    to: str
    system: str
    base: str
    dimension: int
    full_dimension: int
    precision: str
    weights: str
    max_length: int | None
    pad_id: int
    inputs: tuple[str, ...]
    output: str
    query_prompt: str
    document_prompt: str
    model_sha256: str
    files: dict[str, str]
    parity: dict[str, float | int]
    sha256: str | None = None
    model: dict[str, str] | None = None
    axes: bool = False

    @property
    def prompts(self) -> Prompts:
        """What goes before queries and documents."""
        return Prompts(self.query_prompt, self.document_prompt)

    @property
    def point(self) -> str:
        """As codecs are named: `48.int8`."""
        return VectorFormat(self.dimension, self.precision).name


def write_card(folder: Path, card: Card) -> None:
    """Write the card of an export's folder; one without prompts in the form that every nestvec reads."""
    values = {name: value for name, value in asdict(card).items() if value or name not in _OPTIONAL}
    if not card.prompts:
        values = {_ONE_PROMPT if name == "query_prompt" else name: value for name, value in values.items()}
        del values["document_prompt"]
    values = {"schema": SCHEMA, "kind": KIND, **values}
    write_json(folder / CARD, {**values, _SEAL: _hash_values(values)})


def _hash_values(values: dict[str, Any]) -> str:
    """A hash of a card's values: what the card says of the graph is as decisive as the files that it lists."""
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()


def hash_files(folder: Path) -> dict[str, str]:
    """Every file of a folder but its card: relative name with slashes to sha256, in order of name."""
    paths = sorted(path for path in folder.rglob("*") if path.is_file() and path != folder / CARD)
    return {path.relative_to(folder).as_posix(): sha256(path) for path in paths}


def read_card(folder: Path) -> Card | None:
    """The card of an export's folder; None where there is none, or that of a model which a run saved.

    InputError is raised where a newer nestvec wrote it, it is no export, or a file is missing, cut short or another.
    """
    path = folder / CARD
    if not path.is_file():
        return None
    values = read_json(path)
    if not isinstance(values, dict):
        raise InputError("is damaged: it is no table of names and values", _EXPECTED, file=path)
    if "kind" not in values:
        return None
    card = _parse_card(path, values)
    _check_files(folder, card)
    sealed = {name: value for name, value in values.items() if name != _SEAL}
    if _SEAL in values and values[_SEAL] != _hash_values(sealed):  # cards of before have none
        raise ChangedError(f"was changed: its values do not hash to its {_SEAL}", _EXPECTED, file=path)
    return card


def is_export(folder: Path) -> bool:
    """Whether a folder holds an export's card, be it whole or not."""
    try:
        values = read_json(folder / CARD)
    except InputError:
        return False
    return isinstance(values, dict) and values.get("kind") == KIND


def list_files(folder: Path) -> set[str]:
    """Every file that an export wrote into its folder, as its card lists them: relative names with slashes.

    Raises InputError where the card is damaged, or a newer nestvec wrote it.
    """
    path = folder / CARD
    return {CARD, README, *_parse_card(path, read_object(path, _EXPECTED)).files}


def _parse_card(path: Path, values: dict[str, Any]) -> Card:
    """Read a card from JSON values; raises InputError if one is missing or has the wrong type."""
    if values["kind"] != KIND:
        raise InputError(f"is of the kind {values['kind']!r}", _EXPECTED, file=path)
    schema = values.get("schema")
    if type(schema) is int and schema > SCHEMA:
        raise InputError(f"has schema {schema}, which a newer nestvec wrote", f"schema {SCHEMA}", file=path)
    if schema != SCHEMA or type(schema) is not int:
        raise InputError(f"has schema {schema!r}", f"schema {SCHEMA}", file=path)
    if _ONE_PROMPT in values:
        values = {**values, "query_prompt": values[_ONE_PROMPT], "document_prompt": values[_ONE_PROMPT]}
    values = {"axes": False, **values}  # named only where they are
    known = {field.name: values.get(field.name) for field in fields(Card)}
    wrong = [name for name, value in known.items() if not _is_valid(name, value)]
    if wrong:
        raise InputError(f"is damaged: {wrong[0]} is {known[wrong[0]]!r}", _EXPECTED, file=path)
    return Card(**{**known, "inputs": tuple(known["inputs"])})  # type: ignore[arg-type] # checked by _is_valid


def _is_valid(name: str, value: object) -> bool:
    """Whether a card may have this value under this name."""
    if name in _ONE_OF:
        return value in _ONE_OF[name]
    if name in ("dimension", "full_dimension"):
        return type(value) is int and value > 0
    if name in ("max_length", "pad_id"):
        return (type(value) is int and value >= 0) or (value is None and name == "max_length")
    if name == "inputs":
        return isinstance(value, list) and bool(value) and all(isinstance(entry, str) for entry in value)
    if name == "files":
        return isinstance(value, dict) and all(_is_inside(file, code) for file, code in value.items())
    if name == "model":
        return value is None or (isinstance(value, dict) and all(isinstance(code, str) for code in value.values()))
    if name == "parity":
        return isinstance(value, dict) and all(type(figure) in (int, float) for figure in value.values())
    return isinstance(value, str) or (value is None and name == "sha256")


_ONE_OF: dict[str, tuple[object, ...]] = {
    "to": TARGETS,
    "weights": WEIGHTS,
    "precision": tuple(PRECISIONS),
    "axes": (True, False),
}


def _is_inside(file: str, code: object) -> bool:
    """Whether a name leads to a file inside the folder, and has a hash."""
    path = PurePosixPath(file)
    return isinstance(code, str) and can_be_path(file) and not path.is_absolute() and ".." not in path.parts


def _check_files(folder: Path, card: Card) -> None:
    """Raise if a file is missing or is not the one that was exported."""
    lacking = next((name for name in (*MODEL_FILES[card.to], CODEC) if name not in card.files), None)
    if lacking or card.dimension > card.full_dimension:
        what = f"it does not list {lacking}" if lacking else f"dimension {card.dimension} of {card.full_dimension}"
        raise InputError(f"is damaged: {what}", _EXPECTED, file=folder / CARD)
    for name, wanted in card.files.items():
        file = folder / name
        if not file.is_file():
            raise InputError("there is no such file", f"one that {CARD} lists", file=file)
        try:
            digest = sha256(file)
        except OSError as error:
            raise InputError(f"cannot be read ({error.strerror})", "a file of an export", file=file) from error
        if digest != wanted.lower():
            problem = f"was cut short, changed or swapped: it hashes to sha256 {digest}"
            raise ChangedError(problem, f"{wanted} ({CARD})", file=file)
    coded = list(load_codecs(folder / CODEC))
    if coded != [card.point]:
        raise InputError(f"says {card.point}, while {CODEC} is for {', '.join(coded)}", _EXPECTED, file=folder / CARD)
