"""POST /v1/embeddings and GET /v1/models, compatible with OpenAI's API."""

from __future__ import annotations

import base64
import time
from typing import TYPE_CHECKING, Annotated, Any, Literal

import numpy as np
from fastapi import APIRouter, Request
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, WithJsonSchema
from pydantic_core import PydanticCustomError, to_json
from starlette.responses import Response

from nestvec.models.prompts import QUERY
from nestvec.serving.failures import Failure, describe_failures
from nestvec.serving.json_answers import JsonAnswer
from nestvec.serving.json_requests import JsonRoute
from nestvec.serving.work_queue import WorkQueue, unless_client_leaves

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from nestvec.serving.batching import Encoded

_FAILURES = describe_failures(401, 404, 408, 413, 415, 421, 422, 429, 500, 503)


def _parse_input(given: object) -> list[str] | list[list[int]]:
    """Parse `input` to a list of texts or a list of lists of token ids."""
    texts = [given] if isinstance(given, str) or (isinstance(given, list) and _are_ids(given)) else given
    if not isinstance(texts, list) or not texts:
        raise PydanticCustomError("texts_type", "input must be a string, or an array of one or more strings")
    as_ids = isinstance(texts[0], list)
    for row, text in enumerate(texts):
        if as_ids and not (isinstance(text, list) and (_are_ids(text) or not text)):
            raise PydanticCustomError("tokens_type", "input[{row}] must be an array of token ids", {"row": row})
        if not as_ids and not isinstance(text, str):
            raise PydanticCustomError("text_type", "input[{row}] must be a string", {"row": row})
        if not text:
            raise PydanticCustomError("text_empty", "input[{row}] must not be empty", {"row": row})
    return texts


def _are_ids(given: list[Any]) -> bool:
    """Whether a list holds only token ids, and at least one token id."""
    return bool(given) and all(type(token) is int for token in given)


_TEXT = {"type": "string", "minLength": 1}
_IDS = {"type": "array", "items": {"type": "integer", "minimum": 0}, "minItems": 1}
_INPUT = {
    "anyOf": [_TEXT, _IDS, *({"type": "array", "items": item, "minItems": 1} for item in (_TEXT, _IDS))],
    "examples": ["a cordless drill"],
}


class EmbeddingsRequest(BaseModel):
    """The request of POST /v1/embeddings."""

    model_config = ConfigDict(strict=True)

    input: Annotated[list[str] | list[list[int]], BeforeValidator(_parse_input), WithJsonSchema(_INPUT)] = Field(
        description="A text or an array of texts. Instead of each text, an array of its token ids is accepted, "
        "made by this model's own tokenizer."
    )
    model: str | None = Field(
        None, description="A system of the run, or an alias (--model-alias). Default: the recommended system."
    )
    dimensions: int | None = Field(
        None, ge=1, description="Shorten vectors to this many dimensions, of unit length. Default: the full width."
    )
    encoding_format: Literal["float", "base64"] | None = Field(
        None, description="`float` (the default), or `base64` of little-endian float32."
    )
    input_type: Literal["query", "document"] | None = Field(
        None, description="Whether the texts are queries (the default) or documents; decides the model's prompt."
    )
    user: str | None = Field(None, description="Accepted and ignored.")


class Embedding(BaseModel):
    """The vector of one text of the request."""

    object: Literal["embedding"]
    index: int
    embedding: list[float] | str = Field(description="Numbers, or base64 of little-endian float32.")


class Usage(BaseModel):
    """The number of tokens that the model read for all texts of a request."""

    prompt_tokens: int
    total_tokens: int


class EmbeddingsAnswer(BaseModel):
    """The response of POST /v1/embeddings: one vector of unit length for each text, in the order of the texts."""

    object: Literal["list"]
    data: list[Embedding]
    model: str
    usage: Usage


class Model(BaseModel):
    """A model that encodes texts: a system of the run, or an alias that --model-alias gives to a system."""

    id: str
    object: Literal["model"]
    created: int = Field(description="When the server started, in seconds since 1970.")
    owned_by: str
    dimension: int = Field(description="The full width of the model's vectors.")
    prompts: dict[str, str] = Field(description="The prompts that the server puts before each query and document.")


