"""A made table of products, many of them alike, and a reporter that keeps what it is told."""

from __future__ import annotations

import csv
import random
from contextlib import contextmanager

THINGS = ("hex bolt", "deck screw", "claw hammer", "wood glue", "paint roller", "door hinge")


def products(count, seed=5):
    """Rows of id and text; every third text or so is there already."""
    rng = random.Random(seed)
    return [(f"sku-{row}", f"{rng.choice(THINGS)} {rng.randrange(count // 4)} mm") for row in range(count)]


def write_products(path, rows):
    """A CSV file of them."""
    with path.open("w", newline="", encoding="utf-8") as stream:
        csv.writer(stream).writerows([("sku", "text"), *rows])
    return path


class Told:
    """A reporter that keeps what it is told."""

    def __init__(self):
        self.lines, self.steps = [], []

    def say(self, text):
        self.lines.append(text)

    @contextmanager
    def step(self, label, total):
        done = []
        self.steps.append((label, total, done))
        yield done.append
