"""Small trainings for tests: a table of judgements, read and split as a run does."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tables import rows, write_csv

from nestvec.models.load import load_model
from nestvec.pipeline.inputs import prepare
from nestvec.settings import Settings
from nestvec.training.examples import TrainingData
from nestvec.training.job import make_job

if TYPE_CHECKING:
    from pathlib import Path

    from sentence_transformers import SentenceTransformer

    from nestvec.pipeline.inputs import Prepared
    from nestvec.training.job import Job

QUICK = {"batch_size": 8, "compute": "float32", "epochs": 2, "validate_every": 8, "validation": 0.1, "test": 0.2}


def prepared(folder: Path, table: list[dict[str, Any]] | None = None, **options: Any) -> Prepared:
    """The checked input of a run over a table of 60 queries, or another one."""
    path = write_csv(folder / "judged.csv", rows() if table is None else table)
    return prepare(Settings.from_flat({"source": str(path), **QUICK, **options}))


def job_and_model(found: Prepared, system: str) -> tuple[Job, SentenceTransformer]:
    """A training over it and its starting point."""
    model = load_model(found.model)
    data = TrainingData.of(found.records, found.grades, found.task)
    return make_job(model, system, data, found.settings, found.dimensions), model


def weights(model: SentenceTransformer) -> bytes:
    """All bits of a model's weights."""
    return b"".join(tensor.contiguous().numpy().tobytes() for tensor in model.state_dict().values())
