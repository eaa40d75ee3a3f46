"""The application: routes joined, models loaded while it already says that they are not."""

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
    """Who is told how loading goes."""

    say: Callable[[str], None]  # what is being loaded, line by line
    ready: Callable[[], None]  # that all is
    failed: Callable[[BaseException], None]  # why it ended before


class Standing(BaseModel):
    """How the server is."""

    status: Literal["alive", "ready"]


def create_app(service: Service, options: ServingOptions, health: Health, loading: Loading) -> Guard:
    """Build the ASGI application of a run: all routes; it begins to load when it starts, and tells `loading`."""
    meters = Meters()
    work = WorkQueue(service, options, meters)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        """Load the models while requests are answered already; stop the work at the end."""
        task = asyncio.create_task(_load_models(work, health, loading))
        yield
        task.cancel()
        await work.stop()

    app = FastAPI(
        title="nestvec",
        description="Search and embeddings of a finished run, as they were measured.",
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
            allow_headers=["*"],  # OpenAI's client for browsers has a dozen of its own
        )
    if options.api_key:
        _describe_key(app)
    return Guard(app, options, health, meters)


async def _load_models(work: WorkQueue, health: Health, loading: Loading) -> None:
    """Load the models, and tell `loading` how it went."""
    try:
        await work.load(loading.say)
        if health.phase == LOADING:  # it may have been told to stop meanwhile
            health.become(READY)
            loading.ready()
    except Exception as error:  # the one who started the server raises it
        loading.failed(error)
        return
    try:
        await work.warm_up()
    except Exception as error:  # whoever asks first makes it, or is told why not
        loading.say(f"not warmed up: {error}")


def _health_routes(health: Health, meters: Meters) -> APIRouter:
    """Make the routes for those who watch over a server: /healthz, /readyz and /metrics."""
    router = APIRouter(tags=["standing"])

    @router.get("/healthz", responses={200: {"model": Standing}, **describe_failures(421, 500)})
    async def healthz() -> Response:
        """Whether the process lives."""
        return Response(to_json({"status": "alive"}), media_type="application/json")

    @router.get("/readyz", responses={200: {"model": Standing}, **describe_failures(421, 500, 503)})
    async def readyz() -> Response:
        """Whether it has loaded its models and is not about to stop."""
        if health.phase != READY:
            raise unavailable(f"{health.phase}")
        return Response(to_json({"status": "ready"}), media_type="application/json")

    text = {"description": "Counts and times.", "content": {"text/plain": {"schema": {"type": "string"}}}}

    @router.get("/metrics", response_class=Response, responses={200: text, **describe_failures(401, 421, 500)})
    async def metrics() -> Response:
        """What the server has done, for Prometheus."""
        return Response(meters.render(), media_type=MEDIA_TYPE)

    return router


def _describe_key(app: FastAPI) -> None:
    """Say in the API's description where a key is needed."""
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
