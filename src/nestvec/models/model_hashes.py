"""Hash what decides a model's vectors: the files of the model's folder that the libraries read, and the prompts.

These hashes identify a measured model, whatever its name and folder.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from nestvec.errors import ChangedError
from nestvec.files import sha256
from nestvec.models.model_files import CARD, SHARDS, WEIGHTS, list_module_folders

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

BASE = "base model"  # key of an adapter's base model; cannot be a hashed file, because those have a suffix
PROMPTS = "prompts"
_SUFFIXES = {".json", ".txt", ".model", ".codes", ".spm"}  # of the files that transformers' tokenizers and modules read
_NAMED = 4  # most changed files that a message names


def hash_model_files(path: Path, weights: Sequence[str]) -> dict[str, str]:
    """Hash every file of a model's folder that decides a vector: name in the folder to SHA-256, sorted by name.

    These are the files of weights, which the caller lists, and the configurations, vocabularies and tokenizers of all
    modules. The card and codecs that nestvec writes beside a model, read-me files, code, pickles, and other formats of
    the model in their own folders are not hashed.
    """
    names = set(weights)
    for folder in _list_read_folders(path):
        files = (file for file in (path / folder).glob("*") if file.suffix in _SUFFIXES and file.is_file())
        names |= {str(PurePosixPath(folder) / file.name) for file in files if file.name != CARD}
    return {name: sha256(path / name) for name in sorted(names)}


def hash_weights(hashes: Mapping[str, str], weights: Sequence[str], base: str | None = None) -> str:
    """Compute the SHA-256 of a model's weights, in hex, from the hashes of the model's files.

    For a single file of weights this is the file's `sha256sum`. For several files it is the SHA-256 of the lines that
    `sha256sum` prints for them, with one more line for the base model of an adapter.
    """
    if len(weights) == 1 and base is None:
        return hashes[weights[0]]
    lines = [f"{hashes[name]}  {name}\n" for name in weights] + ([f"{base}  base model\n"] if base else [])
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def hash_first_file(path: Path) -> str | None:
    """Hash a model as nestvec 0.1 did: the index of its weight files if there is one, or else its file of weights."""
    first = next((path / name for name in (SHARDS, WEIGHTS) if (path / name).is_file()), None)
    return None if first is None else sha256(first)


def join_hashes(hashes: Mapping[str, str]) -> str:
    """Combine named hashes to one SHA-256 in hex that does not depend on the order of the hashes."""
    return hashlib.sha256(json.dumps(dict(sorted(hashes.items()))).encode()).hexdigest()


def describe_changes(stated: Mapping[str, str], found: Mapping[str, str]) -> str:
    """Describe the differences between two sets of hashes in words; empty if the sets are equal."""
    ways = {name: "is missing" for name in stated if name not in found}
    ways |= {name: "is new" for name in found if name not in stated}
    ways |= {name: "has changed" for name in stated if name in found and stated[name] != found[name]}
    said = [f"{name} {way}" for name, way in sorted(ways.items())]
    more = [f"and {len(said) - _NAMED} more"] if len(said) > _NAMED else []
    return ", ".join([*said[:_NAMED], *more])


def refuse_changes(stated: Mapping[str, str], found: Mapping[str, str], file: Path, when: str) -> None:
    """Raise ChangedError if a model's hashes differ from the stated ones; `when` is such as "when mnr was measured"."""
    if changes := describe_changes(stated, found):
        wanted = "the original files: put them back, or make a new run"
        raise ChangedError(f"is not the same model as {when}: {changes}", wanted, file=file)


def _list_read_folders(path: Path) -> list[str]:
    """List the folders from which libraries read a model's files: model folder, module folders, and parents of both."""
    folders = {""}
    for folder in map(PurePosixPath, list_module_folders(path)):
        folders |= {str(part) for part in (folder, *folder.parents)}
    return sorted("" if folder == "." else folder for folder in folders)
