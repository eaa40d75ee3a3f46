"""A run that recommends a point, made of one that does not."""

from __future__ import annotations

import json


def ship(folder, dimension, precision):
    """Make a run recommend one of its points."""
    path = folder / "recommendation.json"
    made = json.loads(path.read_text())
    point = {"system": "pretrained", "dimension": dimension, "precision": precision, "bytes_per_vector": dimension}
    path.write_text(json.dumps({**made, "decision": "ship", "point": point}))
