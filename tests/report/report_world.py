"""What the made-up run folder is about: texts, truth and judgements, before anything is ranked."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

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
