"""So much and no more: texts that wait, bytes that are held."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from nestvec.serving.failures import Failure


SMALL = 65_536  # bytes of a request or an answer that may always be there


class Capacity:
    """Counts what all requests together take; turns those away that would take more than `most`, but never a lone one.

    Args:
        most: texts, or bytes.
        refusal: makes the failure of a request for which there is no room.
        free: a request that takes so much or less is neither counted nor refused.

    Attributes:
        reserved: what is taken now.
    """

    def __init__(self, most: int, refusal: Callable[[], Failure], free: int = 0) -> None:
        self._most, self._refusal, self._free = most, refusal, free
        self.reserved = 0

    def refuse(self, amount: int) -> Failure | None:
        """The failure of a request that takes so much; None where there is room."""
        fits = amount <= self._free or not self.reserved or self.reserved + amount <= self._most
        return None if fits else self._refusal()

    @contextmanager
    def reserve(self, amount: int) -> Iterator[None]:
        """Keep room for so much while the block runs; raises a Failure where there is none."""
        refusal = self.refuse(amount)
        if refusal is not None:
            raise refusal
        counted = amount if amount > self._free else 0
        self.reserved += counted
        try:
            yield
        finally:
            self.reserved -= counted
