"""JSON responses that count against the limit --max-held until the client has received them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from starlette.responses import Response

if TYPE_CHECKING:
    from starlette.types import Receive, Scope, Send

    from nestvec.serving.capacity import Capacity


class JsonAnswer(Response):
    """A response of ready JSON bytes; building it with pydantic's models would take longer than encoding a query.

    Args:
        content: the JSON.
        answers: limits the bytes of all answers that clients have not yet received.
    """

    media_type = "application/json"

    def __init__(self, content: bytes, answers: Capacity) -> None:
        super().__init__(content)
        self._answers = answers

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the response; raises a Failure (HTTP 503) if too many bytes of other answers wait for their clients."""
        with self._answers.reserve(len(self.body)):
            await super().__call__(scope, receive, send)
