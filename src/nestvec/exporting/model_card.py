"""Renders the model card, a README.md for the Hugging Face hub: usage, measurements, data and limits of the model.

The card quotes no text of the user's data, and escapes names, which may contain anything.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

from nestvec.exporting.model_origin import find_origin
from nestvec.exporting.snippets import pip_requirements, usage_code

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from nestvec.exporting.model_origin import Origin
    from nestvec.models.export_card import Card
    from nestvec.runs.point_files import Selection
    from nestvec.runs.schema import Row

_SHOWN = ("recall@10", "mrr@10", "ndcg@10")
_LIBRARIES = {"sentence-transformers": "sentence-transformers", "onnx": "onnx", "openvino": "openvino"}


def write_readme(path: Path, chosen: Selection, card: Card) -> None:
    """Write the model card (README.md) of an export.

    Args:
        path: the file to write.
        chosen: the exported system, dimension and precision.
        card: the content of the export's `nestvec.json`, with the comparison of vectors.

    Raises:
        InputError: a file of the run is missing or damaged.
    """
    path.write_text(render_model_card(chosen, card), encoding="utf-8")


def render_model_card(chosen: Selection, card: Card) -> str:
    """Render the model card (README.md) of an export.

    Args:
        chosen: the exported system, dimension and precision.
        card: the content of the export's `nestvec.json`, with the comparison of vectors.

    Returns:
        Markdown with a YAML header.

    Raises:
        InputError: a file of the run is missing or damaged.
    """
    origin = find_origin(chosen)
    row = chosen.run.points[chosen.point.name]
    parts = [
        _render_header(card, origin, row),
        f"# {_escape_text(card.system)}, {card.dimension} dimensions",
        _describe_model(card, origin),
        "## How to use it",
        _show_usage(card),
        "## Is it worth shipping?",
        _quote_recommendation(chosen),
        "## What was measured",
        _tabulate_points(chosen),
        "## Data and split",
        _describe_split(chosen),
        "## Agreement of this export with what was measured",
        _describe_parity(card),
        "## Intended use and limits",
        _list_limits(card, row),
        "## Licence",
        _describe_licence(origin),
    ]
    return "\n\n".join(parts) + "\n"


def _render_header(card: Card, origin: Origin, row: Row) -> str:
    """Render the YAML header that the Hugging Face hub reads; strings are written as JSON, which is valid YAML."""
    metrics = [
        f"      - {{type: {json.dumps(name)}, value: {row.metrics[name].value:.4f}}}"
        for name in _SHOWN
        if name in row.metrics
    ]
    lines = [
        "---",
        f"license: {json.dumps(origin.licence or 'unknown')}",
        f"library_name: {_LIBRARIES[card.to]}",
        "pipeline_tag: sentence-similarity",
        "tags: [sentence-transformers, sentence-similarity, feature-extraction, matryoshka, nestvec]",
        *([f"base_model: {json.dumps(origin.name)}"] if origin.hub else []),
        "model-index:",
        f"  - name: {json.dumps(card.system)}",
        "    results:",
        "      - task: {type: information-retrieval, name: Information Retrieval}",
        "        dataset: {type: private, name: the run's test split}",
        "        metrics:",
        *("    " + line for line in metrics),
        "---",
    ]
    return "\n".join(lines)


def _describe_model(card: Card, origin: Origin) -> str:
    """Write the model card's first paragraph: what the model is, its dimension and its token limit."""
    system, base = _escape_text(card.system), _escape_text(origin.name)
    making = f"fine-tuned from {base}" if origin.trained else f"the unchanged model {base}"
    making += ", which was adapted to the catalogue's texts first" if origin.adapted else ""
    cut = "its full width" if card.dimension == card.full_dimension else f"of {card.full_dimension}"
    limit = f"The model reads the first {card.max_length:,} tokens of a text." if card.max_length else ""
    if card.axes:
        cut = f"the first principal axes of the documents, {cut}"
    return (
        f"An embedding model for search: {system}, {making}, exported for {card.to} with {card.weights} weights. The "
        f"model encodes a text as a vector of {card.dimension} dimensions ({cut}) and unit length, so a dot product is "
        f"the cosine. `codec.safetensors` encodes documents' vectors as the {card.precision} codes that were measured. "
        f"{limit}".rstrip()
    )


def _show_usage(card: Card) -> str:
    """Write the model card's section with Python code that encodes texts with the exported model."""
    return (
        f"`pip install {pip_requirements(card)}`, then run this code with the path of this folder for `PATH`:\n\n"
        f"```python\n{usage_code(card, 'PATH')}\n```\n\n"
        f"{_describe_prompts(card)}"
    )


def _describe_prompts(card: Card) -> str:
    """Write the model card's sentence on the prompts that the model puts before queries and documents."""
    if not card.prompts:
        return "Queries and documents are encoded in the same way, without a prompt."
    shown = (
        f"the prompt for a {role} is {_show_code(prompt)}" if prompt else f"a {role} has no prompt"
        for role, prompt in vars(card.prompts).items()
    )
    return f"Use `encode_query` for queries and `encode_document` for documents: {' and '.join(shown)}."


def _show_code(text: str) -> str:
    """Write a text as a quoted string in Markdown code, with as many backticks as the text needs."""
    quoted = json.dumps(text)
    fence = "`" * (1 + max(map(len, re.findall("`+", quoted)), default=0))
    return f"{fence}{quoted}{fence}"


