"""What a server may be told, and the limits that it keeps."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from nestvec.errors import InputError

KEY_VARIABLE = "NESTVEC_API_KEY"
_ANYWHERE = ("0.0.0.0", "::", "")  # bound to, to be reached from everywhere


@dataclass(frozen=True)
class ServingOptions:
    """Where a server listens, whom it answers, and how much it takes on.

    Attributes:
        host: the address to bind.
        port: 0 takes any free one.
        api_key: what clients must show; None asks for nothing.
        cors: origins whose pages may call the API, such as `https://shop.example`; `*` is every one.
        batch: texts that go through a model together, at most.
        wait: seconds that a first text waits for others to join it.
        queue: texts that may wait or be worked on before newcomers are turned away.
        connections: open at once before newcomers are turned away.
        max_body: bytes of a request.
        inputs: texts of one request for vectors.
        queries: of one search.
        letters: of one text.
        header_seconds: that a client may take to send a request's head.
        body_seconds: that it may take for the body.
        drain_seconds: that requests have to end when the server is to stop.

    Raises:
        InputError: a value lies outside its range; the message names the option.
    """

    host: str = "127.0.0.1"
    port: int = 8321
    api_key: str | None = None
    cors: tuple[str, ...] = ()
    batch: int = 64
    wait: float = 0.002
    queue: int = 4096
    connections: int = 900
    max_body: int = 8 * 2**20
    inputs: int = 2048
    queries: int = 256
    letters: int = 65_536
    header_seconds: float = 10
    body_seconds: float = 30
    drain_seconds: float = 30

    def __post_init__(self) -> None:
        """Check every range."""
        counts = ("batch", "queue", "connections", "max_body", "inputs", "queries", "letters")
        spans = ("header_seconds", "body_seconds", "drain_seconds")
        checks = [
            *((name, getattr(self, name) >= 1, "1 or more") for name in counts),
            *((name, 0 < getattr(self, name) < float("inf"), "seconds, more than 0") for name in spans),
            ("wait", 0 <= self.wait <= 1, "seconds, from 0 to 1"),
            ("port", 0 <= self.port <= 65_535, "0 to 65535"),
        ]
        for name, right, wanted in checks:
            if not right:
                raise InputError(f"--{name.replace('_', '-')} is {getattr(self, name)}", wanted)
        for origin in self.cors:
            scheme, mark, address = origin.partition("://")
            if origin != "*" and not (scheme in ("http", "https") and mark and address and "/" not in address):
                raise InputError(f"--cors is {origin!r}", "an origin such as https://shop.example, or *")

    @property
    def allowed_hosts(self) -> frozenset[str] | None:
        """Names that a request may call this server by; None where it is bound to all interfaces."""
        if self.host in _ANYWHERE:
            return None
        return frozenset({"localhost", "127.0.0.1", "::1", self.host.lower()})


def read_key(given: str | None) -> str | None:
    """The key that clients must show.

    Args:
        given: a file's path, or `env:NAME`; None looks at NESTVEC_API_KEY.

    Returns:
        The key; None where there is to be none.

    Raises:
        InputError: it is not where it should be, is empty, or no header can carry it.
    """
    if given is None:
        if KEY_VARIABLE not in os.environ:
            return None
        given = f"env:{KEY_VARIABLE}"
    if given.startswith("env:"):
        content = os.environ.get(given[4:], "")
    else:
        try:
            content = Path(given).read_text(encoding="utf-8")
        except (OSError, ValueError) as error:
            raise InputError(f"cannot be read ({error})", "--api-key: a file that holds the key", file=given) from error
    key = content.strip()
    if not key or not all("!" <= letter <= "~" for letter in key):
        raise InputError("holds no key", "letters, digits and signs of ASCII, without spaces", file=given)
    return key
