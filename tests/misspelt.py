"""A finished run whose training queries showed that corrected words help."""

from __future__ import annotations

from typing import TYPE_CHECKING

from shared_runs import keep_graphs, make_once
from tables import rows, write_csv

import nestvec
from nestvec.lexical.corrections import RULES

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

POINT = {"system": "pretrained", "dimension": 48, "precision": "binary"}


def swap_letters(query):
    """A query with an odd number at its end has two letters of its first word swapped, unless the word is too short."""
    is_swapped = int(query.split()[-1]) % 2 and len(query.split()[0]) >= RULES.letters
    return query[0] + query[2] + query[1] + query[3:] if is_swapped else query


def make_corrected(factory: pytest.TempPathFactory) -> Path:
    """The folder of a run of the pretrained model and BM25."""

    def make(folder):
        table = [{**row, "query": swap_letters(row["query"])} for row in rows(queries=80)]
        source = write_csv(folder / "judged.csv", table)
        options = {"epochs": 0, "dimensions": "48", "precisions": "binary", "resamples": 100}
        nestvec.run(str(source), folder / "run", **options, test=0.3, seed=7)
        keep_graphs(folder / "run", "pretrained")

    return make_once(factory, "corrected", make) / "run"
