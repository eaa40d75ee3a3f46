"""`ulimit -n`: each connection is an open file, and the server needs some of its own."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

from nestvec.errors import InputError

_OWN = 32  # files that are opened later: models while they load, an index, connections that are told there is no room
_LEAST = 8  # connections below which there is no serving


def fit_to_open_files(connections: int) -> int:
    """How many of so many connections may be open at once; a soft limit of open files that is too low is raised.

    Args:
        connections: wanted.

    Returns:
        `connections`, or fewer where the hard limit leaves no room for them.

    Raises:
        InputError: the limit leaves next to none.
    """
    try:
        import resource
    except ImportError:  # Windows, where sockets are no files
        return connections
    with Path(os.devnull).open("rb") as probe:
        own = probe.fileno() + _OWN  # a file gets the lowest number that is free: so many are open
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY:
        return connections
    wanted = own + connections
    if soft < wanted:
        raised = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        with suppress(ValueError, OSError):  # macOS allows less than its hard limit says
            resource.setrlimit(resource.RLIMIT_NOFILE, (raised, hard))
            soft = raised
    room = min(connections, soft - own)
    if room < min(connections, _LEAST):
        raise InputError(
            f"only {soft} files may be open at once (ulimit -n)", f"{own + _LEAST} or more: ulimit -n 1024"
        )
    return room
