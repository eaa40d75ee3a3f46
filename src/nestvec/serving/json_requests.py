"""Parses request bodies as strict JSON: no NaN, no lone surrogates, limited nesting."""

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
    """A request whose body is parsed strictly."""

    async def json(self) -> Any:  # noqa: ANN401 - any JSON value
        """Parse the request's body; raises a Failure (HTTP 422) if the body is not JSON."""
        try:
            return from_json(await self.body(), allow_inf_nan=False)
        except ValueError as error:
            raise Failure(422, f"the body is not JSON: {error}") from None


class JsonRoute(APIRoute):
    """A route that parses request bodies with `_JsonRequest`."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Wrap FastAPI's handler so that the handler gets a `_JsonRequest`."""
        handle = super().get_route_handler()

        async def handle_json(request: Request) -> Response:
            return await handle(_JsonRequest(request.scope, request.receive))

        return handle_json
