"""Oracle: `SentenceTransformer.encode` on the same model, and plain numpy for prefix and length."""

from __future__ import annotations

import numpy as np
import onnxruntime
import pytest
import torch
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer.modules import Dense, Pooling
from tiny_mpnet import WIDTH

from nestvec.errors import InputError
from nestvec.models.find import find_model
from nestvec.models.load import load_model
from nestvec.models.onnx_graph import input_names, write_onnx
from nestvec.models.prompts import Prompts, apply_prompts
from nestvec.vectors.cut import prefix

BATCHES = (["x"], ["a b c d e f"] * 3, ["one two", "three " * 100, "f"] * 7, ["écrou M8 \U0001f529", "", "  saw "])


def run_graph(path, model, texts, prompt=None):
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    given = model.preprocess(texts, prompt=prompt)
    return session.run(["embedding"], {name: given[name].numpy() for name in input_names(model)})[0]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "dimension", "inputs"),
    [
        ("all-MiniLM-L6-v2", 48, ["input_ids", "token_type_ids", "attention_mask"]),
        ("tiny", WIDTH, ["input_ids", "attention_mask"]),
        ("tiny", 1, ["input_ids", "attention_mask"]),
    ],
)
def test_any_batch_gives_the_models_own_prefix(name, dimension, inputs, tiny, tmp_path):
    model = load_model(find_model(str(tiny) if name == "tiny" else name))
    before = model[0].auto_model.config._attn_implementation
    write_onnx(model, dimension, tmp_path / "model.onnx")
    assert model[0].auto_model.config._attn_implementation == before
    assert input_names(model) == inputs
    for texts in BATCHES:
        found, wanted = run_graph(tmp_path / "model.onnx", model, texts), prefix(model.encode(texts), dimension)
        assert found.shape == (len(texts), dimension) and found.dtype == np.float32
        assert np.abs(found - wanted).max() < 1e-5


def test_a_row_without_direction_stays_zero(tiny, tmp_path):
    modules = list(SentenceTransformer(str(tiny)).children())
    nothing = Dense(WIDTH, 8, bias=False, activation_function=None, init_weight=torch.zeros(8, WIDTH))
    model = SentenceTransformer(modules=[*modules[:2], nothing])
    write_onnx(model, 4, tmp_path / "model.onnx")
    assert (run_graph(tmp_path / "model.onnx", model, ["saw", "a longer text"]) == np.zeros((2, 4))).all()


def test_a_prompt_that_pooling_leaves_out_is_left_out(tiny, tmp_path):
    transformer = next(SentenceTransformer(str(tiny)).children())
    for include in (True, False):
        pooling = Pooling(WIDTH, include_prompt=include)
        model = SentenceTransformer(modules=[transformer, pooling], device="cpu")
        apply_prompts(model, Prompts("a b: ", "c d: "))  # of the same number of tokens
        write_onnx(model, 32, tmp_path / "model.onnx")
        texts = ["saw", "a rather longer text than that"]
        for library, prompt in ((model.encode_query, "a b: "), (model.encode_document, "c d: ")):
            assert run_graph(tmp_path / "model.onnx", model, texts, prompt) == pytest.approx(
                prefix(library(texts), 32), abs=1e-5
            )


def test_prompts_of_unlike_length_that_pooling_leaves_out_are_refused(tiny, tmp_path):
    transformer = next(SentenceTransformer(str(tiny)).children())
    model = SentenceTransformer(modules=[transformer, Pooling(WIDTH, include_prompt=False)], device="cpu")
    apply_prompts(model, Prompts("a b: ", ""))
    with pytest.raises(InputError, match="leaves out the prompt, whose length differs"):
        write_onnx(model, 32, tmp_path / "model.onnx")


@pytest.mark.parametrize("dimension", [0, WIDTH + 1])
def test_a_dimension_that_the_model_lacks_is_refused(dimension, tiny, tmp_path):
    with pytest.raises(InputError, match=f"no dimension {dimension}; expected a number from 1 to {WIDTH}"):
        write_onnx(load_model(find_model(str(tiny))), dimension, tmp_path / "model.onnx")
    assert not list(tmp_path.iterdir())
