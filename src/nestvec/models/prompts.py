"""A model's prompts: texts to put before queries and before documents.

A model states its prompts in `config_sentence_transformers.json`. This module finds those that
`SentenceTransformer.encode_query` and `encode_document` apply, without loading the model;
`tests/models/test_prompts.py` compares both.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

from nestvec.errors import InputError
from nestvec.files import read_json
from nestvec.point import ReadByName

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from sentence_transformers import SentenceTransformer

Role = Literal["query", "document"]  # the kind of a text; the library calls it the task
QUERY: Role = "query"
DOCUMENT: Role = "document"
ROLES = (QUERY, DOCUMENT)
CONFIG = "config_sentence_transformers.json"
_MODULES = "modules.json"
_ROUTERS = ("Router", "Asym")  # modules that send queries and documents through different modules
_FAMILIES = {  # part of a model's name, and the prompts that such models usually need; only a hint
    "e5-": ("query: ", "passage: "),
    "nomic-embed": ("search_query: ", "search_document: "),
    "bge-small-en": ("Represent this sentence for searching relevant passages: ", ""),
    "bge-base-en": ("Represent this sentence for searching relevant passages: ", ""),
    "bge-large-en": ("Represent this sentence for searching relevant passages: ", ""),
    "gte-qwen": ("Instruct: Given a web search query, retrieve relevant passages that answer the query\nQuery: ", ""),
}


@dataclass(frozen=True)
class Prompts(ReadByName):
    """The texts to put before every query and before every document; an empty text is no prompt."""

    query: str = ""
    document: str = ""

    def __bool__(self) -> bool:
        """Whether at least one of the prompts is not empty."""
        return bool(self.query or self.document)

    @property
    def sha256(self) -> str:
        """SHA-256 of both prompts together, in hex."""
        return hashlib.sha256(json.dumps([self.query, self.document]).encode()).hexdigest()

    @property
    def alike(self) -> bool:
        """Whether queries and documents have the same prompt."""
        return self.query == self.document

    def of(self, role: Role) -> str:
        """Return the prompt for texts of a role, `query` or `document`."""
        return self.query if role == QUERY else self.document

    def override(self, query: str | None, document: str | None) -> Prompts:
        """Return a copy with other prompts for queries and documents; None keeps a prompt, an empty text removes it."""
        given = {"query": query, "document": document}
        return replace(self, **{role: text for role, text in given.items() if text is not None})


@dataclass(frozen=True)
class _Named:
    """A model's prompts by name, and the name of the prompt that plain `SentenceTransformer.encode` applies."""

    texts: dict[str, str]
    default: str | None


def read_prompts(folder: Path) -> Prompts:
    """Read the prompts that `encode_query` and `encode_document` of this folder's model apply.

    These are the prompts named `query` and `document`. The library adds these two names, with empty texts, to a model
    that lacks them, so neither the default prompt nor one named `passage` or `corpus` is ever used instead. Raises
    InputError if the file is damaged.
    """
    texts = _read_named(folder).texts
    return Prompts(texts.get(QUERY, ""), texts.get(DOCUMENT, ""))


def read_default_prompts(folder: Path) -> Prompts:
    """Read the model's default prompt, which runs of earlier versions put before every query and document."""
    named = _read_named(folder)
    text = named.texts.get(named.default or "", "")
    return Prompts(text, text)


def find_unused_prompts(folder: Path, applied: Prompts) -> dict[str, str]:
    """Find a model's prompts that seem meant for every query or document, but that are never applied.

    Neither `encode_query` nor `encode_document` applies them. Returns the texts of these prompts by name.
    """
    named = _read_named(folder)
    wanted = {name: applied.document for name in ("passage", "corpus")}
    wanted[named.default or ""] = applied.query and applied.document
    return {
        name: named.texts[name]
        for name, instead in wanted.items()
        if named.texts.get(name) and not instead and named.texts[name] not in (applied.query, applied.document)
    }


def suggest_prompts(name: str) -> Prompts | None:
    """Suggest the prompts that models of this name usually need; None if the name is not known."""
    last = name.rstrip("/").rpartition("/")[2].lower()
    return next((Prompts(*texts) for part, texts in _FAMILIES.items() if part in last), None)


def apply_prompts(model: SentenceTransformer, prompts: Prompts) -> None:
    """Let `encode_query` and `encode_document` of a loaded model apply these prompts, also after the model is saved.

    A default prompt that differs from both is removed, because with it the library's plain `encode` would return
    vectors that nestvec did not measure.
    """
    model.prompts = {**model.prompts, QUERY: prompts.query, DOCUMENT: prompts.document}
    default = model.default_prompt_name
    if default is not None and model.prompts.get(default) not in (prompts.query, prompts.document):
        model.default_prompt_name = None


def encode_method(model: SentenceTransformer, role: Role) -> Callable[..., Any]:
    """Give the library's method for texts of a role: `encode_query` or `encode_document`."""
    return model.encode_query if role == QUERY else model.encode_document


def model_prompts(model: SentenceTransformer) -> Prompts:
    """Read the prompts that `encode_query` and `encode_document` of a loaded model apply."""
    return Prompts(model.prompts.get(QUERY) or "", model.prompts.get(DOCUMENT) or "")


def count_excluded_tokens(model: SentenceTransformer, role: Role) -> int:
    """Count the tokens of a role's prompt that the model leaves out when it pools token vectors: usually 0."""
    if all(getattr(module, "include_prompt", True) for module in model.modules()):
        return 0
    features = model.preprocess(["a"], prompt=model_prompts(model).of(role) or None, task=role)
    return int(features.get("prompt_length") or 0)


def reads_roles_apart(model: SentenceTransformer) -> bool:
    """Whether a loaded model processes queries and documents differently, apart from their prompts."""
    modules = list(model.modules())
    lengths = {(getattr(module, "query_length", None), getattr(module, "document_length", None)) for module in modules}
    routed = any(type(module).__name__ in _ROUTERS for module in modules)
    return routed or any(query != document for query, document in lengths)


def has_router(folder: Path) -> bool:
    """Whether a model sends queries and documents through different modules; does not load the model."""
    path = folder / _MODULES
    modules = read_json(path) if path.is_file() else []
    kinds = [module.get("type") for module in modules if isinstance(module, dict)] if isinstance(modules, list) else []
    return any(str(kind).rpartition(".")[2] in _ROUTERS for kind in kinds)


def _read_named(folder: Path) -> _Named:
    """Read a model's prompts by name; empty if the files in the model's folder state no prompts."""
    path = folder / CONFIG
    config = read_json(path) if path.is_file() else {}
    config = config if isinstance(config, dict) else {}
    texts, default = config.get("prompts") or {}, config.get("default_prompt_name")
    if not isinstance(texts, dict) or not all(text is None or isinstance(text, str) for text in texts.values()):
        raise InputError(f"is damaged: prompts is {str(texts)[:80]}", "names with a text each", file=path)
    if default is not None and not isinstance(default, str):
        raise InputError(f"is damaged: default_prompt_name is {str(default)[:80]}", "the name of a prompt", file=path)
    return _Named({str(name): text or "" for name, text in texts.items()}, default)
