"""Where a system's model comes from, and under which licence."""

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

_LICENCES = {  # of models whose weights are pinned: a name alone proves nothing
    "sentence-transformers/all-MiniLM-L6-v2": "apache-2.0",
}


@dataclass(frozen=True)
class Origin:
    """The model that a system was trained from, or is."""

    name: str  # on the hub where its weights are known, else its folder's last name or what the user called it
    hub: bool  # whether the name is known to be that of the hub's model
    licence: str | None  # in the hub's words; None where it is not known
    trained: bool  # whether the system's weights differ from it
    adapted: bool = False  # whether training started from what `adapted` had made of it


def find_origin(chosen: Selection) -> Origin:
    """Look up a system's origin by the hash of the weights.

    Args:
        chosen: what is delivered.

    Returns:
        The model behind it.
    """
    path = chosen.model.path / CARD
    saved = read_json(path) if path.is_file() else {}
    trained = isinstance(saved, dict) and "base" in saved and "system" in saved
    name = str(saved["base"]) if trained else chosen.model.name
    code = str(saved.get("base_sha256", "")) if trained else chosen.model.sha256
    hub_name = next((full for full, pin in PINNED.items() if pin.sha256 == code), None)
    licence, adapted = _LICENCES.get(hub_name or ""), trained and saved.get("start") == ADAPTED
    return Origin(hub_name or Path(name).name or name, hub_name is not None, licence, trained, adapted)
