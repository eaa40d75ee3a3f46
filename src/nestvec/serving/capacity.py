"""Limits the number of queued texts and the bytes of memory that all requests together may take."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from nestvec.serving.failures import Failure


SMALL = 65_536  # bytes of a request or an answer that is never counted or refused


class Capacity:
    """Limits what all requests together take; a single request of any size is always accepted.

    Args:
        most: most texts, or bytes, that all requests together may take.
        refusal: makes the failure for a request that does not fit.
        free: requests that take at most this amount are neither counted nor refused.

    Attributes:
        reserved: the amount that requests take now.
    """

    def __init__(self, most: int, refusal: Callable[[], Failure], free: int = 0) -> None:
        self._most, self._refusal, self._free = most, refusal, free
        self.reserved = 0

    def refuse(self, amount: int) -> Failure | None:
        """Return the error response for a request that is too large at the moment; None if the request fits."""
        fits = amount <= self._free or not self.reserved or self.reserved + amount <= self._most
        return None if fits else self._refusal()

    @contextmanager
    def reserve(self, amount: int) -> Iterator[None]:
        """Reserve some of the limit while the `with` block runs; raises a Failure if too little is left."""
        refusal = self.refuse(amount)
        if refusal is not None:
            raise refusal
        counted = amount if amount > self._free else 0
        self.reserved += counted
        try:
            yield
        finally:
            self.reserved -= counted
