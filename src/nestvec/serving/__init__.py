"""A search page and an HTTP API over a finished run."""

from nestvec.serving.options import ServingOptions
from nestvec.serving.server import serve

__all__ = ["ServingOptions", "serve"]
