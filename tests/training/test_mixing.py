"""Oracles: the weights that went in, bit for bit; means of weights by hand."""

from __future__ import annotations

import pytest
import torch

from nestvec.models.find import find_model
from nestvec.models.load import load_model
from nestvec.training.mixing import mix_weights

MATRIX = "0.model.encoder.layer.2.attention.self.query.weight"


@pytest.fixture(scope="module")
def start():
    return load_model(find_model("all-MiniLM-L6-v2")).state_dict()


@pytest.fixture(scope="module")
def tuned(start):
    return {name: 1.1 * weights + 0.01 for name, weights in start.items()}


@pytest.fixture(scope="module")
def loaded():
    return load_model(find_model("all-MiniLM-L6-v2"))


@pytest.fixture
def model(loaded, tuned):
    loaded.load_state_dict(tuned)
    return loaded


class Scores:
    """A validation that knows how much of the tuned weights it sees, and what each share is worth."""

    def __init__(self, start, tuned, worth):
        self.start, self.tuned, self.worth, self.seen = start[MATRIX], tuned[MATRIX], worth, []

    @torch.no_grad()
    def __call__(self, model):
        way = self.tuned - self.start
        share = float(((model.get_parameter(MATRIX) - self.start) * way).sum() / (way * way).sum())
        self.seen.append(round(share, 3))
        return {"recall": self.worth[self.seen[-1]], "recall_error": 0.0, "ndcg": 1 - self.worth[self.seen[-1]]}


def same(model, weights):
    found = model.state_dict()
    return all(torch.equal(found[name], weights[name]) for name in weights)


@pytest.mark.parametrize("best", [0.0, 1.0])
def test_the_ends_are_the_weights_themselves(model, start, tuned, best):
    worth = {share: 0.9 if share == best else 0.5 for share in (1.0, 0.75, 0.0)}
    scores = Scores(start, tuned, worth)
    assert mix_weights(model, start, scores, (1.0, 0.75, 0.0)) == best
    assert scores.seen == [1.0, 0.75, 0.0]
    assert same(model, tuned if best else start)
    assert not same(model, start if best else tuned)


def test_the_best_mixture_is_left_in_the_model(model, start, tuned):
    assert mix_weights(model, start, Scores(start, tuned, {1.0: 0.5, 0.75: 0.9, 0.25: 0.7}), (1.0, 0.75, 0.25)) == 0.75
    for name, weights in model.state_dict().items():
        assert torch.allclose(weights, 0.25 * start[name] + 0.75 * tuned[name], atol=1e-6)


@pytest.mark.parametrize("shares", [(0.5, 1.0), (1.0, 0.5)])
def test_the_first_of_equally_good_ones_is_taken(model, start, tuned, shares):
    assert mix_weights(model, start, Scores(start, tuned, {1.0: 0.5, 0.5: 0.5}), shares) == shares[0]


@pytest.mark.parametrize("shares", [(), (1.0,)])
def test_nothing_to_choose_from_changes_nothing(model, start, tuned, shares):
    scores = Scores(start, tuned, {})
    assert mix_weights(model, start, scores, shares) == 1.0
    assert scores.seen == []
    assert same(model, tuned)


def test_nothing_to_choose_by_changes_nothing(model, start, tuned):
    assert mix_weights(model, start, None, (0.5, 0.0)) == 1.0
    assert same(model, tuned)


def test_what_is_no_floating_point_number_stays():
    model = torch.nn.BatchNorm1d(3)
    start = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    model.num_batches_tracked += 7
    model.bias.data += 1
    assert mix_weights(model, start, lambda _: {"recall": 0.5, "recall_error": 0.0}, (0.0,)) == 0.0
    assert int(model.num_batches_tracked) == 7
    assert torch.equal(model.bias, start["bias"])
