"""Texts of many requests in one pass.

Oracle: an encoder whose vector of a text is the number that the text says, so that any mix-up shows.
"""

from __future__ import annotations

import asyncio
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from nestvec.serving.batching import Batcher, Encoded
from nestvec.serving.capacity import Capacity
from nestvec.serving.failures import Failure, too_busy
from nestvec.serving.prometheus_meters import Meters
from nestvec.serving.serving_options import ServingOptions

BATCH = 32


class Numbers:
    """Encodes numbers; the passes of a list that is given take longer than later ones."""

    def __init__(self, slow=()):
        self.passes, self._slow = [], list(slow)

    def __call__(self, texts):
        self.passes.append(texts)
        time.sleep(0.1 if len(self.passes) in self._slow else 0.001)
        if "broken" in texts:
            raise ValueError("broken")
        numbers = np.array([[float(text)] for text in texts], dtype=np.float32)
        return Encoded(numbers, np.array([int(text) for text in texts]))


def batched(encode, work, threads=2):
    """What `work` gives with a batcher that runs."""

    async def whole():
        with ThreadPoolExecutor(threads) as pool:
            batcher = Batcher("numbers", encode, pool, ServingOptions(batch=BATCH), Meters())
            running = [asyncio.create_task(batcher.run()) for _ in range(threads)]
            try:
                return await asyncio.wait_for(work(batcher), 30)
            finally:
                for task in running:
                    task.cancel()

    return asyncio.run(whole())


def test_passes_that_overtake_each_other_change_no_order():
    encode = Numbers(slow=(1, 3))
    wanted = [list(range(start, start + 100)) for start in range(0, 500, 100)]

    async def work(batcher):
        return await asyncio.gather(*(batcher.encode([str(each) for each in part]) for part in wanted))

    for found, part in zip(batched(encode, work), wanted, strict=True):
        assert found.vectors[:, 0].tolist() == part == found.tokens.tolist()
    assert max(map(len, encode.passes)) == BATCH  # of one request only so many, of several as many as fit


def test_a_long_request_does_not_hold_up_a_short_one():
    encode = Numbers()

    async def work(batcher):
        long = asyncio.create_task(batcher.encode([str(each) for each in range(3200)]))
        await asyncio.sleep(0.01)
        await batcher.encode(["7"])
        return long.done()

    assert batched(encode, work, threads=1) is False


def test_a_text_that_comes_twice_is_encoded_once():
    encode = Numbers()

    async def work(batcher):
        return await asyncio.gather(*(batcher.encode(["5", "6", "5"]) for _ in range(4)))

    assert all(found.tokens.tolist() == [5, 6, 5] for found in batched(encode, work))
    assert encode.passes == [["5", "6"]]


def test_a_pass_that_fails_fails_for_those_in_it():
    async def work(batcher):
        with pytest.raises(ValueError, match="broken"):
            await batcher.encode(["broken"])
        return (await batcher.encode(["3"])).tokens.tolist()

    assert batched(Numbers(), work) == [3]


def test_nobody_works_for_whoever_left():
    encode = Numbers(slow=(1,))

    async def work(batcher):
        first = asyncio.create_task(batcher.encode(["1"]))
        await asyncio.sleep(0.05)  # its pass runs
        left = asyncio.create_task(batcher.encode(["2"]))
        await asyncio.sleep(0)
        left.cancel()
        await first
        await batcher.encode(["3"])

    batched(encode, work, threads=1)
    assert encode.passes == [["1"], ["3"]]


def test_room_is_given_back():
    capacity = Capacity(4, too_busy)
    with capacity.reserve(9):  # alone, a request always fits
        with pytest.raises(Failure) as refused, capacity.reserve(1):
            pass
        assert refused.value.status_code == 429
    with capacity.reserve(3), capacity.reserve(1):
        assert capacity.reserved == 4
    assert capacity.reserved == 0
