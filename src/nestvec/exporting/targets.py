"""Writes a model for sentence-transformers, ONNX or OpenVINO so that it gives the vectors that the run measured."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from nestvec.errors import InputError, NestvecError
from nestvec.models.export_card import MODEL_FILES
from nestvec.models.load import measure_width, save_model
from nestvec.models.model_files import CARD
from nestvec.models.onnx_graph import write_onnx
from nestvec.models.quantise import TEXTS, quantise_onnx, quantise_onnx_dynamic, quantise_openvino, write_openvino
from nestvec.models.token_batches import READER_NEEDS, make_reader, prepare_tokenizer

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from sentence_transformers import SentenceTransformer

    from nestvec.models.export_card import Card
    from nestvec.runs.point_files import Selection
    from nestvec.vectors.principal_axes import Axes


def write_model(folder: Path, model: SentenceTransformer, chosen: Selection, card: Card) -> None:
    """Write a model to an empty folder, for the library that `card.to` names; may modify the model in memory.

    Raises InputError if the library cannot run this model or the run has no documents to calibrate int8 weights on, and
    NestvecError if the disk is full.
    """
    if chosen.codec.axes is not None:
        model = _turn_to_axes(model, chosen.codec.axes)
    if card.to == "sentence-transformers":
        _write_sentence_transformers(folder, model, card)
        return
    _write_tokenizer(folder, model, card)
    target = folder / MODEL_FILES[card.to][0]
    if (card.to, card.weights) == ("onnx", "float32"):
        write_onnx(model, card.dimension, target)
        return
    feeds = _make_feeds(model, chosen, card) if card.weights == "int8" else []
    with tempfile.TemporaryDirectory(dir=folder) as temporary:
        source = Path(temporary) / "float32.onnx"
        write_onnx(model, card.dimension, source)
        try:
            _convert_graph(source, target, card, feeds)
        except (OSError, NestvecError):
            raise
        except Exception as error:  # C++ libraries raise the same errors for a full disk as for any other fault
            reason = (str(error).strip().splitlines() or [type(error).__name__])[-1]
            raise NestvecError(f"{target.name} cannot be written ({reason[:200]})") from error


def _convert_graph(source: Path, target: Path, card: Card, feeds: list[dict[str, NDArray[np.int64]]]) -> None:
    """Convert a float32 ONNX graph to OpenVINO or to int8 weights, as the card of the export says."""
    if card.to == "openvino":
        if feeds:
            quantise_openvino(source, target, feeds)
        else:
            write_openvino(source, target)
    elif feeds:
        quantise_onnx(source, target, feeds)
    else:
        quantise_onnx_dynamic(source, target)


def _write_sentence_transformers(folder: Path, model: SentenceTransformer, card: Card) -> None:
    """Write a sentence-transformers model whose own modules truncate vectors and scale them to unit length.

    The library truncates to `truncate_dim` after all modules, and does not normalise again unless the caller asks.
    Therefore two modules are added: an exact product with the first columns of the identity matrix, and Normalize.
    `truncate_dim` is also stored; it documents the dimension and has no further effect.
    """
    save_model(_with_modules(model, _cut_modules(model, card.dimension), card.dimension), folder, {})
    (folder / CARD).unlink()


def _turn_to_axes(model: SentenceTransformer, axes: Axes) -> SentenceTransformer:
    """Return a copy of the model with added modules that project its vectors onto the documents' principal axes."""
    import torch
    from sentence_transformers.sentence_transformer.modules import Dense, Normalize

    full, kept = axes.matrix.shape
    weight, bias = torch.from_numpy(axes.matrix.T.copy()), torch.from_numpy(-axes.shift)
    turn = Dense(full, kept, activation_function=None, init_weight=weight, init_bias=bias)
    return _with_modules(model, [*_cut_modules(model, full), turn.to(model.device), Normalize()], kept)


def _cut_modules(model: SentenceTransformer, dimension: int) -> list[Any]:
    """Return the model's modules and the modules to add, which truncate vectors and scale them to unit length."""
    import torch
    from sentence_transformers.sentence_transformer.modules import Dense, Normalize

    modules: list[Any] = list(model.children())
    with model.truncate_embeddings(None):
        width = measure_width(model)
    if dimension < width:
        columns = torch.eye(dimension, width)
        cut = Dense(width, dimension, bias=False, activation_function=None, init_weight=columns)
        return [*modules, cut.to(model.device), Normalize()]
    return modules if isinstance(modules[-1], Normalize) else [*modules, Normalize()]


def _with_modules(model: SentenceTransformer, modules: list[Any], dimension: int) -> SentenceTransformer:
    """Make a sentence-transformers model of these modules, with the prompts and settings of `model`."""
    from sentence_transformers import SentenceTransformer

    return SentenceTransformer(
        modules=modules, prompts={name: text or "" for name, text in model.prompts.items()},
        default_prompt_name=model.default_prompt_name,
        similarity_fn_name=model.similarity_fn_name, truncate_dim=dimension, device=str(model.device),
    )  # fmt: skip


def _write_tokenizer(folder: Path, model: SentenceTransformer, card: Card) -> None:
    """Write the model's `config.json` and its tokenizer, whose `tokenizer.json` sets truncation and padding."""
    from tokenizers import Tokenizer

    if make_reader(model, card.inputs) is None:
        wanted = f"{READER_NEEDS}; or --to sentence-transformers"
        raise InputError(f"--to {card.to} cannot read text for {card.base}", wanted)
    tokenizer: Any = model.tokenizer
    tokenizer.save_pretrained(str(folder))
    transformer: Any = model[0].auto_model
    transformer.config.save_pretrained(str(folder))
    own = prepare_tokenizer(Tokenizer.from_str(tokenizer.backend_tokenizer.to_str()), card.max_length)
    own.enable_padding(pad_id=card.pad_id, pad_token=tokenizer.pad_token, pad_type_id=tokenizer.pad_token_type_id)
    (folder / "tokenizer.json").write_text(own.to_str(pretty=True), encoding="utf-8")


def calibration_texts(chosen: Selection) -> list[str]:
    """Draw the training documents on which int8 weights are calibrated; raises InputError if there are none.

    At most `TEXTS` documents are drawn, the same at every call. In a run with folds the exported model was trained on
    all documents, so the documents are drawn from all of them.
    """
    path, is_folded = chosen.run.folder.path("records"), chosen.run.results.folds > 0
    table = chosen.run.read_records(["document"], None if is_folded else [("split", "==", "train")])
    texts = sorted(set(table["document"].to_pylist()))
    if not texts:
        problem = "has no training documents, on which int8 weights are calibrated"
        raise InputError(problem, "--weights float32, or with --to onnx int8-dynamic", file=path)
    drawn = np.random.default_rng(0).choice(len(texts), min(TEXTS, len(texts)), replace=False)
    return [texts[row] for row in drawn.tolist()]


def _make_feeds(model: SentenceTransformer, chosen: Selection, card: Card) -> list[dict[str, NDArray[np.int64]]]:
    """Tokenise the texts on which int8 weights are calibrated, one text in a batch, so that no text is padded."""
    reader = make_reader(model, card.inputs)
    texts = calibration_texts(chosen) if reader else []  # `_write_tokenizer` has refused a model without a reader
    prompt = card.document_prompt
    return [batch.inputs for text in texts for batch in reader.make_batches([text], 1, prompt)] if reader else []
