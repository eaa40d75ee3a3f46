"""Write a model as one ONNX graph: tokens in, final vectors out."""

from __future__ import annotations

import contextlib
import warnings
from typing import TYPE_CHECKING, Any

from nestvec.errors import InputError, MissingExtraError
from nestvec.models.attention import use_plain_attention
from nestvec.models.base_encoder import explain_unknown_tokens
from nestvec.models.load import measure_width, quiet_loggers
from nestvec.models.prompts import ROLES, count_excluded_tokens, model_prompts

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import torch
    from sentence_transformers import SentenceTransformer

OUTPUT = "embedding"
_OPSET = 17  # ONNX Runtime reads it since 1.12, OpenVINO since 2022.2
_EXAMPLE = ["a hammer with a long wooden handle", "nails"]  # of different lengths, so that padding is traced, too
_AXES = {0: "batch", 1: "tokens"}


def write_onnx(model: SentenceTransformer, dimension: int, path: Path) -> None:
    """Write a model's modules, the truncation and the normalisation as one graph.

    The inputs are those that the tokenizer gives the model, int64 (batch, tokens), both of any size. The output is
    named `embedding`: float32 (batch, dimension), rows of unit length. A row whose prefix is all zero stays zero.

    Args:
        model: a sentence-transformers model with one vector per text; it is moved to the CPU.
        dimension: dimension of the output, 1 … the model's width.
        path: file to write; weights beyond 2 GB go to files beside it.

    Raises:
        InputError: the dimension is out of range, or a module cannot be written as a graph.
        MissingExtraError: onnx is not installed.
    """
    import torch

    try:
        import onnx  # noqa: F401 - PyTorch's exporter uses it
    except ImportError as error:
        raise MissingExtraError("onnx", "onnx") from error
    width = measure_width(model)
    if not 1 <= dimension <= width:
        raise InputError(f"there is no dimension {dimension}", f"a number from 1 to {width}, the model's width")
    model.to("cpu").eval()
    if len({count_excluded_tokens(model, role) for role in ROLES}) > 1:
        problem = "its pooling leaves out the prompt, whose length differs between queries and documents"
        wanted = "prompts with the same number of tokens, or --backend torch, which runs every model"
        raise InputError(f"the model cannot be written as ONNX ({problem})", wanted)
    tensors, constants = _example_features(model)
    names = list(tensors)
    graph = _join_modules(model, names, constants, dimension)
    axes = {**{name: _AXES for name in names}, OUTPUT: {0: "batch"}}
    with use_plain_attention(model), _quiet_exporter(), torch.no_grad():
        try:
            with explain_unknown_tokens():
                torch.onnx.export(
                    graph, tuple(tensors.values()), str(path), dynamo=False, opset_version=_OPSET,
                    input_names=names, output_names=[OUTPUT], dynamic_axes=axes,
                )  # fmt: skip
        except (OSError, InputError):
            raise  # the caller reports errors of the disk
        except Exception as error:  # the exporter raises many classes of errors
            reason = str(error).strip().splitlines() or [type(error).__name__]
            wanted = "modules that PyTorch can export to ONNX"
            raise InputError(f"the model cannot be written as ONNX ({reason[0]})", wanted) from error


def input_names(model: SentenceTransformer) -> list[str]:
    """List the names of the graph's inputs in order: the inputs that the tokenizer makes for the model."""
    return list(_example_features(model)[0])


def _example_features(model: SentenceTransformer) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
    """Make the model's inputs for some example texts: tensors by name, and values that are the same for all texts."""
    import torch

    features = model.preprocess(_EXAMPLE, prompt=model_prompts(model).document or None)
    tensors = {name: value for name, value in features.items() if isinstance(value, torch.Tensor)}
    odd = [name for name, value in tensors.items() if value.ndim != 2 or value.dtype != torch.int64]
    if odd or "input_ids" not in tensors:
        raise InputError(f"the model takes the inputs {', '.join(odd or features)}", "a model that reads token ids")
    return tensors, {name: value for name, value in features.items() if name not in tensors}


def _join_modules(
    model: SentenceTransformer, names: list[str], constants: dict[str, Any], dimension: int
) -> torch.nn.Module:
    """Make one module that runs the model's modules, then truncates and normalises like `vectors.cut.prefix`."""
    import torch

    class Graph(torch.nn.Module):
        """A module that runs all modules of a model in turn; takes its inputs by position, as an ONNX graph does."""

        def __init__(self) -> None:
            super().__init__()
            self.parts = torch.nn.ModuleList(model.children())

        def forward(self, *inputs: torch.Tensor) -> torch.Tensor:
            """Compute vectors, (batch, dimension), from inputs of shape (batch, tokens)."""
            features: dict[str, Any] = {**dict(zip(names, inputs, strict=True)), **constants}
            for part in self.parts:
                features = part(features)
            cut = features["sentence_embedding"][:, :dimension].to(torch.float32)
            length = torch.linalg.vector_norm(cut, dim=1, keepdim=True)
            scaled: torch.Tensor = cut / torch.where(length > 0, length, torch.ones_like(length))
            return scaled

    return Graph().eval()


@contextlib.contextmanager
def _quiet_exporter() -> Iterator[None]:
    """Hide the exporter's warnings about itself, and about branches that do not depend on the text."""
    import torch

    with quiet_loggers("torch.onnx"), warnings.catch_warnings():
        warnings.filterwarnings("ignore", category=DeprecationWarning)  # this exporter needs no onnxscript
        warnings.filterwarnings("ignore", category=torch.jit.TracerWarning)  # type: ignore[attr-defined]
        warnings.filterwarnings("ignore", category=UserWarning, message="Exporting aten::index")
        warnings.filterwarnings("ignore", category=UserWarning, module=r"torch\.onnx")
        yield
