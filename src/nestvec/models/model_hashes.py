"""What decides a model's vectors, as hashes: the files of its folder that a library reads, and its prompts.

A model that was measured is known by these hashes again, whatever it is called and wherever its folder lies.
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

BASE = "base model"  # of an adapter; no file is called so, as every file's name that counts has a suffix
PROMPTS = "prompts"
_SUFFIXES = {".json", ".txt", ".model", ".codes", ".spm"}  # of all that transformers' tokenizers and modules read
_NAMED = 4  # files that differ, in a message


def hash_model_files(path: Path, weights: Sequence[str]) -> dict[str, str]:
    """Every file of a model's folder that decides a vector: its name in the folder to its SHA-256, in order of name.

    These are the files of weights, which the caller lists, and the configurations, vocabularies and tokenizers of all
    modules. Not among them: the card and codecs that nestvec puts beside a model, read-me files, code, pickles, and
    other forms of the model in folders of their own.
    """
    names = set(weights)
    for folder in _list_read_folders(path):
        files = (file for file in (path / folder).glob("*") if file.suffix in _SUFFIXES and file.is_file())
        names |= {str(PurePosixPath(folder) / file.name) for file in files if file.name != CARD}
    return {name: sha256(path / name) for name in sorted(names)}


def hash_weights(hashes: Mapping[str, str], weights: Sequence[str], base: str | None = None) -> str:
    """The SHA-256 in hex of a model's weights, of the hashes of its files.

    Of a single file of weights, as `sha256sum` gives it. Of several, that of the lines that `sha256sum` prints of them;
    the hash of an adapter's base model is a line more.
    """
    if len(weights) == 1 and base is None:
        return hashes[weights[0]]
    lines = [f"{hashes[name]}  {name}\n" for name in weights] + ([f"{base}  base model\n"] if base else [])
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def hash_first_file(path: Path) -> str | None:
    """What nestvec 0.1 took for the hash of a model: that of the file in its own folder, shards by their list."""
    first = next((path / name for name in (SHARDS, WEIGHTS) if (path / name).is_file()), None)
    return None if first is None else sha256(first)


def join_hashes(hashes: Mapping[str, str]) -> str:
    """One SHA-256 in hex for many named ones, whatever their order."""
    return hashlib.sha256(json.dumps(dict(sorted(hashes.items()))).encode()).hexdigest()


def describe_changes(stated: Mapping[str, str], found: Mapping[str, str]) -> str:
    """What differs between two sets of hashes, in words; empty where nothing does."""
    ways = {name: "is missing" for name in stated if name not in found}
    ways |= {name: "is new" for name in found if name not in stated}
    ways |= {name: "has changed" for name in stated if name in found and stated[name] != found[name]}
    said = [f"{name} {way}" for name, way in sorted(ways.items())]
    more = [f"and {len(said) - _NAMED} more"] if len(said) > _NAMED else []
    return ", ".join([*said[:_NAMED], *more])


def refuse_changes(stated: Mapping[str, str], found: Mapping[str, str], file: Path, when: str) -> None:
    """Raise ChangedError where what decides a model's vectors is not as it was `when`: as stated."""
    if changes := describe_changes(stated, found):
        raise ChangedError(f"is not the model that it was {when}: {changes}", "the same files again", file=file)


def _list_read_folders(path: Path) -> list[str]:
    """The folders that a library reads a model's files from: its own, its modules', and those that these lie in."""
    folders = {""}
    for folder in map(PurePosixPath, list_module_folders(path)):
        folders |= {str(part) for part in (folder, *folder.parents)}
    return sorted("" if folder == "." else folder for folder in folders)
