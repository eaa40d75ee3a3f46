"""The encoder of an index's queries: the model's graph, kept beside the index, or else the model itself by PyTorch.

A command that searches once would spend seconds on importing PyTorch. So whoever builds an index leaves the model's
float32 graph in `index/graphs/SYSTEM`: an ONNX export at full width, with its card. It answers only while its files
hash to what its card states, and its card states the very model that the run was measured with. Searching writes
nothing: without such a graph, PyTorch answers.
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
_WRITERS = ("torch", "sentence_transformers", "onnx", "onnxruntime", "tokenizers")  # that write a graph, and try it


def open_query_encoder(files: SystemFiles) -> Encoder:
    """Open the encoder of a system's queries at full width, in float32; raises InputError where its model is damaged.

    Both encoders give the same vectors, but for rounding: a cosine of 0.999999 at the least.
    """
    encoder = open_kept_graph(files)
    if encoder is None:
        from nestvec.models.torch_encoder import open_torch

        encoder = open_torch(files.model, files.width, WEIGHTS)
    _LOG.debug("queries of %s are encoded by %s", files.system, encoder.name)
    return encoder


def keep_graph(files: SystemFiles, reporter: Reporter) -> None:
    """Write a system's graph beside the index, unless it is there, or this machine or the model has no way to.

    The index is whole without the graph, so nothing is raised.
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
    """Open the graph of a system that is kept; None where there is none, or ONNX Runtime is not installed."""
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
    """The card of the graph that is kept; None where it is not whole, or not of the measured model at full width."""
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
    """Write the graph into an empty folder; InputError where it gives other vectors than the model."""
    from nestvec.exporting.export_model import write_bare_export
    from nestvec.models.load import load_model
    from nestvec.models.prompts import reads_roles_apart

    model, path = load_model(files.model).to("cpu").eval(), files.model.path
    if reads_roles_apart(model):
        raise InputError(
            "sends queries and documents through different modules", "one path, as an ONNX graph has", file=path
        )
    at_full_width = Selection(files, VectorFormat(files.width, FULL), Float32(files.width))
    card = write_bare_export(folder, at_full_width, model, RUNTIME, WEIGHTS)
    if not _open_export(folder, card, files).agrees_with(model, ROUNDING):
        raise InputError("its ONNX graph gives other vectors than PyTorch", "the same vectors from both", file=path)
