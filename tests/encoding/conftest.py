"""A tiny model, a file of texts with repeats, and a call that encodes with both."""

from __future__ import annotations

from functools import partial

import pytest
from products import products, write_products

from nestvec.encoding import encode_file


@pytest.fixture(scope="session")
def encode_tiny(tiny):
    """Encode with the tiny model as quickly as it goes."""
    return partial(encode_file.encode, str(tiny), backend="torch", compute="float32")


@pytest.fixture
def table(tmp_path):
    rows = products(240)
    return write_products(tmp_path / "products.csv", rows), rows
