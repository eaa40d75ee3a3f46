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
from nestvec.serving.assets import assets_router
from nestvec.serving.embeddings import embeddings_router
from nestvec.serving.failures import described, unavailable
from nestvec.serving.guard import LOADING, READY, Guard, Health
from nestvec.serving.meters import MEDIA_TYPE, Meters
from nestvec.serving.searching import searching_router
from nestvec.serving.work import Work

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from nestvec.serving.options import ServingOptions
    from nestvec.serving.service import Service


@dataclass(frozen=True)
class Loading:
    """Who is told how loading goes.

    Attributes:
        say: what is being loaded, line by line.
        ready: that all is.
        failed: why it ended before.
    """

    say: Callable[[str], None]
    ready: Callable[[], None]
    failed: Callable[[BaseException], None]


class Standing(BaseModel):
    """How the server is."""

    status: Literal["alive", "ready"]


def create_app(
    service: Service,
    options: ServingOptions,
    health: Health,
    loading: Loading,
) -> Guard:
    """The application of a run.

    Args:
        service: the run, opened and not loaded.
        options: the limits.
        health: is kept up to date.
        loading: who is told of it.

    Returns:
        An ASGI application.
    """
    meters = Meters()
    work = Work(service, options, meters)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        """Load beside answering; stop when asked to."""
        task = asyncio.create_task(_load(work, health, loading))
        yield
        task.cancel()
        await work.stop()

    app = FastAPI(
        title="nestvec",
        description="Search and embeddings of a finished run, as they were measured.",
        version=_version(),
        docs_url=None,
        redoc_url=None,
        lifespan=lifespan,
    )
    failures.install(app)
    for router in (embeddings_router(work), searching_router(work), _standing(health, meters), assets_router()):
        app.include_router(router)
    if options.cors:
        app.add_middleware(
            CORSMiddleware,
            allow_origins=options.cors,
            allow_methods=["GET", "POST"],
            allow_headers=["Authorization", "Content-Type"],
        )
    if options.api_key:
        _describe_key(app)
    return Guard(app, options, health, meters)


async def _load(work: Work, health: Health, loading: Loading) -> None:
    """Load, and say how it went."""
    try:
        await work.load(loading.say)
        if health.phase == LOADING:  # it may have been told to stop meanwhile
            health.become(READY)
            loading.ready()
            await work.warm()
    except Exception as error:  # the one who started the server raises it
        loading.failed(error)


def _standing(health: Health, meters: Meters) -> APIRouter:
    """Routes for those who watch over a server."""
    router = APIRouter(tags=["standing"])

    @router.get("/healthz", responses={200: {"model": Standing}, **described(421, 500)})
    async def healthz() -> Response:
        """Whether the process lives."""
        return Response(to_json({"status": "alive"}), media_type="application/json")

    @router.get("/readyz", responses={200: {"model": Standing}, **described(421, 500, 503)})
    async def readyz() -> Response:
        """Whether it has loaded its models and is not about to stop."""
        if health.phase != READY:
            raise unavailable(f"{health.phase}")
        return Response(to_json({"status": "ready"}), media_type="application/json")

    text = {"description": "Counts and times.", "content": {"text/plain": {"schema": {"type": "string"}}}}

    @router.get("/metrics", response_class=Response, responses={200: text, **described(401, 421, 500)})
    async def metrics() -> Response:
        """What the server has done, for Prometheus."""
        return Response(meters.told(), media_type=MEDIA_TYPE)

    return router


def _describe_key(app: FastAPI) -> None:
    """Say in the API's description where a key is needed."""
    described = app.openapi()
    scheme = {"type": "http", "scheme": "bearer"}
    described.setdefault("components", {})["securitySchemes"] = {"key": scheme}
    for path, methods in described["paths"].items():
        for method in methods.values():
            if path not in ("/healthz", "/readyz"):
                method["security"] = [{"key": []}]


def _version() -> str:
    """Of the package."""
    from importlib.metadata import version

    return version("nestvec")