def _quote_recommendation(chosen: Selection) -> str:
    """Quote the run's recommendation, and say whether the exported model is the recommended one."""
    recommended, reason = chosen.run.recommendation.point, _escape_text(chosen.run.recommendation.reason)
    if recommended is None:
        return f"**The run says: do not ship.** {reason} This model was exported all the same, by naming its system."
    if recommended.vectors.name == chosen.point.name:
        return f"This is what the run recommends. {reason}"
    return f"**This is not what the run recommends**, which is {_escape_text(recommended.vectors.name)}. {reason}"


def _tabulate_points(chosen: Selection) -> str:
    """Make a table of metrics: the exported system at every dimension and precision, other systems at full width."""
    widest = {point.name for point in chosen.run.full_width.values()}
    rows = [
        row
        for row in chosen.run.points.values()
        if row.is_alone and (row.system == chosen.point.system or row.name in widest)
    ]
    shown = [name for name in _SHOWN if all(name in row.metrics for row in rows)]
    table = [["", "system", "dimension", "precision", "bytes", *shown]]
    for row in rows:
        arrow = "→" if row.name == chosen.point.name else ""
        cells = [_escape_text(row.system), row.cut, row.precision, row.bytes_per_vector]
        table.append([arrow, *("" if value is None else str(value) for value in cells), *_format_metrics(row, shown)])
    first = rows[0]
    caption = (
        f"Measured with {first.queries:,} test queries over {first.documents:,} documents, with 95 % confidence "
        "intervals. The arrow marks the exported dimension and precision. Queries are in float32, documents at the "
        "precision given."
    )
    return f"{caption}\n\n{_format_table(table)}"


def _format_metrics(row: Row, names: Sequence[str]) -> list[str]:
    """Format some metrics of one measurement, each with its 95 % confidence interval."""
    measures = (row.metrics[name] for name in names)
    return [f"{measure.value:.3f} [{measure.low:.3f}, {measure.high:.3f}]" for measure in measures]


def _describe_split(chosen: Selection) -> str:
    """Write the model card's section on train, validation and test splits, and on test data that recurs in training."""
    audit = chosen.run.audit
    counts = [["", *audit.queries]]
    for name in ("queries", "records", "documents"):
        counts.append([name, *(f"{audit[name].get(split, 0):,}" for split in audit.queries)])
    leaks = "\n".join(f"- {_escape_text(name)}: {count:,}" for name, count in audit.leaks.items())
    leaks += f"\n\n{audit.note}" if audit.note else ""
    folds = ""
    if count := chosen.run.results.folds:
        folds = (
            f" The figures come from {count} models, one for each fold; each was tested on the queries of its fold, "
            "which it had not seen in training. The training counts are means over these models. The exported model "
            "was trained again on all queries, including those of the comparison below."
        )
    return (
        f"Split protocol: {_escape_text(audit.protocol)}. Choices were made on the validation split; the figures are "
        f"for the test split.{folds}\n\n{_format_table(counts)}\n\n"
        f"Leak audit (equal texts, ignoring case, spacing and Unicode form):\n\n{leaks}"
    )


def _describe_parity(card: Card) -> str:
    """Say how close the exported model's vectors and recall are to those that the run measured."""
    checked = card.parity
    return (
        f"When this export was written, {checked['texts']:,} texts were encoded again. The cosine to their measured "
        f"vectors is {checked['cosine_mean']:.5f} on average and at least {checked['cosine_least']:.5f}. With queries "
        f"encoded by this export, recall@10 of {checked['queries']:,} test queries is {checked['recall@10']:.4f}; with "
        f"the measured vectors, recall@10 is {checked['recall@10_before']:.4f}. {checked['agreement@10']:.1%} of the "
        "documents found are the same."
    )


def _list_limits(card: Card, row: Row) -> str:
    """Write the model card's list of the model's intended use and limits."""
    lines = [
        "- Use the model for search over texts like those of the measurement; the figures hold for that catalogue and "
        "its queries.",
        f"- The figures are from {row.queries:,} test queries; the intervals show how much they may vary with other "
        "queries.",
        "- Documents without a judgement count as not relevant, so the figures tend to be too low.",
        "- Other languages, other kinds of text and other tasks than search were not measured.",
        f"- Do not compare these vectors of {card.dimension} dimensions with vectors of another model or dimension.",
        "- The model repeats any bias in its training texts and judgements.",
    ]
    if card.weights != "float32":
        lines.append("- int8 arithmetic rounds differently on processors without int8 instructions.")
    return "\n".join(lines)


def _describe_licence(origin: Origin) -> str:
    """Name the licence of the base model, or say that nestvec does not know it."""
    if origin.licence:
        return (
            f"The base model {_escape_text(origin.name)} has the licence {origin.licence}. You decide the licence of "
            "what was trained on your data."
        )
    return (
        f"nestvec does not know the licence of the base model {_escape_text(origin.name)}: look it up before you pass "
        "this model on."
    )


def _format_table(rows: Sequence[Sequence[str]]) -> str:
    """Write a Markdown table; the first row is its header."""
    lines = ["| " + " | ".join(row) + " |" for row in rows]
    return "\n".join([lines[0], "|" + " --- |" * len(rows[0]), *lines[1:]])


def _escape_text(text: str) -> str:
    """Escape text so that Markdown and HTML show it literally, on one line."""
    plain = " ".join("".join(letter if letter.isprintable() else " " for letter in text).split())
    plain = plain.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return re.sub(r"([\\`*_\[\]|#!~])", r"\\\1", plain)
