"""Exports of a small run of two models, MiniLM and a tiny MPNet of another width, each made once."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest

from nestvec.exporting.export_model import export
from nestvec.runs.point_files import select
from nestvec.runs.run import load_run
from nestvec.vectors.cut import prefix

WIDTHS = {"pretrained": 48, "tiny": 96}


@pytest.fixture(scope="session")
def run(two_models):
    """The run's folder; it recommends nothing, so that a system has to be named."""
    return two_models


@pytest.fixture(scope="session")
def exported(run, tmp_path_factory):
    """What makes an export of a system at its width in `WIDTHS`, once."""
    root = tmp_path_factory.mktemp("exports")

    @cache
    def made(system, to, weights="float32"):
        return export(
            run,
            root / f"{system}-{to}-{weights}",
            to,
            system=system,
            dimension=WIDTHS[system],
            precision="int8",
            weights=weights,
        )

    return made


@pytest.fixture(scope="session")
def evaluated(run):
    """What gives a system's texts and the vectors that were measured of them, read without the code under test."""

    def found(system):
        chosen = select(load_run(run), system, WIDTHS[system], "int8")
        texts = [*chosen.run.queries.texts, *chosen.run.catalogue.texts]
        return texts, prefix(np.load(run / "embeddings" / f"{system}.npy"), WIDTHS[system])

    return found
