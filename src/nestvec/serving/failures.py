"""Error responses of the HTTP API: their body, and the exceptions that lead to them.

{"error": {"message", "type", "param", "code"}, "detail": [{"loc", "msg", "type"}]}: `error` is what OpenAI's clients
read, `detail` what FastAPI's clients read. Responses never repeat the request, which may be 8 MB large or not JSON.
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

GONE = 499  # the client disconnected; nobody reads this answer, but the metrics count it
_KINDS = {  # status to type, code, and the description in OpenAPI
    400: ("invalid_request_error", "bad_request", "The request cannot be parsed."),
    401: ("authentication_error", "invalid_api_key", "The API key is missing or wrong."),
    404: ("invalid_request_error", "not_found", "No such path or model."),
    405: ("invalid_request_error", "method_not_allowed", "Method not allowed for this path."),
    408: ("invalid_request_error", "timeout", "Timeout while reading the request's body."),
    413: ("invalid_request_error", "too_large", "Too many bytes, texts or results for one request."),
    415: ("invalid_request_error", "unsupported_media_type", "The body must be application/json, uncompressed."),
    421: ("invalid_request_error", "wrong_host", "Host header not allowed."),
    422: ("invalid_request_error", "invalid_value", "A value is invalid; the message names the field."),
    429: ("rate_limit_error", "queue_full", "Too many texts are waiting: try again after Retry-After seconds."),
    GONE: ("invalid_request_error", "client_closed_request", "The client disconnected."),
    500: ("server_error", "internal_error", "Internal error; the server's log has the traceback."),
    503: (
        "server_error",
        "unavailable",
        "The server is loading, full or stopping, or the index cannot be read: try again after Retry-After seconds.",
    ),
}
_RETRY = {429: "1", 503: "2"}
_SHORT = 300  # most characters of a message that may quote the request


class FailureDetail(BaseModel):
    """One invalid part of a request."""

    loc: list[str | int] = Field(description="The place: `body`, then the field.", examples=[["body", "k"]])
    msg: str = Field(description="What is wrong, or what was expected.")
    type: str = Field(description="The kind of error, for programs.")


class FailureError(BaseModel):
    """The error in the form of OpenAI's API; if several parts of a request are invalid, this is the first of them."""

    message: str
    type: Literal["invalid_request_error", "authentication_error", "rate_limit_error", "server_error"]
    param: str | None = Field(description="The invalid field of the request, if any.")
    code: str


class FailureAnswer(BaseModel):
    """The body of an error response."""

    error: FailureError
    detail: list[FailureDetail]


class Failure(HTTPException):
    """An exception that the server turns into an error response to a request.

    Args:
        status: the HTTP status, one of `_KINDS`.
        message: what is wrong, and what is expected.
        param: the invalid field of the request.
        headers: headers of the response.
        code: the error's name, for programs; None takes the usual name for the status.
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
        """Make the HTTP response that reports this failure."""
        kind, usual, _ = _KINDS.get(self.status_code, _KINDS[500 if self.status_code >= 500 else 400])
        code = self.code or usual
        field = ["body", self.param] if self.param else []
        detail = [{"loc": field, "msg": self.detail, "type": code}]
        return _make_response(self.status_code, kind, code, self.param, detail, self.headers)


def too_busy() -> Failure:
    """Make the error response for a request that does not fit into the server's queue."""
    return Failure(429, "too many texts are waiting in the queue", headers={"Retry-After": _RETRY[429]})


def unknown_model(known: Sequence[str]) -> Failure:
    """Make the error response (HTTP 404) for an unknown model; its code is OpenAI's `model_not_found`."""
    return Failure(404, f"no such model; expected one of {', '.join(known)}", "model", code="model_not_found")


def unavailable(why: str) -> Failure:
    """Make the error response (HTTP 503) for a request that can be answered later, but not now."""
    return Failure(503, why, headers={"Retry-After": _RETRY[503]})


def too_many_bytes() -> Failure:
    """Make the error response (HTTP 503) for a large request or answer beyond the limit on memory (--max-held)."""
    return unavailable("too many large requests or answers are in progress: try again later, or request less at once")


def too_many_connections() -> Failure:
    """Make the error response (HTTP 503) for a connection beyond --connections; it closes the connection."""
    return Failure(503, "too many connections are open", headers={"Retry-After": _RETRY[503], "Connection": "close"})


def describe_failures(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Describe error responses with these HTTP statuses in OpenAPI, for the argument `responses` of a FastAPI route."""
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
            seconds = {"type": "integer", "minimum": 1}
            header = {"description": "Seconds to wait before the next try.", "required": True, "schema": seconds}
            responses[status]["headers"] = {"Retry-After": header}
    return responses


def install_handlers(app: FastAPI) -> None:
    """Make an application answer every error with a body of the form `FailureAnswer`."""
    app.add_exception_handler(HTTPException, _answer_http_error)
    app.add_exception_handler(RequestValidationError, _answer_invalid_request)
    app.add_exception_handler(Exception, _answer_fault)


async def _answer_http_error(_: Request, error: Exception) -> Response:
    """Answer with a `Failure`, or with an HTTP error that the framework raised."""
    if isinstance(error, Failure):
        return error.to_response()
    assert isinstance(error, HTTPException)
    plain = {
        404: "no such path; the API is under /v1, see /docs",
        405: "method not allowed for this path; see /docs",
    }
    said = plain.get(error.status_code, str(error.detail))
    return Failure(error.status_code, said, headers=error.headers).to_response()


async def _answer_invalid_request(_: Request, error: Exception) -> Response:
    """Make the error response for a request that does not match the route's schema."""
    assert isinstance(error, RequestValidationError)
    detail = [
        {"loc": [_shorten(part) for part in fault["loc"]], "msg": _shorten(fault["msg"]), "type": fault["type"]}
        for fault in error.errors()[:10]
    ]
    fields = [part for part in detail[0]["loc"][1:] if isinstance(part, str)]
    kind, code, _said = _KINDS[422]
    return _make_response(422, kind, code, fields[0] if fields else None, detail)


async def _answer_fault(_: Request, __: Exception) -> Response:
    """Make the error response for an unexpected exception, whose traceback the server logs."""
    return Failure(500, "internal error; the server's log has the traceback").to_response()


def _shorten(part: Any) -> str | int:  # noqa: ANN401 - of any error
    """Shorten a part of an error message that may quote the request, and replace invalid Unicode."""
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
