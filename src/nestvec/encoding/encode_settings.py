"""The settings of `nestvec encode`, checked before anything is read."""

from __future__ import annotations

from dataclasses import dataclass

from nestvec.data.source import Rejects
from nestvec.errors import InputError
from nestvec.models.prompts import DOCUMENT, ROLES, Role
from nestvec.runs.choose_point import PointArguments, PointSettings
from nestvec.settings import option

SHARD = 5000  # texts in a shard: a minute of work on two cores, which is the most that a kill can lose
ENGINES = ("local", "ray")


class EncodeOptions(PointArguments, total=False):
    """The fields of `EncodeSettings` as keyword arguments."""

    column: str | None
    id_column: str | None
    role: Role
    prompt: str | None
    backend: str
    compute: str
    engine: str
    on_bad_row: str
    shard: int


@dataclass(frozen=True)
class EncodeSettings(PointSettings):
    """How to encode a file of texts; fields with `help` are options of the command.

    Attributes:
        column: column of the texts, several columns, or a template; None looks for well-known names.
        id_column: column of the ids; None looks for a well-known name, else takes the row numbers.
        system: system of a run; None takes the run's recommendation.
        dimension: dimension of the vectors; None takes the run's recommendation, the export's, or the full width.
        precision: precision of the vectors; None takes the run's recommendation, the export's, or float32.
        role: `document` or `query`: what the texts are, which decides the model's prompt.
        prompt: text to put before every text; empty for no prompt, None for the model's own prompt for the role.
        backend: `auto`, `torch`, `onnx` or `openvino`; see `models.encoder.open_encoder`.
        compute: `auto`, `float32` or `bfloat16`.
        engine: `local`, or `ray` for a Ray cluster whose machines share the output's folder.
        on_bad_row: `stop`, or `set-aside` to leave bad rows out and write them to a file beside the output.
        shard: most texts that are encoded between two saves, at least 1.

    Raises:
        InputError: role, engine, on_bad_row or shard has an invalid value; the model is checked later.
    """

    column: str | None = option(None, "Column of the texts.")
    id_column: str | None = option(None, "Column of the ids (default: row numbers).")
    role: Role = option(DOCUMENT, "What the texts are, for the model's prompt: document or query.")
    prompt: str | None = option(None, "Prompt before every text (default: the model's own).")
    backend: str = option("auto", "torch, onnx, openvino, or auto.")
    compute: str = option("auto", "float32, bfloat16, or auto.")
    engine: str = option("local", "local, or ray for a cluster.")
    on_bad_row: str = option("stop", "What to do with a bad row: stop, or set-aside into OUT.rejected.parquet.")
    shard: int = SHARD

    def __post_init__(self) -> None:
        """Raise InputError for the first of these settings that has an invalid value."""
        if self.role not in ROLES:
            raise InputError(f"--role is {self.role!r}", f"one of {', '.join(ROLES)}")
        if self.engine not in ENGINES:
            raise InputError(f"--engine is {self.engine!r}", f"one of {', '.join(ENGINES)}")
        Rejects(self.on_bad_row)
        if self.shard < 1:
            raise InputError(f"--shard is {self.shard}", "at least 1")
