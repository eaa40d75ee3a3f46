"""Oracles: the values that were sent and computed, in their order; on a GPU, where there is one, the processor's."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from nestvec.models.device_copies import fetch_behind, send, send_inputs

OUTPUTS = [torch.arange(6.0).view(2, 3) + 10 * number for number in range(4)]
ON_GPU = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
DEVICES = ["cpu", pytest.param("cuda", marks=ON_GPU)]


def computed(device, seen):
    """Batches as an encoder computes them; `seen` is told of each."""
    for number, output in enumerate(OUTPUTS):
        seen.append(("computed", number))
        yield np.array([2 * number, 2 * number + 1]), number, output.to(device)


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("ahead", [None, 0, 1, 2, 9])
def test_every_output_is_fetched_once_and_in_order(ahead, device):
    found = list(fetch_behind(computed(device, []), ahead))
    assert [number for _, number, _ in found] == [0, 1, 2, 3]
    assert np.concatenate([rows for rows, _, _ in found]).tolist() == list(range(8))
    for (_, _, vectors), output in zip(found, OUTPUTS, strict=True):
        assert isinstance(vectors, np.ndarray) and np.array_equal(vectors, output.numpy())


@pytest.mark.parametrize(("ahead", "before_the_first"), [(None, 1), (0, 1), (1, 2), (2, 3), (9, 4)])
def test_the_next_outputs_are_asked_for_before_one_is_fetched(ahead, before_the_first):
    seen = []
    fetching = fetch_behind(computed("cpu", seen), ahead)
    next(fetching)
    assert len(seen) == before_the_first
    fetching.close()
    assert len(seen) == before_the_first


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("values", [np.arange(5), np.zeros((0, 3), dtype=np.float32), torch.arange(4) > 1])
def test_what_is_sent_arrives(values, device):
    sent = send(values, torch.device(device))
    assert sent.device.type == device
    assert np.array_equal(sent.cpu().numpy(), np.asarray(values))


def test_only_arrays_and_tensors_are_sent():
    given = {
        "input_ids": np.ones((2, 3), dtype=np.int64),
        "mask": torch.ones(2, 3),
        "prompt_length": 4,
        "task": "query",
    }
    sent = send_inputs(given, torch.device("meta"))
    assert {name: value.device.type for name, value in sent.items() if isinstance(value, torch.Tensor)} == {
        "input_ids": "meta",
        "mask": "meta",
    }
    assert (sent["prompt_length"], sent["task"]) == (4, "query")
