"""Tiny models with prompts, for tests of what goes before queries and documents."""

from __future__ import annotations

import json
import shutil
from typing import TYPE_CHECKING

from tiny_mpnet import save_tiny_mpnet

if TYPE_CHECKING:
    from pathlib import Path

WIDTH = 48
QUERY_PROMPT, DOCUMENT_PROMPT = "ask me: ", "a text of the shop: "


def save_prompted(folder: Path, prompts: dict[str, str] | None = None, default: str | None = None) -> Path:
    """Write a tiny MPNet whose config states prompts: those above, or others; `default` names the default prompt."""
    save_tiny_mpnet(folder, width=WIDTH)
    shutil.rmtree(folder.with_name(f"{folder.name}-parts"))
    stated = {"query": QUERY_PROMPT, "document": DOCUMENT_PROMPT} if prompts is None else prompts
    return state_prompts(folder, stated, default)


def state_prompts(folder: Path, prompts: dict[str, str], default: str | None = None) -> Path:
    """Replace the prompts that a model's config states."""
    config = folder / "config_sentence_transformers.json"
    values = json.loads(config.read_text(encoding="utf-8")) | {"prompts": prompts, "default_prompt_name": default}
    config.write_text(json.dumps(values), encoding="utf-8")
    return folder


def exclude_prompts(folder: Path) -> Path:
    """Let a model's pooling leave out the prompt's tokens."""
    config = folder / "1_Pooling" / "config.json"
    values = json.loads(config.read_text(encoding="utf-8"))
    config.write_text(json.dumps(values | {"include_prompt": False}), encoding="utf-8")
    return folder
