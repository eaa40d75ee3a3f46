"""A disk that is full from a number of bytes on: the operating system's own limit on the size of a file."""

from __future__ import annotations

import resource
from contextlib import contextmanager


@contextmanager
def full_from(size: int):
    """Inside the block no file grows beyond `size` bytes."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
