"""Writes the Python code in an export's README that shows how to encode texts with the exported model."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from nestvec.models.export_card import Card

_BY_ROLE = ("encode_query", "encode_document")
_FEEDS = {"input_ids": "ids", "attention_mask": "attention_mask", "token_type_ids": "type_ids"}


def usage_code(card: Card, folder: str) -> str:
    """Write Python code that encodes texts with an exported model.

    Args:
        card: the content of the export's `nestvec.json`.
        folder: the path of the export's folder to write into the code.

    Returns:
        Code that defines `encode`, or for a model with prompts `encode_query` and `encode_document`, and calls them.
    """
    if card.to == "sentence-transformers":
        lines = [
            "from sentence_transformers import SentenceTransformer",
            "",
            f"model = SentenceTransformer({json.dumps(folder)})",
            *([f"{name} = model.{name}" for name in _BY_ROLE] if card.prompts else ["encode = model.encode"]),
        ]
    else:
        lines = _graph_lines(card, folder)
    return "\n".join([*lines, "", *_call_lines(card)])


def pip_requirements(card: Card) -> str:
    """Return the packages that the README's example code needs, as arguments of `pip install`."""
    runtimes = {"onnx": "onnxruntime tokenizers numpy", "openvino": "openvino tokenizers numpy"}
    return runtimes.get(card.to, "sentence-transformers")


def _graph_lines(card: Card, folder: str) -> list[str]:
    """Write the lines of example code that run an exported ONNX or OpenVINO graph without PyTorch."""
    path = json.dumps(folder)
    if card.to == "onnx":
        library = "import onnxruntime"
        opened = f'session = onnxruntime.InferenceSession({path} + "/model.onnx", providers=["CPUExecutionProvider"])'
        run = f'session.run(["{card.output}"], given)[0]'
    else:
        library = "import openvino"
        exact = '{"INFERENCE_PRECISION_HINT": "f32"}'
        opened = f'model = openvino.compile_model({path} + "/openvino_model.xml", "CPU", {exact})'
        run = f'model(given)["{card.output}"]'
    signature, texts = (
        ("texts", "list(texts)") if not card.prompts else ("texts, prompt", "[prompt + text for text in texts]")
    )
    feeds = [
        f'        "{name}": np.array([row.{_FEEDS[name]} for row in rows], dtype=np.int64),' for name in card.inputs
    ]
    return [
        "import numpy as np",
        library,
        "from tokenizers import Tokenizer",
        "",
        f'tokenizer = Tokenizer.from_file({path} + "/tokenizer.json")  # truncates and pads',
        opened,
        "",
        "",
        f"def encode({signature}):",
        f"    rows = tokenizer.encode_batch({texts})",
        "    given = {",
        *feeds,
        "    }",
        f"    return {run}",
        "",
        *_role_lines(card),
    ]


def _role_lines(card: Card) -> list[str]:
    """Write example functions that put the prompt before queries or documents; gives [] for a model without prompts."""
    if not card.prompts:
        return []
    lines = []
    for name, prompt in zip(_BY_ROLE, vars(card.prompts).values(), strict=True):
        lines += ["", f"def {name}(texts):", f"    return encode(texts, {json.dumps(prompt)})", ""]
    return lines


def _call_lines(card: Card) -> list[str]:
    """Write the last lines of the example code, which encode example texts."""
    if not card.prompts:
        return [f'vectors = encode(["claw hammer", "cordless drill"])  # (2, {card.dimension})']
    return [
        f'queries = encode_query(["claw hammer", "cordless drill"])  # (2, {card.dimension})',
        f'documents = encode_document(["Claw hammer, 16 oz.", "Cordless drill, 18 V"])  # (2, {card.dimension})',
        "scores = queries @ documents.T  # (2, 2) cosines",
    ]
