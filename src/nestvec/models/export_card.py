"""The card of an exported model, `nestvec.json`: describes the folder, and detects files changed after the export."""

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
_SEAL = "card_sha256"  # hash of all other values of the card
_ONE_PROMPT = "prompt"  # in cards of earlier versions: the one prompt of queries and documents
_EXPECTED = "a folder that `nestvec export` wrote"


@dataclass(frozen=True)
class Card:
    """The content of `nestvec.json`, the card that describes an exported model.

    Attributes:
        to: target of the export, one of `TARGETS`.
        system: name of the exported system in its run.
        base: the model that the system was trained from, or the model itself if it was not trained.
        dimension: dimension of the exported model's vectors.
        full_dimension: the model's full width.
        precision: precision of the codec for documents.
        weights: number format of the weights, one of `WEIGHTS`.
        max_length: number of tokens that the model reads of a text; None for no limit.
        pad_id: id of the padding token.
        inputs: names of the graph's inputs in order; `text` for sentence-transformers.
        output: name of the graph's output.
        query_prompt: text to put before every query.
        document_prompt: text to put before every document.
        model_sha256: sha256 of the system's weights in the run.
        files: sha256 of every other file, by name relative to the folder, with slashes.
        parity: result of the check at export; see `exporting.parity`.
        sha256: sha256 of model.safetensors; only for sentence-transformers.
        model: sha256 of all that decided the vectors of the system's model in the run, by name; None in cards of
            earlier versions.
        axes: whether the model rotates its vectors to the documents' principal axes.
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
        """The texts to put before every query and before every document."""
        return Prompts(self.query_prompt, self.document_prompt)

    @property
    def point(self) -> str:
        """The dimension and precision of the exported vectors as a name, such as `48.int8`."""
        return VectorFormat(self.dimension, self.precision).name


def write_card(folder: Path, card: Card) -> None:
    """Write nestvec.json into an export's folder; earlier versions of nestvec can read it if there are no prompts."""
    values = {name: value for name, value in asdict(card).items() if value or name not in _OPTIONAL}
    if not card.prompts:
        values = {_ONE_PROMPT if name == "query_prompt" else name: value for name, value in values.items()}
        del values["document_prompt"]
    values = {"schema": SCHEMA, "kind": KIND, **values}
    write_json(folder / CARD, {**values, _SEAL: _hash_values(values)})


def _hash_values(values: dict[str, Any]) -> str:
    """Hash the values of nestvec.json, so that a later change of a value is noticed like that of a file."""
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()


def hash_files(folder: Path) -> dict[str, str]:
    """Hash every file of a folder except the card: relative names with slashes to sha256, sorted by name."""
    paths = sorted(path for path in folder.rglob("*") if path.is_file() and path != folder / CARD)
    return {path.relative_to(folder).as_posix(): sha256(path) for path in paths}


def read_card(folder: Path) -> Card | None:
    """Read an export's nestvec.json and check the files against it; None if it is missing or of a trained model.

    Raises InputError if a newer nestvec wrote the card, if the folder is not an export, or if a file is missing or
    damaged; ChangedError if a file has changed.
    """
    path = folder / CARD
    if not path.is_file():
        return None
    values = read_json(path)
    if not isinstance(values, dict):
        raise InputError("is damaged: it is not a JSON object", _EXPECTED, file=path)
    if "kind" not in values:
        return None
    card = _parse_card(path, values)
    _check_files(folder, card)
    sealed = {name: value for name, value in values.items() if name != _SEAL}
    if _SEAL in values and values[_SEAL] != _hash_values(sealed):  # cards of earlier versions have no such hash
        raise ChangedError(f"was changed: {_SEAL} does not match the other values", _EXPECTED, file=path)
    return card


def is_export(folder: Path) -> bool:
    """Whether a folder's nestvec.json says that the folder is an export; does not check the other values."""
    try:
        values = read_json(folder / CARD)
    except InputError:
        return False
    return isinstance(values, dict) and values.get("kind") == KIND


def list_files(folder: Path) -> set[str]:
    """List the files that an export wrote into the folder, as its nestvec.json states: relative names with slashes.

    Raises InputError if nestvec.json is damaged, or if a newer nestvec wrote it.
    """
    path = folder / CARD
    return {CARD, README, *_parse_card(path, read_object(path, _EXPECTED)).files}


def _parse_card(path: Path, values: dict[str, Any]) -> Card:
    """Make a `Card` from the values of nestvec.json; raises InputError if one is missing or has the wrong type."""
    if values["kind"] != KIND:
        raise InputError(f"has the kind {values['kind']!r} instead of {KIND!r}", _EXPECTED, file=path)
    schema = values.get("schema")
    if type(schema) is int and schema > SCHEMA:
        raise InputError(
            f"has schema {schema}, which a newer nestvec wrote", f"schema {SCHEMA}: update nestvec", file=path
        )
    if schema != SCHEMA or type(schema) is not int:
        raise InputError(f"has schema {schema!r}", f"schema {SCHEMA}: export the model again", file=path)
    if _ONE_PROMPT in values:
        values = {**values, "query_prompt": values[_ONE_PROMPT], "document_prompt": values[_ONE_PROMPT]}
    values = {"axes": False, **values}  # cards state axes only if they are used
    known = {field.name: values.get(field.name) for field in fields(Card)}
    wrong = [name for name, value in known.items() if not _is_valid(name, value)]
    if wrong:
        raise InputError(f"is damaged: {wrong[0]} is {known[wrong[0]]!r}", _EXPECTED, file=path)
    return Card(**{**known, "inputs": tuple(known["inputs"])})  # type: ignore[arg-type] # checked by _is_valid


def _is_valid(name: str, value: object) -> bool:
    """Whether a value of nestvec.json has the type and range that its field must have."""
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
    """Whether an entry of `files` in nestvec.json is valid: a path inside the export, and a checksum."""
    path = PurePosixPath(file)
    return isinstance(code, str) and can_be_path(file) and not path.is_absolute() and ".." not in path.parts


def _check_files(folder: Path, card: Card) -> None:
    """Raise InputError or ChangedError if a file is missing or has changed since the export."""
    lacking = next((name for name in (*MODEL_FILES[card.to], CODEC) if name not in card.files), None)
    if lacking or card.dimension > card.full_dimension:
        too_large = f"dimension {card.dimension} exceeds full_dimension {card.full_dimension}"
        what = f"it does not list {lacking}" if lacking else too_large
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
            problem = f"checksum mismatch: was cut short, changed or swapped; its sha256 is {digest}"
            raise ChangedError(problem, f"{wanted} ({CARD})", file=file)
    coded = list(load_codecs(folder / CODEC))
    if coded != [card.point]:
        problem = f"is for {card.point}, but {CODEC} is for {', '.join(coded)}"
        raise InputError(problem, _EXPECTED, file=folder / CARD)
