"""What a part of `attack.py` tells: how many attempts, and which of them fell."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


@dataclass
class Outcome:
    """Attempts of one kind.

    `fell` names each attempt that ended in a wrong answer, a traceback, a hang or a loss, with what was seen.
    """

    name: str
    tried: int = 0
    fell: list[str] = field(default_factory=list)
    figures: dict[str, Any] = field(default_factory=dict)  # what was measured on the way: peaks of memory, times

    def judge(self, attempt: str, problem: str | None) -> None:
        """Count an attempt; `problem` says what was wrong with its end, None where all was right."""
        self.tried += 1
        if problem is not None:
            self.fell.append(f"{attempt}: {problem}")

    @property
    def held(self) -> int:
        """Attempts that ended as they should."""
        return self.tried - len(self.fell)
