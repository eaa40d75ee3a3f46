"""How each export is used, as code that runs as it stands."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from nestvec.models.export_card import Card

_FEEDS = {"input_ids": "ids", "attention_mask": "attention_mask", "token_type_ids": "type_ids"}


def snippet(card: Card, folder: str) -> str:
    """Lines of Python that define `encode` for the export in a folder, named as the code should, and call it."""
    if card.to == "sentence-transformers":
        lines = [
            "from sentence_transformers import SentenceTransformer",
            "",
            f"model = SentenceTransformer({json.dumps(folder)})",
            "encode = model.encode",
        ]
    else:
        lines = _graph(card, folder)
    return "\n".join([*lines, "", f'vectors = encode(["claw hammer", "cordless drill"])  # (2, {card.dimension})'])


def installed(card: Card) -> str:
    """What the snippet needs, as pip names it."""
    runtimes = {"onnx": "onnxruntime tokenizers numpy", "openvino": "openvino tokenizers numpy"}
    return runtimes.get(card.to, "sentence-transformers")


def _graph(card: Card, folder: str) -> list[str]:
    """The same for a graph, which needs no PyTorch."""
    place = json.dumps(folder)
    if card.to == "onnx":
        library = "import onnxruntime"
        opened = f'session = onnxruntime.InferenceSession({place} + "/model.onnx", providers=["CPUExecutionProvider"])'
        run = f'session.run(["{card.output}"], given)[0]'
    else:
        library = "import openvino"
        exact = '{"INFERENCE_PRECISION_HINT": "f32"}'
        opened = f'model = openvino.compile_model({place} + "/openvino_model.xml", "CPU", {exact})'
        run = f'model(given)["{card.output}"]'
    texts = f"[{json.dumps(card.prompt)} + text for text in texts]" if card.prompt else "list(texts)"
    feeds = [
        f'        "{name}": np.array([row.{_FEEDS[name]} for row in rows], dtype=np.int64),' for name in card.inputs
    ]
    return [
        "import numpy as np",
        library,
        "from tokenizers import Tokenizer",
        "",
        f'tokenizer = Tokenizer.from_file({place} + "/tokenizer.json")  # cuts and pads by itself',
        opened,
        "",
        "",
        "def encode(texts):",
        f"    rows = tokenizer.encode_batch({texts})",
        "    given = {",
        *feeds,
        "    }",
        f"    return {run}",
        "",
    ]
