"""Oracle: the contract of bad input. Whatever a file holds, it loads or ends with one printable line, and in time.

Of counted inputs the right rows are known, because the generator wrote them.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from counted import counted_inputs, counted_outcome
from mutations import broken_inputs, load_outcome

FAILED_ONCE = Path(__file__).parent / "failed_once"  # inputs that once got through, kept


def test_broken_inputs_load_or_end_with_one_line(tmp_path):
    counts = {"loaded": 0, "refused": 0}
    for name, content in broken_inputs(seed=20_261_124, count=1500):
        path = tmp_path / name
        path.write_bytes(content)
        counts["loaded" if load_outcome(path) == "loaded" else "refused"] += 1
        path.unlink()
    assert counts["loaded"] > 50  # some damage is harmless
    assert counts["refused"] > 500
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "path", sorted(FAILED_ONCE.iterdir()) if FAILED_ONCE.is_dir() else [], ids=lambda path: path.name
)
def test_what_failed_once_is_refused(path):
    assert load_outcome(path)


def test_counted_inputs_give_the_rows_that_are_right(tmp_path):
    counts = {"loaded": 0, "refused": 0}
    for name, made in counted_inputs(seed=17, count=400):
        folder = tmp_path / name
        folder.mkdir()
        counts["loaded" if counted_outcome(folder, made) == "loaded" else "refused"] += 1
    assert counts["loaded"] >= 300  # only stray quotes in a CSV may be refused
    assert counts["refused"] > 0
