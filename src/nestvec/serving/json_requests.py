"""Request bodies as JSON's standard has it: no NaN, no half letters, not nested without end."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fastapi import Request
from fastapi.routing import APIRoute
from pydantic_core import from_json

from nestvec.serving.failures import Failure

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from starlette.responses import Response


class _JsonRequest(Request):
    """A request whose body is read by the standard."""

    async def json(self) -> Any:  # noqa: ANN401 - whatever was sent
        """The body's value."""
        try:
            return from_json(await self.body(), allow_inf_nan=False)
        except ValueError as error:
            raise Failure(422, f"the body is not JSON: {error}") from None


class JsonRoute(APIRoute):
    """A route whose requests are `_JsonRequest`s."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """The library's handler, given the other request."""
        handle = super().get_route_handler()

        async def handle_json(request: Request) -> Response:
            return await handle(_JsonRequest(request.scope, request.receive))

        return handle_json
