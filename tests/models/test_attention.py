"""Oracles: the library's own attention: plain products must give its vectors and gradients, in every architecture;
what `is_plain_faster` says that was measured."""

from __future__ import annotations

import pytest
import torch
from tiny_models import pooled

from nestvec.models.attention import is_plain_faster, use_plain_attention
from nestvec.models.find import find_model
from nestvec.models.load import load_model

KINDS = ("bert", "mpnet", "roberta", "distilbert", "electra", "albert", "modernbert", "xlnet", "t5", "qwen3", "llama",
         "gpt2")  # fmt: skip
TEXTS = ("hammer", "claw hammer with a handle", "drill, screw")


def vectors_and_gradients(model):
    model.zero_grad()
    vectors = model(dict(model.preprocess(list(TEXTS))))["sentence_embedding"]
    (vectors**3).sum().backward()
    gradients = [weights.grad.flatten() for weights in model.parameters() if weights.grad is not None]
    return vectors.detach(), torch.cat(gradients)


@pytest.mark.parametrize("kind", KINDS)
def test_plain_attention_changes_neither_vectors_nor_gradients_nor_the_model(kind, tmp_path):
    model = load_model(find_model(str(pooled("mean", kind=kind)(tmp_path / kind)))).eval()
    config = model[0].auto_model.config
    usual = config._attn_implementation
    expected = vectors_and_gradients(model)
    with use_plain_attention(model):
        assert config._attn_implementation == "eager"
        found = vectors_and_gradients(model)
    assert config._attn_implementation == usual
    for given, wanted in zip(found, expected, strict=True):
        torch.testing.assert_close(given, wanted, rtol=1e-4, atol=1e-4 * float(wanted.abs().max()))


@pytest.mark.parametrize("device", ["cuda", "meta"])
@pytest.mark.parametrize("tokens", [1, 32, 512, 4096])
@pytest.mark.parametrize("bfloat16", [False, True])
@pytest.mark.parametrize("dropout", [False, True])
def test_off_the_processor_the_model_keeps_pytorchs_own_attention(device, tokens, bfloat16, dropout):
    assert not is_plain_faster(tokens, torch.device(device).type, bfloat16=bfloat16, dropout=dropout)


@pytest.mark.parametrize(
    ("tokens", "bfloat16", "dropout", "plain"),
    [(32, False, False, True), (33, False, False, False), (33, True, False, True), (512, False, True, True),
     (513, True, True, False)],
)  # fmt: skip
def test_on_a_processor_it_depends_on_tokens_numbers_and_dropout(tokens, bfloat16, dropout, plain):
    assert is_plain_faster(tokens, "cpu", bfloat16=bfloat16, dropout=dropout) == plain
