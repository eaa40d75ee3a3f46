"""The model card, README.md in the form of the Hugging Face hub: what it is, how it was measured, where it ends.

No text of the user's data is in it, and names are escaped: they may hold anything.
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
    """Write the model card.

    Args:
        path: where to.
        chosen: what is delivered.
        card: what the export holds, with its parity.

    Raises:
        InputError: a file of the run is missing or damaged.
    """
    path.write_text(render_model_card(chosen, card), encoding="utf-8")


def render_model_card(chosen: Selection, card: Card) -> str:
    """Render the model card.

    Args:
        chosen: what is delivered.
        card: what the export holds, with its parity.

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
    """Render the YAML that the hub reads; strings as JSON, which is YAML."""
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
    """Say in one paragraph what the model is."""
    system, base = _escape_text(card.system), _escape_text(origin.name)
    making = f"fine-tuned from {base}" if origin.trained else f"{base} as it is"
    making += ", which was adapted to the catalogue's texts first" if origin.adapted else ""
    cut = "its full width" if card.dimension == card.full_dimension else f"of {card.full_dimension}"
    limit = f"It reads the first {card.max_length:,} tokens of a text." if card.max_length else ""
    if card.axes:
        cut = f"the first principal axes of the documents, {cut}"
    return (
        f"An embedding model for search: {system}, {making}, in the form of {card.to} with weights in "
        f"{card.weights}. It turns a text into {card.dimension} numbers ({cut}) of unit length; a dot product is the "
        f"cosine. `codec.safetensors` turns documents' vectors into {card.precision} codes as they were measured. "
        f"{limit}".rstrip()
    )


def _show_usage(card: Card) -> str:
    """Show code that encodes texts with the export."""
    return (
        f"`pip install {pip_requirements(card)}`, then, with the path of this folder:\n\n"
        f"```python\n{usage_code(card, 'PATH')}\n```\n\n"
        f"{_describe_prompts(card)}"
    )


def _describe_prompts(card: Card) -> str:
    """Say what goes before queries and documents."""
    if not card.prompts:
        return "Queries and documents are encoded alike."
    shown = (
        f"{_show_code(prompt)} goes before every {role}" if prompt else f"nothing goes before a {role}"
        for role, prompt in vars(card.prompts).items()
    )
    return f"`encode_query` is for queries and `encode_document` for documents: {' and '.join(shown)}."


def _show_code(text: str) -> str:
    """A text as a string in Python and as code in Markdown, whatever is in it."""
    quoted = json.dumps(text)
    fence = "`" * (1 + max(map(len, re.findall("`+", quoted)), default=0))
    return f"{fence}{quoted}{fence}"


def _quote_recommendation(chosen: Selection) -> str:
    """Quote what the run recommends, and say whether this export is it."""
    recommended, reason = chosen.run.recommendation.point, _escape_text(chosen.run.recommendation.reason)
    if recommended is None:
        return f"**The run says: do not ship.** {reason} This export was asked for by name all the same."
    if recommended.vectors.name == chosen.point.name:
        return f"This is what the run recommends. {reason}"
    return f"**This is not what the run recommends**, which is {_escape_text(recommended.vectors.name)}. {reason}"


def _tabulate_points(chosen: Selection) -> str:
    """Tabulate every point of the system, and the other systems at full width."""
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
        f"On {first.queries:,} test queries over {first.documents:,} documents, with 95 % intervals; the arrow "
        "marks this export's point. Queries are in float32, documents at the precision given."
    )
    return f"{caption}\n\n{_format_table(table)}"


def _format_metrics(row: Row, names: Sequence[str]) -> list[str]:
    """Write a row's metrics with their intervals."""
    measures = (row.metrics[name] for name in names)
    return [f"{measure.value:.3f} [{measure.low:.3f}, {measure.high:.3f}]" for measure in measures]


def _describe_split(chosen: Selection) -> str:
    """Say how the data was split, and what of the test is seen in training."""
    audit = chosen.run.audit
    counts = [["", *audit.queries]]
    for name in ("queries", "records", "documents"):
        counts.append([name, *(f"{audit[name].get(split, 0):,}" for split in audit.queries)])
    leaks = "\n".join(f"- {_escape_text(name)}: {count:,}" for name, count in audit.leaks.items())
    leaks += f"\n\n{audit.note}" if audit.note else ""
    folds = ""
    if count := chosen.run.results.folds:
        folds = (
            f" The figures are of {count} models, each asked the queries of its fold, which it had not seen; counts of "
            "training are their means. This model was trained once more, on all queries: it has seen those that the "
            "check at export asks."
        )
    return (
        f"Split protocol: {_escape_text(audit.protocol)}. Choices were made on validation, figures are of the test "
        f"split.{folds}\n\n{_format_table(counts)}\n\nLeak audit, by texts that say the same:\n\n{leaks}"
    )


def _describe_parity(card: Card) -> str:
    """Say what the check at export found."""
    checked = card.parity
    return (
        f"Checked on {checked['texts']:,} texts when it was written: cosine to the evaluated vectors "
        f"{checked['cosine_mean']:.5f} on average and {checked['cosine_least']:.5f} at the least. With queries encoded "
        f"by this export, recall@10 of {checked['queries']:,} test queries is {checked['recall@10']:.4f}; as they were "
        f"measured it is {checked['recall@10_before']:.4f}. {checked['agreement@10']:.1%} of the documents found are "
        "the same."
    )


def _list_limits(card: Card, row: Row) -> str:
    """List what the model is for and what it is not for."""
    lines = [
        "- For search over texts like those it was measured on: the figures hold for that catalogue and its queries.",
        f"- {row.queries:,} test queries were asked; intervals say how much other queries may differ.",
        "- A document that nobody judged counts as not relevant, so the figures are low rather than high.",
        "- Other languages, other kinds of text and other tasks than search were not measured.",
        f"- Vectors of another model or another dimension cannot be compared with these {card.dimension} numbers.",
        "- It repeats whatever bias its training texts and judgements have.",
    ]
    if card.weights != "float32":
        lines.append("- Its int8 arithmetic rounds differently on processors without the instructions for it.")
    return "\n".join(lines)


def _describe_licence(origin: Origin) -> str:
    """Say what is known of the licence."""
    if origin.licence:
        return (
            f"{_escape_text(origin.name)} is under {origin.licence}; what was trained on your data is yours to decide."
        )
    return f"The licence of {_escape_text(origin.name)} is not known here: look it up before you pass this on."


def _format_table(rows: Sequence[Sequence[str]]) -> str:
    """Write a table in Markdown; the first row is its head."""
    lines = ["| " + " | ".join(row) + " |" for row in rows]
    return "\n".join([lines[0], "|" + " --- |" * len(rows[0]), *lines[1:]])


def _escape_text(text: str) -> str:
    """Escape text so that Markdown and HTML show it as it is, on one line."""
    plain = " ".join("".join(letter if letter.isprintable() else " " for letter in text).split())
    plain = plain.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return re.sub(r"([\\`*_\[\]|#!~])", r"\\\1", plain)
