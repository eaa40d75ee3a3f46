"""Finds the base model that an exported system was trained from, and the base model's licence."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from nestvec.files import read_json
from nestvec.models.find import PINNED
from nestvec.models.model_files import CARD
from nestvec.settings import ADAPTED

if TYPE_CHECKING:
    from nestvec.runs.point_files import Selection

_LICENCES = {  # for models whose weights' hash is known; a name alone proves nothing
    "sentence-transformers/all-MiniLM-L6-v2": "apache-2.0",
}


@dataclass(frozen=True)
class Origin:
    """The base model of a system: the model that it was trained from, or its own model if it was not trained."""

    name: str  # the name on the hub if the weights are known, else the folder's last name or the user's name for it
    hub: bool  # whether the weights are known to be those of the hub's model of this name
    licence: str | None  # the hub's identifier of the licence; None if it is not known
    trained: bool  # whether the system was trained from the base model
    adapted: bool = False  # whether training started from the system `adapted`


def find_origin(chosen: Selection) -> Origin:
    """Find a system's base model; the SHA-256 of its weights tells which model of the hub it is.

    Args:
        chosen: the exported system, dimension and precision.

    Returns:
        The base model, with its licence if the hash is known.
    """
    path = chosen.model.path / CARD
    saved = read_json(path) if path.is_file() else {}
    trained = isinstance(saved, dict) and "base" in saved and "system" in saved
    name = str(saved["base"]) if trained else chosen.model.name
    code = str(saved.get("base_sha256", "")) if trained else chosen.model.sha256
    hub_name = next((full for full, pin in PINNED.items() if pin.sha256 == code), None)
    licence, adapted = _LICENCES.get(hub_name or ""), trained and saved.get("start") == ADAPTED
    return Origin(hub_name or Path(name).name or name, hub_name is not None, licence, trained, adapted)
