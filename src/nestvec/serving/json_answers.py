"""Answers as JSON, whose bytes are counted until clients have taken them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from starlette.responses import Response

if TYPE_CHECKING:
    from starlette.types import Receive, Scope, Send

    from nestvec.serving.capacity import Capacity


class JsonAnswer(Response):
    """JSON as bytes: going through pydantic's models again would take longer than encoding a query.

    Args:
        content: the JSON.
        answers: counts the bytes of all answers that clients have not yet taken.
    """

    media_type = "application/json"

    def __init__(self, content: bytes, answers: Capacity) -> None:
        super().__init__(content)
        self._answers = answers

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send it; raises a Failure, 503, where clients have yet to take too many bytes."""
        with self._answers.reserve(len(self.body)):
            await super().__call__(scope, receive, send)
