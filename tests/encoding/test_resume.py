"""A process killed at random moments and started again ends with the bytes of one that was left alone."""

from __future__ import annotations

import random
import subprocess
import sys
from pathlib import Path

import pytest
from products import products, write_products

pytestmark = pytest.mark.slow  # a process killed at six points

SCRIPT = Path(__file__).with_name("killed_encoding.py")


def test_killed_and_continued_is_the_same_to_the_byte(tmp_path, tiny, encode_tiny):
    source = write_products(tmp_path / "products.csv", products(400))
    whole = encode_tiny(str(source), tmp_path / "whole.parquet", precision="int8", dimension=48, shard=25)
    out, rng = tmp_path / "out.parquet", random.Random(11)
    moments = [rng.randrange(1, 12) for _ in range(6)]  # of some forty reports
    command = [sys.executable, str(SCRIPT), str(tiny), str(source), str(out), *map(str, moments)]
    told = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
    assert told[:-1] == ["killed by 9 False"] * len(moments)
    assert 0 < int(told[-1].split()[1]) < 400  # rows that earlier processes had finished
    assert out.read_bytes() == whole.out.read_bytes()
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["out.parquet", "products.csv", "whole.parquet"]
