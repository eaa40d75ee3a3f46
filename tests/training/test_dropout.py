"""Oracles: the model in evaluation, which drops nothing; a model whose own configuration has the probability; the
binomial distribution; PyTorch's own dropout, whose gradient is its mask."""

from __future__ import annotations

import pytest
import torch
from jobs import job_and_model, prepared, weights
from tiny_models import pooled
from tiny_mpnet import save_tiny_mpnet
from torch import nn
from torch.nn import functional

from nestvec.models.find import find_model
from nestvec.models.load import load_model
from nestvec.training.dropout import QuickDropout, drop_quickly, has_dropout, set_dropout
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
    assert has_dropout(model) == (not torch.equal(still, own))
    with set_dropout(model, 0.0):
        assert not has_dropout(model)
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


@pytest.mark.parametrize("share", [0.1, 0.5, 1 / 65_536, 0.9])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_masks_drop_the_share_and_keep_the_mean(share, dtype):
    count = 4_000_001  # no multiple of what is drawn at a time
    torch.manual_seed(1)
    with QuickDropout():
        kept = functional.dropout(torch.ones(count, dtype=dtype), share)
    zeros = int((kept == 0).sum())
    assert abs(zeros - share * count) < 5 * (count * share * (1 - share)) ** 0.5 + 1e-5 * count  # and the rounding
    assert kept.unique().tolist() == pytest.approx([0, 1 / (1 - share)], rel=1e-2)
    neighbours = (kept[1:] == 0) & (kept[:-1] == 0)  # independent of each other
    assert float(neighbours.float().mean()) == pytest.approx(share**2, abs=2e-3)


def test_masks_follow_pytorchs_seed_and_are_their_own_gradient():
    given = torch.randn(30, 7).requires_grad_()
    drawn = []
    for seed in (3, 3, 4):
        torch.manual_seed(seed)
        with QuickDropout():
            drawn.append(nn.Dropout(0.4)(given))
            drawn.append(nn.Dropout(0.4)(given))
    assert torch.equal(drawn[0], drawn[2]) and torch.equal(drawn[1], drawn[3])
    assert not torch.equal(drawn[0], drawn[1]) and not torch.equal(drawn[0], drawn[4])
    drawn[0].sum().backward()
    torch.testing.assert_close(given.grad * given, drawn[0])


@pytest.mark.parametrize("share", [0.0, 1.0])
def test_nothing_and_everything_is_dropped_as_pytorch_does(share):
    given = torch.randn(9)
    with QuickDropout():
        assert torch.equal(functional.dropout(given, share), given if share == 0 else torch.zeros(9))
        assert functional.dropout(given, 0.3, training=False) is given
        assert functional.dropout(given, 0.3, inplace=True) is given


def test_numpy_draws_masks_for_a_processor_only():
    assert isinstance(drop_quickly(torch.device("cpu")), QuickDropout)
    for device in ("cuda", "meta"):
        assert not isinstance(drop_quickly(torch.device(device)), QuickDropout)


def test_no_mask_is_drawn_for_a_tensor_that_is_elsewhere():
    masks = QuickDropout()
    before = masks._generator.bit_generator.state
    with masks:
        assert functional.dropout(torch.ones(9, device="meta"), 0.5).device.type == "meta"
        assert str(masks._generator.bit_generator.state) == str(before)
        functional.dropout(torch.ones(9), 0.5)
    assert str(masks._generator.bit_generator.state) != str(before)
