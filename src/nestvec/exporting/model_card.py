"""The model card, README.md in the form of the Hugging Face hub: what it is, how it was measured, where it ends.

No text of the user's data is in it, and names are escaped: they may hold anything.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

from nestvec.exporting.model_origin import find_origin
from nestvec.exporting.snippets import installed, snippet
from nestvec.point import PLAIN

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from nestvec.exporting.model_origin import Origin
    from nestvec.models.export_card import Card
    from nestvec.runs.schema import Row
    from nestvec.runs.selection import Selection

README = "README.md"
_SHOWN = ("recall@10", "mrr@10", "ndcg@10")
_LIBRARIES = {"sentence-transformers": "sentence-transformers", "onnx": "onnx", "openvino": "openvino"}


def write_readme(path: Path, chosen: Selection, card: Card) -> None:
    """Write the model card; raises InputError where a file of the run is missing or damaged."""
    path.write_text(readme(chosen, card), encoding="utf-8")


def readme(chosen: Selection, card: Card) -> str:
    """The model card's Markdown with a YAML header; raises InputError where a file of the run is missing or damaged."""
    origin = find_origin(chosen)
    here = chosen.run.points[chosen.point.name]
    parts = [
        _header(card, origin, here),
        f"# {_escaped(card.system)}, {card.dimension} dimensions",
        _what(card, origin),
        "## How to use it",
        _use(card),
        "## Is it worth shipping?",
        _advice(chosen),
        "## What was measured",
        _measured(chosen),
        "## Data and split",
        _data(chosen),
        "## Agreement of this export with what was measured",
        _parity(card),
        "## Intended use and limits",
        _limits(card, here),
        "## Licence",
        _licence(origin),
    ]
    return "\n\n".join(parts) + "\n"


def _header(card: Card, origin: Origin, here: Row) -> str:
    """The YAML that the hub reads; strings as JSON, which is YAML."""
    metrics = [
        f"      - {{type: {json.dumps(name)}, value: {here.metrics[name].value:.4f}}}"
        for name in _SHOWN
        if name in here.metrics
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


def _what(card: Card, origin: Origin) -> str:
    """One paragraph on what this is."""
    made = f"fine-tuned from {_escaped(origin.name)}" if origin.trained else f"{_escaped(origin.name)} as it is"
    cut = "its full width" if card.dimension == card.full_dimension else f"of {card.full_dimension}"
    limit = f"It reads the first {card.max_length:,} tokens of a text." if card.max_length else ""
    return (
        f"An embedding model for search: {_escaped(card.system)}, {made}, in the form of {card.to} with weights in "
        f"{card.weights}. It turns a text into {card.dimension} numbers ({cut}) of unit length; a dot product is the "
        f"cosine. `codec.safetensors` turns documents' vectors into {card.precision} codes as they were measured. "
        f"{limit}".rstrip()
    )


def _use(card: Card) -> str:
    return (
        f"`pip install {installed(card)}`, then, with the path of this folder:\n\n"
        f"```python\n{snippet(card, 'PATH')}\n```\n\n"
        "Queries and documents are encoded alike."
    )


def _advice(chosen: Selection) -> str:
    """What the run recommends, and whether this is it."""
    recommended, told = chosen.run.recommendation.point, _escaped(chosen.run.recommendation.reason)
    if recommended is None:
        return f"**The run says: do not ship.** {told} This export was asked for by name all the same."
    if recommended.name == chosen.point.name:
        return f"This is what the run recommends. {told}"
    return f"**This is not what the run recommends**, which is {_escaped(recommended.name)}. {told}"


def _measured(chosen: Selection) -> str:
    """The system's every point, and the others at full width."""
    widest = {point.name for point in chosen.run.full_width.values()}
    rows = [
        row
        for row in chosen.run.points.values()
        if row.kind == PLAIN and (row.system == chosen.point.system or row.name in widest)
    ]
    shown = [name for name in _SHOWN if all(name in row.metrics for row in rows)]
    table = [["", "system", "dimension", "precision", "bytes", *shown]]
    for row in rows:
        this = "→" if row.name == chosen.point.name else ""
        cells = [_escaped(row.system), row.dimension, row.precision, row.bytes_per_vector]
        table.append([this, *("" if value is None else str(value) for value in cells), *_figures(row, shown)])
    first = rows[0]
    told = (
        f"On {first.queries:,} test queries over {first.documents:,} documents, with 95 % intervals; the arrow "
        "marks this export's point. Queries are in float32, documents at the precision given."
    )
    return f"{told}\n\n{_table(table)}"


def _figures(row: Row, names: Sequence[str]) -> list[str]:
    measures = (row.metrics[name] for name in names)
    return [f"{each.value:.3f} [{each.low:.3f}, {each.high:.3f}]" for each in measures]


def _data(chosen: Selection) -> str:
    """How the data was split, and what of the test is seen in training."""
    audit = chosen.run.audit
    counts = [["", *audit.queries]]
    for name in ("queries", "records", "documents"):
        counts.append([name, *(f"{audit[name].get(split, 0):,}" for split in audit.queries)])
    leaks = "\n".join(f"- {_escaped(name)}: {count:,}" for name, count in audit.leaks.items())
    return (
        f"Split protocol: {_escaped(audit.protocol)}. Choices were made on validation, figures are of the test "
        f"split.\n\n{_table(counts)}\n\nLeak audit, by texts that say the same:\n\n{leaks}"
    )


def _parity(card: Card) -> str:
    found = card.parity
    return (
        f"Checked on {found['texts']:,} texts when it was written: cosine to the evaluated vectors "
        f"{found['cosine_mean']:.5f} on average and {found['cosine_least']:.5f} at the least. With queries encoded by "
        f"this export, recall@10 of {found['queries']:,} test queries is {found['recall@10']:.4f}; as they were "
        f"measured it is {found['recall@10_before']:.4f}. {found['agreement@10']:.1%} of the documents found are the "
        "same."
    )


def _limits(card: Card, here: Row) -> str:
    lines = [
        "- For search over texts like those it was measured on: the figures hold for that catalogue and its queries.",
        f"- {here.queries:,} test queries were asked; intervals say how much other queries may differ.",
        "- A document that nobody judged counts as not relevant, so the figures are low rather than high.",
        "- Other languages, other kinds of text and other tasks than search were not measured.",
        f"- Vectors of another model or another dimension cannot be compared with these {card.dimension} numbers.",
        "- It repeats whatever bias its training texts and judgements have.",
    ]
    if card.weights != "float32":
        lines.append("- Its int8 arithmetic rounds differently on processors without the instructions for it.")
    return "\n".join(lines)


def _licence(origin: Origin) -> str:
    if origin.licence:
        return f"{_escaped(origin.name)} is under {origin.licence}; what was trained on your data is yours to decide."
    return f"The licence of {_escaped(origin.name)} is not known here: look it up before you pass this on."


def _table(rows: Sequence[Sequence[str]]) -> str:
    """Markdown, the first row being the head."""
    lines = ["| " + " | ".join(row) + " |" for row in rows]
    return "\n".join([lines[0], "|" + " --- |" * len(rows[0]), *lines[1:]])


def _escaped(text: str) -> str:
    """Text that Markdown and HTML show as it is, on one line."""
    plain = " ".join("".join(letter if letter.isprintable() else " " for letter in text).split())
    plain = plain.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return re.sub(r"([\\`*_\[\]|#!~])", r"\\\1", plain)
