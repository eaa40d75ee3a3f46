"""Oracles: the items themselves, and the threads that worked on them."""

from __future__ import annotations

import threading

import pytest

from nestvec.processors import make_ahead, map_in_threads


def test_items_made_ahead_come_in_their_order_each_once():
    assert list(make_ahead(iter(range(50)))) == list(range(50))
    assert list(make_ahead(iter([]))) == []


def test_the_next_item_is_made_while_the_caller_works():
    made = [threading.Event() for _ in range(3)]

    def make():
        for event in made:
            event.set()
            yield threading.get_ident()

    for number, thread in enumerate(make_ahead(make())):
        assert thread != threading.get_ident()
        assert made[min(number + 1, 2)].wait(10)


def test_what_making_raises_reaches_the_caller():
    def make():
        yield 1
        raise OSError("item 2 cannot be made: the disk is full")

    items = make_ahead(make())
    assert next(items) == 1
    with pytest.raises(OSError, match="full"):
        next(items)


def test_a_caller_that_stops_early_ends_the_thread():
    before = threading.active_count()
    items = make_ahead(iter(range(100)))
    next(items)
    items.close()
    assert threading.active_count() == before


@pytest.mark.parametrize("count", [0, 1, 7])
def test_work_in_threads_keeps_the_order(count):
    assert map_in_threads(lambda item: item * item, range(count)) == [item * item for item in range(count)]
