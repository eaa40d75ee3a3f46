"""`nestvec serve`: bind, serve, and when told to stop answer what is there first."""

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
    """Serve a search page and an HTTP API of a run, until SIGTERM or Ctrl-C; what is being asked then is answered.

    Args:
        run: the folder of a finished run.
        options: where to listen, whom to answer, with which index and models, and how much to take on.
        reporter: is told where it listens, and when it is ready.

    Raises:
        InputError: it is no finished run, a model cannot be loaded, or the address cannot be had.
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
            reporter.say(f"at most {connections} connections at once, for want of open files (ulimit -n)")
        health, problems, began = Health(), list[BaseException](), time.perf_counter()

        def end_with(error: BaseException) -> None:
            """Stop the server, because nothing can be served."""
            problems.append(error)
            server.should_exit = True

        def say_ready() -> None:
            """Tell that all models are loaded."""
            reporter.say(f"ready after {time.perf_counter() - began:.1f} s")

        app = create_app(service, options, health, Loading(reporter.say, say_ready, end_with))
        server = Server(app, options, health, connections)
        reporter.say(f"{service.run.root} on {_listening_url(listener)}")
        server.run([listener])
    if problems:
        raise problems[0]


def _bind_socket(options: ServingOptions) -> socket.socket:
    """Bind a socket to the address, not listening yet: nobody else can have it from now on."""
    wanted = f"{options.host}:{options.port}"
    try:
        addresses = socket.getaddrinfo(options.host, options.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        family, kind, protocol, _, address = addresses[0]
        listener = socket.socket(family, kind, protocol)
    except OSError as error:
        raise InputError(f"there is no address {wanted} ({error})", "--host: a name or an address") from error
    try:
        if os.name == "posix":  # elsewhere it would share the port with another server
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
    except OSError as error:
        listener.close()
        raise InputError(f"{wanted} cannot be had ({error.strerror})", "another --port, or --port 0") from error
    return listener


def _listening_url(listener: socket.socket) -> str:
    """The address of a socket as a browser takes it."""
    host, port = listener.getsockname()[:2]
    return f"http://[{host}]:{port}/" if ":" in host else f"http://{host}:{port}/"
