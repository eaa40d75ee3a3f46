"""What looks wrong with the prompts of the models that are measured, as findings of the run."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from nestvec.data.source import Finding
from nestvec.models.prompts import find_unused_prompts, suggest_prompts

if TYPE_CHECKING:
    from collections.abc import Iterable

    from nestvec.models.find import ModelFolder
    from nestvec.models.prompts import Prompts


def find_prompt_problems(models: Iterable[ModelFolder]) -> tuple[Finding, ...]:
    """Name prompts that a model states and that are not applied, and prompts that a model of such a name lacks."""
    unused, lacking = [], []
    for model in models:
        prompts = find_unused_prompts(model.path, model.prompts)
        unused += [f"{model.name}: {name} = {json.dumps(text)}" for name, text in prompts.items()]
        usual = None if prompts or model.prompts else suggest_prompts(model.name)
        if usual:
            lacking.append(f"{model.name}: {_show_options(usual)}")
    findings = []
    if unused:
        action = "encode_query and encode_document do not apply them; --query-prompt and --document-prompt do."
        findings.append(Finding("prompts of a model that are not applied", len(unused), action, tuple(unused)))
    if lacking:
        action = "Models of this name usually want prompts, and their files state none: see the model's own page."
        findings.append(Finding("models that may lack their prompts", len(lacking), action, tuple(lacking)))
    return tuple(findings)


def _show_options(prompts: Prompts) -> str:
    """The options that set prompts, as they are typed."""
    given = (("--query-prompt", prompts.query), ("--document-prompt", prompts.document))
    return " ".join(f"{option} {json.dumps(text)}" for option, text in given if text)
