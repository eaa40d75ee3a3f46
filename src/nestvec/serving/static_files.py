"""Serves the search page and the API's Swagger page from memory; no request can read a file from disk."""

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
    """A file of the search page or of the API's Swagger page, held in memory."""

    content: bytes
    media_type: str
    etag: str  # a hash of the content

    @classmethod
    def from_content(cls, name: str, content: bytes) -> Asset:
        """Make an asset from a file's content and name; the name's ending decides the media type."""
        return cls(content, _TYPES[name.rpartition(".")[2]], f'"{sha256(content).hexdigest()[:32]}"')

    def to_response(self, request: Request) -> Response:
        """Send the file, or 304 if the browser has this version of the file.

        Browsers revalidate every file at each visit, so that a page never mixes files of two versions.
        """
        headers = {"ETag": self.etag, "Cache-Control": "no-cache"}
        if self.etag in request.headers.get("if-none-match", ""):
            return Response(status_code=304, headers=headers)
        return Response(self.content, headers=headers, media_type=self.media_type)


def assets_router() -> APIRouter:
    """Make the routes of the search page and the API's Swagger page."""
    page = _read_assets(files("nestvec.serving") / "page")
    docs = _read_assets(files("fastapi_swagger") / "resources")
    docs["start.js"] = Asset.from_content("start.js", _START.encode())
    front = {"/": page.get("index.html"), "/docs": Asset.from_content("docs.html", _DOCS.encode())}
    router = APIRouter(include_in_schema=False)

    @router.get("/")
    @router.get("/docs")
    async def serve_front_page(request: Request) -> Response:
        """Send the search page or the API's Swagger page."""
        return _answer_asset(front.get(request.url.path), request)

    @router.get("/page/{name:path}")
    async def serve_page_file(name: str, request: Request) -> Response:
        """Send a style sheet, script or image of the search page."""
        return _answer_asset(page.get(name), request)

    @router.get("/docs/{name:path}")
    async def serve_docs_file(name: str, request: Request) -> Response:
        """Send a style sheet, script or image of the API's Swagger page."""
        return _answer_asset(docs.get(name), request)

    return router


def _read_assets(folder: Traversable) -> dict[str, Asset]:
    """Read all web files (such as HTML and CSS) of a folder into memory; gives each file by its name."""
    entries = (entry for entry in folder.iterdir() if entry.is_file() and entry.name.rpartition(".")[2] in _TYPES)
    return {entry.name: Asset.from_content(entry.name, entry.read_bytes()) for entry in entries}


def _answer_asset(asset: Asset | None, request: Request) -> Response:
    if asset is None:
        raise Failure(404, "no such file")
    return asset.to_response(request)