class ModelList(BaseModel):
    """The response of GET /v1/models: all models that encode texts, by the names of systems and by aliases."""

    object: Literal["list"]
    data: list[Model]


def embeddings_router(work: WorkQueue) -> APIRouter:
    """Make the routes /v1/embeddings and /v1/models; the work queue encodes the texts."""
    router, started = APIRouter(tags=["embeddings"], route_class=JsonRoute), int(time.time())

    @router.post("/v1/embeddings", responses={200: {"model": EmbeddingsAnswer}, **_FAILURES})
    async def embed(asked: EmbeddingsRequest, request: Request) -> Response:
        """Encode texts as vectors; request and response have the form of OpenAI's embeddings API."""
        if len(asked.input) > work.options.inputs:
            raise Failure(413, f"input has more than {work.options.inputs:,} texts", "input")
        system = work.find_model(asked.model)
        width = work.width(system, "model")
        dimension = width if asked.dimensions is None else asked.dimensions
        if dimension > width:
            raise Failure(422, f"dimensions must be from 1 to {width} for {system}", "dimensions")
        texts = await _read_texts(work, system, asked.input)
        with work.capacity.reserve(len(texts)):
            encoded = await unless_client_leaves(request, work.encode(system, texts, asked.input_type or QUERY))
        vectors = _cut_vectors(encoded.vectors, dimension)
        return JsonAnswer(_embeddings_to_json(asked, asked.model or system, vectors, encoded), work.answers)

    def describe_model(name: str) -> dict[str, Any]:
        """Describe the model of a system, or of an alias, in the form of OpenAI's models API."""
        about = {"id": name, "object": "model", "created": started, "owned_by": "nestvec"}
        system = work.find_model(name)
        return {**about, "dimension": work.width(system, "model"), "prompts": vars(work.service.prompts(system))}

    @router.get("/v1/models", responses={200: {"model": ModelList}, **describe_failures(401, 421, 500, 503)})
    async def models() -> Response:
        """List the models that encode texts, by the names of the run's systems and by aliases."""
        data = [describe_model(name) for name in work.models]
        return JsonAnswer(to_json({"object": "list", "data": data}), work.answers)

    @router.get(
        "/v1/models/{model:path}", responses={200: {"model": Model}, **describe_failures(401, 404, 421, 422, 500, 503)}
    )
    async def model(model: str) -> Response:
        """Describe one model, given by the name of a system of the run or by an alias."""
        return JsonAnswer(to_json(describe_model(model)), work.answers)

    return router


async def _read_texts(work: WorkQueue, system: str, given: list[str] | list[list[int]]) -> list[str]:
    """Return a request's texts, decoding token ids; raises a Failure for a text that is empty or too long."""
    texts = [text for text in given if isinstance(text, str)]
    ids = [tokens for tokens in given if isinstance(tokens, list)]
    if ids:
        if any(len(tokens) > work.options.letters for tokens in ids):
            raise Failure(413, f"input has a text of more than {work.options.letters:,} token ids", "input")
        texts = await work.decode_tokens(system, ids)
        if "" in texts:
            raise Failure(422, f"input[{texts.index('')}] must not be empty", "input")
    work.refuse_long("input", texts)
    return texts


def _cut_vectors(vectors: NDArray[np.float32], dimension: int) -> NDArray[np.float32]:
    """Shorten n vectors to their first `dimension` numbers and scale them to unit length."""
    from nestvec.vectors.cut import prefix

    return vectors if dimension == vectors.shape[1] else prefix(vectors, dimension)


def _embeddings_to_json(asked: EmbeddingsRequest, model: str, vectors: NDArray[np.float32], encoded: Encoded) -> bytes:
    """Write vectors as JSON in the form that OpenAI's clients read."""
    if not np.isfinite(vectors).all():
        raise Failure(500, "the model returned NaN or infinity")
    tokens = int(encoded.tokens.sum())
    listed: list[Any]
    if asked.encoding_format == "base64":
        listed = [base64.b64encode(row.astype("<f4").tobytes()).decode() for row in vectors]
    else:
        listed = vectors.tolist()
    data = [{"object": "embedding", "index": row, "embedding": vector} for row, vector in enumerate(listed)]
    usage = {"prompt_tokens": tokens, "total_tokens": tokens}
    return to_json({"object": "list", "data": data, "model": model, "usage": usage})
