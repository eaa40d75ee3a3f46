"""Opens the model that encodes an index's queries: an ONNX graph stored beside the index, or else PyTorch.

Importing PyTorch takes seconds, which is long for a command that searches once. Therefore building an index also writes
the model to `index/graphs/SYSTEM` as a float32 ONNX graph at full width, with `nestvec.json`. The graph is used only if
its files have the hashes in `nestvec.json`, and it was made from the model that the run measured. Otherwise PyTorch
encodes the queries. Searching never writes files.
"""

from __future__ import annotations

import importlib.util
import logging
from typing import TYPE_CHECKING

from nestvec.errors import InputError, NestvecError
from nestvec.files import replacing
from nestvec.models.base_encoder import ROUNDING
from nestvec.models.encoder import open_export
from nestvec.models.export_card import read_card
from nestvec.point import FULL, VectorFormat
from nestvec.runs.point_files import Selection
from nestvec.vectors.codecs import Float32

if TYPE_CHECKING:
    from pathlib import Path

    from nestvec.models.base_encoder import Encoder
    from nestvec.models.export_card import Card
    from nestvec.progress import Reporter
    from nestvec.runs.point_files import SystemFiles

_LOG = logging.getLogger(__name__)
RUNTIME, WEIGHTS = "onnx", "float32"
_WRITERS = ("torch", "sentence_transformers", "onnx", "onnxruntime", "tokenizers")  # needed to write and test a graph


def open_query_encoder(files: SystemFiles) -> Encoder:
    """Open the encoder for a system's queries at full width, in float32.

    The graph and PyTorch give the same vectors up to rounding (a cosine of at least 0.999999). Raises InputError if the
    model is damaged.
    """
    encoder = open_kept_graph(files)
    if encoder is None:
        from nestvec.models.torch_encoder import open_torch

        encoder = open_torch(files.model, files.width, WEIGHTS)
    _LOG.debug("queries of %s are encoded by %s", files.system, encoder.name)
    return encoder


def keep_graph(files: SystemFiles, reporter: Reporter) -> None:
    """Write a system's model as an ONNX graph beside the index, unless the graph exists.

    If the graph cannot be written, no error is raised, because PyTorch can encode the queries instead.
    """
    if _read_card(files) or not all(map(importlib.util.find_spec, _WRITERS)):
        return
    reporter.say(f"write the ONNX graph of {files.system}, so that searching does not need PyTorch")
    try:
        with replacing(_graph_folder(files)) as folder:
            folder.mkdir()
            _write_graph(folder, files)
    except (NestvecError, OSError) as error:  # OSError: the folder is read-only
        _LOG.debug("no graph of %s: %s", files.system, error)


def open_kept_graph(files: SystemFiles) -> Encoder | None:
    """Open the ONNX graph of a system beside the index; gives None if there is no usable graph or no ONNX Runtime."""
    card = _read_card(files)
    try:
        return None if card is None else _open_export(_graph_folder(files), card, files)
    except NestvecError as error:
        _LOG.debug("the graph of %s cannot be run: %s", files.system, error)
        return None


def _graph_folder(files: SystemFiles) -> Path:
    return files.run.folder.query_graph(files.system)


def _open_export(folder: Path, card: Card, files: SystemFiles) -> Encoder:
    return open_export(folder, card, files.width, RUNTIME, WEIGHTS, files.model.prompts)


def _read_card(files: SystemFiles) -> Card | None:
    """Read `nestvec.json` of a system's ONNX graph; None if the graph is missing, damaged or of another model."""
    folder = _graph_folder(files)
    try:
        card = read_card(folder)
    except NestvecError as error:  # a file was cut short, or changed
        _LOG.debug("no graph: %s", error)
        return None
    wanted = (RUNTIME, WEIGHTS, files.width, files.model.hashes)
    if card is None or (card.to, card.weights, card.dimension, card.model) != wanted:
        _LOG.debug("%s: holds no graph of the measured model", folder)
        return None
    return card


def _write_graph(folder: Path, files: SystemFiles) -> None:
    """Write the model's ONNX graph to an empty folder; raises InputError if graph and model give different vectors."""
    from nestvec.exporting.export_model import write_bare_export
    from nestvec.models.load import load_model
    from nestvec.models.prompts import reads_roles_apart

    model, path = load_model(files.model).to("cpu").eval(), files.model.path
    if reads_roles_apart(model):
        raise InputError(
            "encodes queries and documents with different modules",
            "a model with the same modules for both, because an ONNX graph can hold only one set",
            file=path,
        )
    at_full_width = Selection(files, VectorFormat(files.width, FULL), Float32(files.width))
    card = write_bare_export(folder, at_full_width, model, RUNTIME, WEIGHTS)
    if not _open_export(folder, card, files).agrees_with(model, ROUNDING):
        problem = "the ONNX graph of this model gives other vectors than PyTorch"
        raise InputError(problem, "the same vectors from both", file=path)
