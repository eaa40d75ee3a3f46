"""What the made-up run folder is about: texts, truth and judgements, before anything is ranked."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

SPLITS = ("train", "validation", "test")
MARKUP = "<script>window.pwned = true</script>"

_BRANDS = ("Norrland", "Tervo", "Kestrel", "Hallmark & Sons", "Brisk", "Oakridge")
_THINGS = ("deck screw", "hammer drill", "ceiling fan", "garden hose", "paint roller", "door hinge",
           "LED bulb", "circular saw", "shower head", "work glove")  # fmt: skip
_TRAITS = ("3 in. coated exterior", "18-volt brushless", "matte black 52 in.", "heavy-duty 50 ft.", "stainless steel",
           "soft-grip 9 in.", "dimmable 60 W equivalent", "weather resistant")  # fmt: skip


@dataclass
class World:
    """What the fixture invents before any ranking: texts, truth and judgements."""

    rng: np.random.Generator
    queries: list[str]
    documents: list[str]
    split: NDArray[np.int8]  # (q,)
    latent: NDArray[np.float64]  # (q, d)
    grade: NDArray[np.float64]  # (q, d), NaN where unjudged
    gain: NDArray[np.int64] = field(init=False)  # (q, d), -1 where unjudged

    def __post_init__(self) -> None:
        self.gain = np.where(np.isnan(self.grade), -1, np.round(1000 * (np.nan_to_num(self.grade) - 1))).astype(
            np.int64
        )

    def query_id(self, row: int) -> str:
        return f"q{row:012x}"

    def document_id(self, row: int) -> str:
        return f"d{row:012x}"


def invent(rng: np.random.Generator) -> World:
    documents = [f"{rng.choice(_BRANDS)} {rng.choice(_TRAITS)} {_THINGS[row % 10]}, {rng.choice(_TRAITS)}, pack of "
                 f"{rng.integers(1, 40)}. {'Made for daily use in house and garden. ' * (row % 4)}".strip()
                 for row in range(240)]  # fmt: skip
    queries = [f"{rng.choice(_TRAITS)} {_THINGS[row % 10]} {row}" for row in range(140)]
    queries[131] = f"{MARKUP} drill"
    documents[11] = f"{MARKUP} & hammer drill with a lifetime guarantee"
    split = np.array([0] * 80 + [1] * 20 + [2] * 40, dtype=np.int8)
    same = (np.arange(140)[:, None] % 10) == (np.arange(240)[None, :] % 10)
    latent = same * 0.9 + rng.normal(0, 0.45, same.shape)
    judged = (same & (rng.random(same.shape) < 0.6)) | (rng.random(same.shape) < 0.02)
    noisy = np.clip(np.round((latent + 1.45 + rng.normal(0, 0.2, same.shape)) * 3) / 3, 1, 3)
    noisy = np.where((noisy > 2.5) & (noisy < 2.7) & (rng.random(same.shape) < 0.5), 3.0, np.round(noisy, 2))
    return World(rng, queries, documents, split, latent, np.where(judged, noisy, np.nan))


def trained_as_told(system: str) -> dict[str, Any]:
    """40 steps with a loss that falls to a third of where it began; of a nested system it is four times as high.

    A curve of the start and three validations, of which the second is the best; `graded` was validated with codes too,
    and mixed.
    """
    places = [(384, "float32"), (48, "float32"), *([(384, "binary")] if system == "graded" else [])]
    noise = np.random.default_rng(len(system)).normal(0, 0.06, 40)
    losses = (1 if system == "mnr" else 4) * (0.3 + 0.7 * np.exp(-np.arange(40) / 12) + noise)
    curve = []
    for step, gain in ((0, -0.12), (14, 0.0), (28, 0.0512), (40, 0.0421)):
        recalls = [round(0.5 + 0.01 * len(system) + gain - 0.05 * place, 6) for place in range(len(places))]
        points = [{"dimension": width, "precision": precision, "metrics": {"recall@10": recall, "ndcg@10": recall / 2}}
                  for (width, precision), recall in zip(places, recalls, strict=True)]  # fmt: skip
        curve.append({"step": step, "recall": sum(recalls) / len(recalls), "points": points})
    return {
        "system": system, "steps": 40, "compute": "bfloat16", "threads": 2, "learning_rate": 0.00015, "rows": 1296,
        "unused": 178 if system == "graded" else 0, "losses": np.round(losses, 6).tolist(), "curve": curve,
        "best_step": 28, "mixed": 0.75 if system == "graded" else 1.0, "seconds": 71.2,
    }  # fmt: skip
