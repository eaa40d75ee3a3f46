"""Serves a search page and an HTTP API for a finished run."""

from nestvec.serving.server import serve
from nestvec.serving.serving_options import ServingOptions

__all__ = ["ServingOptions", "serve"]
