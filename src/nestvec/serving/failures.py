"""The one form in which a request is told what was wrong with it.

{"error": {"message", "type", "param", "code"}, "detail": [{"loc", "msg", "type"}]}: the first as OpenAI's clients read
it, the second as FastAPI's. What was sent is never sent back: it may be eight megabytes, or no JSON.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, Field
from pydantic_core import to_json
from starlette.exceptions import HTTPException
from starlette.responses import Response

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from fastapi import FastAPI
    from starlette.requests import Request

GONE = 499  # the client left: nobody reads the answer, but the log of what happened does
_KINDS = {  # status to type, code, and what the description of the API says
    400: ("invalid_request_error", "bad_request", "The request cannot be read."),
    401: ("authentication_error", "invalid_api_key", "No API key, or a wrong one."),
    404: ("invalid_request_error", "not_found", "No such path or model."),
    405: ("invalid_request_error", "method_not_allowed", "Method not allowed for this path."),
    408: ("invalid_request_error", "timeout", "The body came too slowly."),
    413: ("invalid_request_error", "too_large", "Too many bytes, texts or results for one request."),
    415: ("invalid_request_error", "unsupported_media_type", "The body must be application/json."),
    421: ("invalid_request_error", "wrong_host", "Host header not allowed."),
    422: ("invalid_request_error", "invalid_value", "A value is wrong; the message names it."),
    429: ("rate_limit_error", "queue_full", "Too many requests are waiting: try again after Retry-After seconds."),
    GONE: ("invalid_request_error", "client_closed_request", "The client left."),
    500: ("server_error", "internal_error", "A fault of the server."),
    503: (
        "server_error",
        "unavailable",
        "Not ready, full, about to stop, or the index cannot be read: try again after Retry-After seconds.",
    ),
}
_RETRY = {429: "1", 503: "2"}
_SHORT = 300  # letters of a message that may quote something


class FailureDetail(BaseModel):
    """One thing that is wrong."""

    loc: list[str | int] = Field(description="Where: `body`, then the field.", examples=[["body", "k"]])
    msg: str = Field(description="What was expected.")
    type: str = Field(description="The kind of fault, for programs.")


class FailureError(BaseModel):
    """The first thing that is wrong."""

    message: str
    type: Literal["invalid_request_error", "authentication_error", "rate_limit_error", "server_error"]
    param: str | None = Field(description="The field at fault.")
    code: str


class FailureAnswer(BaseModel):
    """What was wrong with a request."""

    error: FailureError
    detail: list[FailureDetail]


class Failure(HTTPException):
    """A request that is not answered as it was asked.

    Args:
        status: of `_KINDS`.
        message: what is wrong, and what would have been right.
        param: the field at fault.
        headers: that go with it.
        code: for programs; None takes the status's.
    """

    def __init__(
        self,
        status: int,
        message: str,
        param: str | None = None,
        headers: Mapping[str, str] | None = None,
        code: str | None = None,
    ) -> None:
        super().__init__(status, message, headers)
        self.param, self.code = param, code

    def to_response(self) -> Response:
        """The failure as an HTTP response."""
        kind, usual, _ = _KINDS.get(self.status_code, _KINDS[500 if self.status_code >= 500 else 400])
        code = self.code or usual
        field = ["body", self.param] if self.param else []
        detail = [{"loc": field, "msg": self.detail, "type": code}]
        return _make_response(self.status_code, kind, code, self.param, detail, self.headers)


def too_busy() -> Failure:
    """The failure of a request for which the queue has no room."""
    return Failure(429, "too many texts are waiting", headers={"Retry-After": _RETRY[429]})


def unknown_model(known: Sequence[str]) -> Failure:
    """The failure of a request for a model that is not served, as OpenAI's API has it."""
    return Failure(404, f"no such model here; one of {', '.join(known)}", "model", code="model_not_found")


def unavailable(why: str) -> Failure:
    """The failure of a request that cannot be answered now."""
    return Failure(503, why, headers={"Retry-After": _RETRY[503]})


def too_many_bytes() -> Failure:
    """The failure of a large request, or a request for much, while the memory for such is taken."""
    return unavailable("too many large requests and answers are under way; ask later, or for less at once")


def too_many_connections() -> Failure:
    """The failure of a request over a connection for which there is no room; it is closed then."""
    return Failure(503, "too many connections are open", headers={"Retry-After": _RETRY[503], "Connection": "close"})


def describe_failures(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Describe the failures of a route, of these statuses, as FastAPI takes them as `responses`."""
    responses: dict[int | str, dict[str, Any]] = {}
    for status in statuses:
        kind, code, said = _KINDS[status]
        detail = [{"loc": [], "msg": said, "type": code}]
        example = {"error": {"message": said, "type": kind, "param": None, "code": code}, "detail": detail}
        responses[status] = {
            "model": FailureAnswer,
            "description": said,
            "content": {"application/json": {"example": example}},
        }
        if status in _RETRY:
            header = {"description": "Seconds to wait.", "required": True, "schema": {"type": "integer", "minimum": 1}}
            responses[status]["headers"] = {"Retry-After": header}
    return responses


def install_handlers(app: FastAPI) -> None:
    """Have an application answer every failure in this form."""
    app.add_exception_handler(HTTPException, _answer_http_error)
    app.add_exception_handler(RequestValidationError, _answer_invalid_request)
    app.add_exception_handler(Exception, _answer_fault)


async def _answer_http_error(_: Request, error: Exception) -> Response:
    """Answer with a failure of ours, or one that the framework raised."""
    if isinstance(error, Failure):
        return error.to_response()
    assert isinstance(error, HTTPException)
    plain = {404: "no such path; the API is under /v1, see /docs", 405: "method not allowed"}
    said = plain.get(error.status_code, str(error.detail))
    return Failure(error.status_code, said, headers=error.headers).to_response()


async def _answer_invalid_request(_: Request, error: Exception) -> Response:
    """Answer for a body, a path or a query that has another form than described."""
    assert isinstance(error, RequestValidationError)
    detail = [
        {"loc": [_shorten(part) for part in fault["loc"]], "msg": _shorten(fault["msg"]), "type": fault["type"]}
        for fault in error.errors()[:10]
    ]
    fields = [part for part in detail[0]["loc"][1:] if isinstance(part, str)]
    kind, code, _said = _KINDS[422]
    return _make_response(422, kind, code, fields[0] if fields else None, detail)


async def _answer_fault(_: Request, __: Exception) -> Response:
    """Answer for a fault of ours; the server logs the traceback."""
    return Failure(500, "something went wrong here; the server's log has the traceback").to_response()


def _shorten(part: Any) -> str | int:  # noqa: ANN401 - of any error
    """Cut a part of a message that may quote what was sent, such as the name of a field, and make it plain text."""
    return part if isinstance(part, int) else str(part)[:_SHORT].encode("utf-8", "replace").decode()


def _make_response(
    status: int,
    kind: str,
    code: str,
    param: str | int | None,
    detail: Sequence[Mapping[str, Any]],
    headers: Mapping[str, str] | None = None,
) -> Response:
    first = detail[0]
    message = first["msg"]
    if param and not message.startswith(str(param)):
        message = f"{param}: {message}"
    error = {"message": message, "type": kind, "param": param, "code": code}
    return Response(to_json({"error": error, "detail": detail}), status, headers, "application/json")
