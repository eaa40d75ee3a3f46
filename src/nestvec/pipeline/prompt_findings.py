"""Find problems with the prompts of the measured models, and report them as findings of the run."""

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
    """Find prompts in a model's files that are not applied, and models that probably need prompts but state none."""
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
        action = "Models with such names usually need prompts, but the files state none: see the model's page."
        findings.append(Finding("models that may lack their prompts", len(lacking), action, tuple(lacking)))
    return tuple(findings)


def _show_options(prompts: Prompts) -> str:
    """Format prompts as options for the command line: `--query-prompt "query: "`."""
    given = (("--query-prompt", prompts.query), ("--document-prompt", prompts.document))
    return " ".join(f"{option} {json.dumps(text)}" for option, text in given if text)
