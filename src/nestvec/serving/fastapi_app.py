"""Builds the FastAPI application with all routes; it answers requests even while the models are being loaded."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from fastapi import APIRouter, FastAPI
from pydantic import BaseModel
from pydantic_core import to_json
from starlette.middleware.cors import CORSMiddleware
from starlette.responses import Response

from nestvec.serving import failures
from nestvec.serving.embeddings_routes import embeddings_router
from nestvec.serving.failures import describe_failures, unavailable
from nestvec.serving.prometheus_meters import MEDIA_TYPE, Meters
from nestvec.serving.request_guard import LOADING, READY, Guard, Health
from nestvec.serving.search_routes import searching_router
from nestvec.serving.static_files import assets_router
from nestvec.serving.work_queue import WorkQueue

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from nestvec.serving.service import Service
    from nestvec.serving.serving_options import ServingOptions


@dataclass(frozen=True)
class Loading:
    """Callbacks that report the progress of loading the models."""

    say: Callable[[str], None]  # receives lines about what is being loaded
    ready: Callable[[], None]  # called when the server is ready
    failed: Callable[[BaseException], None]  # receives the error that ended loading


class Standing(BaseModel):
    """The answer of /healthz and /readyz: the state of the server."""

    status: Literal["alive", "ready"]


def create_app(service: Service, options: ServingOptions, health: Health, loading: Loading) -> Guard:
    """Build the ASGI application of a run; at its start it loads the models and reports to `loading`."""
    meters = Meters()
    work = WorkQueue(service, options, meters)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        """Start loading models in the background when the server starts; stop all work when the server stops."""
        task = asyncio.create_task(_load_models(work, health, loading))
        yield
        task.cancel()
        await work.stop()

    app = FastAPI(
        title="nestvec",
        description="Search and embeddings with the models of a finished nestvec run, at all measured precisions.",
        version=_read_version(),
        docs_url=None,
        redoc_url=None,
        lifespan=lifespan,
    )
    failures.install_handlers(app)
    for router in (embeddings_router(work), searching_router(work), _health_routes(health, meters), assets_router()):
        app.include_router(router)
    if options.cors:
        app.add_middleware(
            CORSMiddleware,
            allow_origins=options.cors,
            allow_methods=["GET", "POST"],
            allow_headers=["*"],  # OpenAI's browser client sends a dozen headers of its own
        )
    if options.api_key:
        _describe_key(app)
    return Guard(app, options, health, meters)


async def _load_models(work: WorkQueue, health: Health, loading: Loading) -> None:
    """Load the models, report success or the error to `loading`, then prepare what first requests would wait for."""
    try:
        await work.load(loading.say)
        if health.phase == LOADING:  # not if the server was told to stop meanwhile
            health.become(READY)
            loading.ready()
    except Exception as error:  # `serve` raises this error again after the server has stopped
        loading.failed(error)
        return
    try:
        await work.warm_up()
    except Exception as error:  # not fatal: the first request prepares the rest, or gets the error
        loading.say(f"warming up failed, so the first requests may be slow or fail: {error}")


def _health_routes(health: Health, meters: Meters) -> APIRouter:
    """Make the routes for monitoring: /healthz, /readyz and /metrics."""
    router = APIRouter(tags=["standing"])

    @router.get("/healthz", responses={200: {"model": Standing}, **describe_failures(421, 500)})
    async def healthz() -> Response:
        """Liveness: answers 200 while the process runs."""
        return Response(to_json({"status": "alive"}), media_type="application/json")

    @router.get("/readyz", responses={200: {"model": Standing}, **describe_failures(421, 500, 503)})
    async def readyz() -> Response:
        """Readiness: answers 200 once the models are loaded, and 503 while the server is loading or stopping."""
        if health.phase != READY:
            raise unavailable(f"{health.phase}")
        return Response(to_json({"status": "ready"}), media_type="application/json")

    text = {
        "description": "Metrics in Prometheus' text format.",
        "content": {"text/plain": {"schema": {"type": "string"}}},
    }

    @router.get("/metrics", response_class=Response, responses={200: text, **describe_failures(401, 421, 500)})
    async def metrics() -> Response:
        """Return request counts, queue length and timings in Prometheus' text format."""
        return Response(meters.render(), media_type=MEDIA_TYPE)

    return router


def _describe_key(app: FastAPI) -> None:
    """Mark, in the OpenAPI description, the routes that need an API key."""
    openapi = app.openapi()
    scheme = {"type": "http", "scheme": "bearer"}
    openapi.setdefault("components", {})["securitySchemes"] = {"key": scheme}
    for path, methods in openapi["paths"].items():
        for method in methods.values():
            if path not in ("/healthz", "/readyz"):
                method["security"] = [{"key": []}]


def _read_version() -> str:
    from importlib.metadata import version

    return version("nestvec")
