"""Oracles: the model in evaluation, which drops nothing; a model whose own configuration has the probability."""

from __future__ import annotations

import pytest
import torch
from jobs import job_and_model, prepared, weights
from tiny_models import pooled
from tiny_mpnet import save_tiny_mpnet

from nestvec.models.find import find_model
from nestvec.models.load import load_model
from nestvec.training.dropout import set_dropout
from nestvec.training.train import train


def encode(model, training):
    torch.manual_seed(5)
    with torch.no_grad():
        features = model.train(training)(dict(model.preprocess(["claw hammer with a handle", "drill"])))
    return features["sentence_embedding"]


@pytest.mark.parametrize("kind", ["bert", "mpnet", "roberta", "distilbert", "xlnet", "t5", "gpt2", "qwen3", "llama"])
def test_dropout_is_what_was_asked_for_and_then_what_it_was(kind, tmp_path):
    model = load_model(find_model(str(pooled("mean", kind=kind)(tmp_path / kind))))
    still, own = encode(model, training=False), encode(model, training=True)
    with set_dropout(model, 0.0):
        torch.testing.assert_close(encode(model, training=True), still, rtol=1e-5, atol=1e-5)
    with set_dropout(model, 0.5):
        assert not torch.allclose(encode(model, training=True), own, atol=1e-3)
    with set_dropout(model, None):
        assert torch.equal(encode(model, training=True), own)
    assert torch.equal(encode(model, training=True), own)


@pytest.mark.parametrize("share", [0.0, 0.3])
def test_the_option_trains_as_a_configuration_with_that_dropout(share, tmp_path):
    trained = []
    for own, options in ((0.1, {"dropout": share}), (share, {})):
        path = save_tiny_mpnet(tmp_path / f"own-{own}", dropout=own, width=48)
        folder = tmp_path / f"run-{own}"
        folder.mkdir()
        job, model = job_and_model(prepared(folder, model=str(path), epochs=1, **options), "mnr")
        train(model, job, folder / "checkpoints")
        trained.append(weights(model))
    assert trained[0] == trained[1]
