"""Files for browsers, held in memory: the page, and the description of the API to try it with. No path is looked up."""

from __future__ import annotations

from hashlib import sha256
from importlib.resources import files
from typing import TYPE_CHECKING, NamedTuple

from fastapi import APIRouter, Request
from starlette.responses import Response

from nestvec.serving.failures import Failure

if TYPE_CHECKING:
    from importlib.resources.abc import Traversable

_TYPES = {
    "html": "text/html; charset=utf-8",
    "css": "text/css; charset=utf-8",
    "js": "text/javascript; charset=utf-8",
    "svg": "image/svg+xml",
    "png": "image/png",
}
_DOCS = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>nestvec: the API</title>
<link rel="icon" href="/docs/favicon-32x32.png">
<link rel="stylesheet" href="/docs/swagger-ui.css">
<div id="api"></div>
<script src="/docs/swagger-ui-bundle.js"></script>
<script src="/docs/start.js"></script>
</html>
"""
_START = """SwaggerUIBundle({ url: "/openapi.json", dom_id: "#api", deepLinking: true, validatorUrl: null });
"""


class Asset(NamedTuple):
    """A file as it goes out."""

    content: bytes
    media_type: str
    etag: str  # changes when the content does

    @classmethod
    def from_content(cls, name: str, content: bytes) -> Asset:
        """Make an asset of a file's name, whose ending says the media type, and its content."""
        return cls(content, _TYPES[name.rpartition(".")[2]], f'"{sha256(content).hexdigest()[:32]}"')

    def to_response(self, request: Request) -> Response:
        """The file, or 304 if the browser has it; browsers ask each time, so that two versions are never mixed."""
        headers = {"ETag": self.etag, "Cache-Control": "no-cache"}
        if self.etag in request.headers.get("if-none-match", ""):
            return Response(status_code=304, headers=headers)
        return Response(self.content, headers=headers, media_type=self.media_type)


def assets_router() -> APIRouter:
    """Make the routes of the page and of the API's description."""
    page = _read_assets(files("nestvec.serving") / "page")
    docs = _read_assets(files("fastapi_swagger") / "resources")
    docs["start.js"] = Asset.from_content("start.js", _START.encode())
    front = {"/": page.get("index.html"), "/docs": Asset.from_content("docs.html", _DOCS.encode())}
    router = APIRouter(include_in_schema=False)

    @router.get("/")
    @router.get("/docs")
    async def serve_front_page(request: Request) -> Response:
        """The search page, or the API's page."""
        return _answer_asset(front.get(request.url.path), request)

    @router.get("/page/{name:path}")
    async def serve_page_file(name: str, request: Request) -> Response:
        """A style sheet, script or image of the search page."""
        return _answer_asset(page.get(name), request)

    @router.get("/docs/{name:path}")
    async def serve_docs_file(name: str, request: Request) -> Response:
        """A style sheet, script or image of the API's page."""
        return _answer_asset(docs.get(name), request)

    return router


def _read_assets(folder: Traversable) -> dict[str, Asset]:
    """A folder's files that browsers take, by name."""
    entries = (entry for entry in folder.iterdir() if entry.is_file() and entry.name.rpartition(".")[2] in _TYPES)
    return {entry.name: Asset.from_content(entry.name, entry.read_bytes()) for entry in entries}


def _answer_asset(asset: Asset | None, request: Request) -> Response:
    if asset is None:
        raise Failure(404, "there is no such file")
    return asset.to_response(request)
