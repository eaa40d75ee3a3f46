"""Oracle: the processor: the same losses in float32, and the same vectors but for rounding. Skipped without a GPU."""

from __future__ import annotations

import contextlib

import numpy as np
import pytest
import torch
from jobs import job_and_model, prepared

from nestvec.models.find import find_model
from nestvec.models.prompts import DOCUMENT
from nestvec.models.torch_encoder import open_torch
from nestvec.training.token_passes import encode_tokens, tokenise_texts
from nestvec.training.train import train

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
TEXTS = [
    " ".join(["claw hammer", "deck screw 3 in", "wall paint white"][: 1 + row % 3] * (1 + row)) for row in range(40)
]
STEPS = 8


@contextlib.contextmanager
def without_gpu():
    """Let PyTorch say that there is none."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch.cuda, "is_available", lambda: False)
        yield


def cosines(a, b):
    return (a.astype(float) * b).sum(axis=1) / np.linalg.norm(a, axis=1) / np.linalg.norm(b, axis=1)


@pytest.mark.parametrize("system", ["mnr", "graded", "cosine-matryoshka"])
def test_losses_in_float32_are_the_processors(system, tmp_path):
    losses = {}
    for name, context in (("gpu", contextlib.nullcontext()), ("cpu", without_gpu())):
        folder = tmp_path / name
        folder.mkdir()
        with context:
            found = prepared(folder, model="all-MiniLM-L6-v2", dropout=0.0, epochs=1, codes="")
            job, model = job_and_model(found, system)
            model.to("cuda" if name == "gpu" else "cpu")
            losses[name] = train(model, job, folder / "checkpoints").losses
    assert losses["gpu"][:STEPS] == pytest.approx(losses["cpu"][:STEPS], rel=1e-3)


@pytest.mark.parametrize(("compute", "least"), [("float32", 0.9999), ("bfloat16", 0.995)])
def test_vectors_are_the_processors(compute, least):
    folder = find_model("all-MiniLM-L6-v2")
    encoder = open_torch(folder, None, compute)
    assert encoder._model.device.type == "cuda"
    found = encoder.encode(TEXTS, DOCUMENT)
    encoder = open_torch(folder, None, "float32")
    encoder._model.to("cpu")
    expected = encoder.encode(TEXTS, DOCUMENT)
    assert cosines(found, expected).min() >= least


@pytest.mark.parametrize(("compute", "least"), [("float32", 0.9999), ("bfloat16", 0.995)])
def test_vectors_of_a_validation_are_the_processors(compute, least):
    model = open_torch(find_model("all-MiniLM-L6-v2"), None, "float32")._model
    tokens, rows = tokenise_texts(model, [], TEXTS), np.arange(len(TEXTS))
    found = encode_tokens(model.to("cuda"), tokens, rows, compute)
    expected = encode_tokens(model.to("cpu"), tokens, rows, "float32")
    assert cosines(found, expected).min() >= least
