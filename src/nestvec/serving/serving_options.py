"""What a server may be told, and the limits that it keeps."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from nestvec.errors import InputError
from nestvec.models.encoder import BACKENDS
from nestvec.settings import option

KEY_VARIABLE = "NESTVEC_API_KEY"
LIMITS = "Limits"  # the heading in `--help`
_ANYWHERE = ("0.0.0.0", "::", "")  # bound to, to be reached from everywhere
KEPT = "kept"  # the backend that takes a system's kept graph, or PyTorch where there is none


@dataclass(frozen=True)
class ServingOptions:
    """Where a server listens, whom it answers, and how much it takes on.

    Raises:
        InputError: a value lies outside its range; the message names the option.
    """

    host: str = option("127.0.0.1", "The address to bind; 0.0.0.0 is all.")
    port: int = option(8321, "The port; 0 takes any free one.")
    api_key: str | None = option(None, f"A file with the key to ask for, or env:NAME ({KEY_VARIABLE}).")
    cors: tuple[str, ...] = option((), "An origin whose pages may call the API; may be given again.", repeat=True)
    allowed_host: tuple[str, ...] = option(
        (), "A name that requests may call this server by; may be given again.", repeat=True
    )
    model_alias: tuple[str, ...] = option(
        (), "NAME=SYSTEM: answer under another model name; may be given again.", repeat=True
    )
    trust_token_ids: bool = option(False, "Take all token ids for the model's own.")
    store: str | None = option(None, "The index's store, as for `nestvec index` (the one built last).")
    name: str | None = option(None, "The index's name in a database (the one built last).")
    backend: str = option(
        KEPT, "kept (the ONNX graph beside the index; PyTorch where there is none), torch, onnx, openvino, or auto."
    )
    compute: str = option("float32", "float32, bfloat16, or auto.")
    batch: int = option(64, "Texts that go through a model together.", panel=LIMITS)
    wait: float = option(0.002, "Seconds that a first text waits for others.", panel=LIMITS)
    queue: int = option(4096, "Texts that may wait before others are turned away.", panel=LIMITS)
    connections: int = option(900, "Connections open at once.", panel=LIMITS)
    max_body: int = option(8 * 2**20, "Bytes of a request's body.", panel=LIMITS)
    max_held: int = option(
        256 * 2**20, "Bytes of large requests, and of large answers, before others are turned away.", panel=LIMITS
    )
    inputs: int = 2048  # texts of one request for vectors
    queries: int = 256  # of one search
    letters: int = 65_536  # of one text
    header_seconds: float = option(10, "Seconds for a request's head.", panel=LIMITS)
    body_seconds: float = option(30, "Seconds for a request's body.", panel=LIMITS)
    write_seconds: float = option(30, "Seconds for a client to take 64 KB of its answer.", panel=LIMITS)
    index_seconds: float = option(10, "Seconds for a search of the index, which others may have locked.", panel=LIMITS)
    drain_seconds: float = option(30, "Seconds to answer what was asked before the server stops.", panel=LIMITS)

    def __post_init__(self) -> None:
        """Check every range."""
        counts = ("batch", "queue", "connections", "max_body", "max_held", "inputs", "queries", "letters")
        spans = ("header_seconds", "body_seconds", "write_seconds", "index_seconds", "drain_seconds")
        checks = [
            *((name, getattr(self, name) >= 1, "1 or more") for name in counts),
            *((name, 0 < getattr(self, name) < float("inf"), "seconds, more than 0") for name in spans),
            ("wait", 0 <= self.wait <= 1, "seconds, from 0 to 1"),
            ("port", 0 <= self.port <= 65_535, "0 to 65535"),
            ("backend", self.backend in (KEPT, *BACKENDS), f"one of {', '.join((KEPT, *BACKENDS))}"),
        ]
        for name, right, wanted in checks:
            if not right:
                raise InputError(f"--{name.replace('_', '-')} is {getattr(self, name)}", wanted)
        for origin in self.cors:
            scheme, mark, address = origin.partition("://")
            if origin != "*" and not (scheme in ("http", "https") and mark and address and "/" not in address):
                raise InputError(f"--cors is {origin!r}", "an origin such as https://shop.example, or *")
        _ = self.aliases

    @property
    def allowed_hosts(self) -> frozenset[str] | None:
        """Names that a request may call this server by; None for any: bound to all interfaces, and none was named."""
        if self.host in _ANYWHERE and not self.allowed_host:
            return None
        return frozenset({"localhost", "127.0.0.1", "::1", self.host.lower(), *map(str.lower, self.allowed_host)})

    @property
    def aliases(self) -> dict[str, str]:
        """Other names of models to the systems that answer; InputError where one is not NAME=SYSTEM, or given twice."""
        aliases: dict[str, str] = {}
        for given in self.model_alias:
            name, _, system = (part.strip() for part in given.rpartition("="))
            if not name or not system:
                raise InputError(f"--model-alias is {given!r}", "NAME=SYSTEM, such as text-embedding-3-small=mnr")
            if aliases.setdefault(name, system) != system:
                raise InputError(f"--model-alias gives {name!r} to {aliases[name]} and {system}", "one system a name")
        return aliases


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
