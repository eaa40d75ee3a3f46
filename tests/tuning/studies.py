"""What the tests' studies have in common."""

from __future__ import annotations

QUICK = {
    "batch_size": 8, "compute": "float32", "resamples": 200, "bigger": "", "precisions": "float32,int8",
    "dimensions": "192", "threshold": 2.5, "validate_every": 4,
}  # fmt: skip
SPACE = {"learning_rate": [5e-5, 2e-4, 1e30], "epochs": [1, 2], "dimension_fade": [1.0, 0.5]}


def counted(queue):
    """Slot to how many of its trials came to an end by themselves."""
    found = {}
    for trial in queue.trials:
        ended = trial.state.name in ("COMPLETE", "PRUNED") or (
            trial.state.name == "FAIL" and "message" in trial.user_attrs
        )
        slot = trial.user_attrs["slot"]
        found[slot] = found.get(slot, 0) + ended
    return found
