"""Runs `nestvec serve`: listens on an address, and answers all open requests before it stops."""

from __future__ import annotations

import os
import socket
import time
from pathlib import Path
from typing import TYPE_CHECKING

from nestvec.errors import InputError
from nestvec.extras import require_extras
from nestvec.progress import Silent
from nestvec.serving.open_files import fit_to_open_files
from nestvec.serving.serving_options import ServingOptions

if TYPE_CHECKING:
    from nestvec.progress import Reporter


def serve(run: str | Path, options: ServingOptions | None = None, reporter: Reporter | None = None) -> None:
    """Serve a search page and an HTTP API of a run until SIGTERM or Ctrl-C; answers open requests before it stops.

    Args:
        run: the folder of a finished run.
        options: address, API key, index, models and limits; None takes the defaults.
        reporter: receives the server's URL and a message when it is ready.

    Raises:
        InputError: the folder is not a finished run, a model cannot be loaded, or the address is not available.
        MissingExtraError: the libraries of the extra `serve` are not installed.
    """
    options, reporter = options or ServingOptions(), reporter or Silent()
    require_extras("serve")
    from nestvec.serving.fastapi_app import Loading, create_app
    from nestvec.serving.request_guard import Health
    from nestvec.serving.service import Service
    from nestvec.serving.uvicorn_server import Server

    with _bind_socket(options) as listener:
        service = Service.open(Path(run), options)
        connections = fit_to_open_files(options.connections)
        if connections < options.connections:
            reporter.say(
                f"at most {connections} connections at once, not {options.connections}: "
                "the limit of open files (ulimit -n) allows no more"
            )
        health, problems, began = Health(), list[BaseException](), time.perf_counter()

        def end_with(error: BaseException) -> None:
            """Stop the server because a model could not be loaded."""
            problems.append(error)
            server.should_exit = True

        def say_ready() -> None:
            """Tell the user that the server is ready, and how long loading took."""
            reporter.say(f"ready after {time.perf_counter() - began:.1f} s")

        app = create_app(service, options, health, Loading(reporter.say, say_ready, end_with))
        server = Server(app, options, health, connections)
        reporter.say(f"{service.run.root} on {_listening_url(listener)}")
        server.run([listener])
    if problems:
        raise problems[0]


def _bind_socket(options: ServingOptions) -> socket.socket:
    """Bind a socket to the address without listening yet, so that no other process can take the address."""
    wanted = f"{options.host}:{options.port}"
    try:
        addresses = socket.getaddrinfo(options.host, options.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        family, kind, protocol, _, address = addresses[0]
        listener = socket.socket(family, kind, protocol)
    except OSError as error:
        raise InputError(f"there is no address {wanted} ({error})", "--host with an address of this machine") from error
    try:
        if os.name == "posix":  # on Windows, this option would let two servers share the port
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
    except OSError as error:
        listener.close()
        problem = f"cannot listen on {wanted} ({error.strerror})"
        raise InputError(problem, "another --port, or --port 0 for any free port") from error
    return listener


def _listening_url(listener: socket.socket) -> str:
    """Return the socket's address as a URL for a browser."""
    host, port = listener.getsockname()[:2]
    return f"http://[{host}]:{port}/" if ":" in host else f"http://{host}:{port}/"
