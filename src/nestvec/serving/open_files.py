"""Limits connections so that the process stays below its limit of open files (`ulimit -n`)."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

from nestvec.errors import InputError

_OWN = 32  # files opened later: models while they load, the index, and connections that are refused
_LEAST = 8  # fewest connections to start a server with


def fit_to_open_files(connections: int) -> int:
    """Raise the soft limit of open files (`ulimit -n`) if necessary, and return how many connections fit below it.

    Args:
        connections: number of connections wanted.

    Returns:
        `connections`, or fewer if the hard limit allows no more.

    Raises:
        InputError: the limit allows fewer than 8 connections and fewer than wanted.
    """
    try:
        import resource
    except ImportError:  # Windows, where sockets are not files
        return connections
    with Path(os.devnull).open("rb") as probe:
        own = probe.fileno() + _OWN  # a new file gets the lowest free number, which is about the number of open files
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY:
        return connections
    wanted = own + connections
    if soft < wanted:
        raised = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        with suppress(ValueError, OSError):  # macOS allows less than its hard limit states
            resource.setrlimit(resource.RLIMIT_NOFILE, (raised, hard))
            soft = raised
    room = min(connections, soft - own)
    if room < min(connections, _LEAST):
        problem = f"this process may open only {soft} files at once (ulimit -n)"
        raise InputError(problem, f"a limit of {own + _LEAST} or more: run `ulimit -n 1024` first")
    return room
