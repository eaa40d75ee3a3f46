"""POST /v1/embeddings and GET /v1/models, as OpenAI's clients know them."""

from __future__ import annotations

import base64
import time
from typing import TYPE_CHECKING, Annotated, Any, Literal

from fastapi import APIRouter, Request
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, WithJsonSchema
from pydantic_core import PydanticCustomError, to_json
from starlette.responses import Response

from nestvec.models.prompts import QUERY
from nestvec.serving.failures import Failure, describe_failures
from nestvec.serving.json_requests import JsonRoute
from nestvec.serving.work_queue import WorkQueue, unless_client_leaves

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_FAILURES = describe_failures(401, 408, 413, 415, 421, 422, 429, 500, 503)


def _parse_texts(given: object) -> list[str]:
    """Read `input`: a text, or a list of texts, as a list."""
    texts = [given] if isinstance(given, str) else given
    if not isinstance(texts, list) or not texts:
        raise PydanticCustomError("texts_type", "a text, or a list of at least one")
    for row, text in enumerate(texts):
        if isinstance(text, int | list):
            raise PydanticCustomError("tokens_given", "texts are taken, not numbers of tokens")
        if not isinstance(text, str):
            raise PydanticCustomError("text_type", "text {row} is none", {"row": row})
        if not text:
            raise PydanticCustomError("text_empty", "text {row} is empty", {"row": row})
    return texts


_TEXT = {"type": "string", "minLength": 1}
_INPUT = {"anyOf": [_TEXT, {"type": "array", "items": _TEXT, "minItems": 1}], "examples": ["a cordless drill"]}


class EmbeddingsRequest(BaseModel):
    """Texts to encode."""

    model_config = ConfigDict(strict=True)

    input: Annotated[list[str], BeforeValidator(_parse_texts), WithJsonSchema(_INPUT)] = Field(
        description="A text, or a list of texts."
    )
    model: str | None = Field(None, description="A system of the run; what is delivered where there is none.")
    dimensions: int | None = Field(None, ge=1, description="The first numbers of a vector, scaled to unit length.")
    encoding_format: Literal["float", "base64"] = Field("float", description="base64 is of little-endian float32.")
    input_type: Literal["query", "document"] | None = Field(
        None, description="What the texts are, which decides the model's prompt before them; queries if not given."
    )
    user: str | None = Field(None, description="Taken and forgotten.")


class Embedding(BaseModel):
    """The vector of a text."""

    object: Literal["embedding"]
    index: int
    embedding: list[float] | str = Field(description="Numbers, or base64 of little-endian float32.")


class Usage(BaseModel):
    """What the model read."""

    prompt_tokens: int
    total_tokens: int


class EmbeddingsAnswer(BaseModel):
    """Vectors in the order of the texts, of unit length."""

    object: Literal["list"]
    data: list[Embedding]
    model: str
    usage: Usage


class Model(BaseModel):
    """A system that makes vectors."""

    id: str
    object: Literal["model"]
    created: int = Field(description="When the server started, in seconds since 1970.")
    owned_by: str
    dimension: int = Field(description="How many numbers its vectors have at most.")
    prompts: dict[str, str] = Field(description="What goes before every query and before every document.")


class ModelList(BaseModel):
    """All systems that make vectors."""

    object: Literal["list"]
    data: list[Model]


def embeddings_router(work: WorkQueue) -> APIRouter:
    """Make the routes, for which `work` encodes."""
    router, started = APIRouter(tags=["embeddings"], route_class=JsonRoute), int(time.time())

    @router.post("/v1/embeddings", responses={200: {"model": EmbeddingsAnswer}, **_FAILURES})
    async def embed(asked: EmbeddingsRequest, request: Request) -> Response:
        """Vectors of texts, as OpenAI's API gives them."""
        if len(asked.input) > work.options.inputs:
            raise Failure(413, f"at most {work.options.inputs:,} texts", "input")
        work.refuse_long("input", asked.input)
        system = work.service.default.system if asked.model is None else asked.model
        width = work.width(system, "model")
        dimension = width if asked.dimensions is None else asked.dimensions
        if dimension > width:
            raise Failure(422, f"{system} makes vectors of 1 to {width} numbers", "dimensions")
        with work.capacity.reserve(len(asked.input)):
            encoded = await unless_client_leaves(request, work.encode(system, asked.input, asked.input_type or QUERY))
        return _embeddings_response(asked, system, _cut_vectors(encoded.vectors, dimension), int(encoded.tokens.sum()))

    def describe_model(system: str) -> dict[str, Any]:
        """A system as OpenAI's API describes a model."""
        about = {"id": system, "object": "model", "created": started, "owned_by": "nestvec"}
        return {**about, "dimension": work.width(system, "model"), "prompts": vars(work.service.prompts(system))}

    @router.get("/v1/models", responses={200: {"model": ModelList}, **describe_failures(401, 421, 500, 503)})
    async def models() -> Response:
        """The systems that make vectors."""
        return _json_response({"object": "list", "data": [describe_model(system) for system in work.dense_systems]})

    @router.get(
        "/v1/models/{model}", responses={200: {"model": Model}, **describe_failures(401, 404, 421, 422, 500, 503)}
    )
    async def model(model: str) -> Response:
        """One of the systems that make vectors."""
        if model not in work.dense_systems:
            raise Failure(404, "there is no such model here; GET /v1/models lists them", "model")
        return _json_response(describe_model(model))

    return router


def _cut_vectors(vectors: NDArray[np.float32], dimension: int) -> NDArray[np.float32]:
    """Keep the first numbers of each vector: (n, dimension), of unit length."""
    from nestvec.vectors.codecs import prefix

    return vectors if dimension == vectors.shape[1] else prefix(vectors, dimension)


def _embeddings_response(asked: EmbeddingsRequest, system: str, vectors: NDArray[np.float32], tokens: int) -> Response:
    """Write vectors in the form that OpenAI's clients read."""
    listed: list[Any]
    if asked.encoding_format == "base64":
        listed = [base64.b64encode(row.astype("<f4").tobytes()).decode() for row in vectors]
    else:
        listed = vectors.tolist()
    data = [{"object": "embedding", "index": row, "embedding": vector} for row, vector in enumerate(listed)]
    usage = {"prompt_tokens": tokens, "total_tokens": tokens}
    return _json_response({"object": "list", "data": data, "model": system, "usage": usage})


def _json_response(content: object) -> Response:
    """Write JSON straight to bytes: going through pydantic's models again would take longer than encoding a query."""
    return Response(to_json(content), media_type="application/json")
