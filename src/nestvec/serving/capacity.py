"""Limits how many texts, or how many bytes of memory, all requests in progress may use together."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from nestvec.serving.failures import Failure


SMALL = 65_536  # bytes of a request or an answer that is never counted or refused


class Capacity:
    """Limits an amount, such as texts or bytes, that all requests in progress use together.

    If no other request is in progress, a request of any size is accepted.

    Args:
        most: the largest amount that all requests may use together.
        refusal: makes the error response for a request that exceeds the limit.
        free: requests that use at most this amount are neither counted nor refused.

    Attributes:
        reserved: the amount that the requests in progress use now.
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
