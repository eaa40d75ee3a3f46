"""The options of `nestvec serve`, including the server's limits."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from nestvec.errors import InputError
from nestvec.models.encoder import BACKENDS
from nestvec.settings import option

KEY_VARIABLE = "NESTVEC_API_KEY"
LIMITS = "Limits"  # the heading in `--help`
_ANYWHERE = ("0.0.0.0", "::", "")  # addresses that bind to all interfaces
KEPT = "kept"  # the backend that runs the ONNX graph kept beside the index, or PyTorch if there is no graph


@dataclass(frozen=True)
class ServingOptions:
    """Where a server listens, which clients may connect, and the server's limits.

    Raises:
        InputError: a value is outside its range; the message names the option.
    """

    host: str = option("127.0.0.1", "Address to bind; 0.0.0.0 for all interfaces.")
    port: int = option(8321, "Port; 0 for any free port.")
    api_key: str | None = option(
        None, f"File with the API key, or env:NAME for an environment variable (env:{KEY_VARIABLE})."
    )
    cors: tuple[str, ...] = option(
        (), "Origin, such as https://shop.example, whose pages may call the API; may be repeated.", repeat=True
    )
    allowed_host: tuple[str, ...] = option((), "Name to accept in the Host header; may be repeated.", repeat=True)
    model_alias: tuple[str, ...] = option((), "NAME=SYSTEM: another name for a system; may be repeated.", repeat=True)
    trust_token_ids: bool = option(False, "Accept all token ids, even if they could be another tokenizer's.")
    store: str | None = option(
        None, "Where the index is: `embedded`, or postgresql://user@host:port/database (where it was built last)."
    )
    name: str | None = option(None, "The index's name in a database (the name that was built last).")
    backend: str = option(
        KEPT, "What runs models: kept (the ONNX graph beside the index, else PyTorch), torch, onnx, openvino, or auto."
    )
    compute: str = option("float32", "Number format in which models compute: float32, bfloat16, or auto.")
    batch: int = option(64, "Most texts that a model encodes in one batch.", panel=LIMITS)
    wait: float = option(0.002, "Seconds to wait for more texts before a batch is encoded.", panel=LIMITS)
    queue: int = option(4096, "Most texts in the queue; requests beyond get HTTP 429.", panel=LIMITS)
    connections: int = option(900, "Most connections open at once.", panel=LIMITS)
    max_body: int = option(8 * 2**20, "Most bytes in a request's body.", panel=LIMITS)
    max_held: int = option(
        256 * 2**20,
        "Most bytes of all large requests together, and of all large answers; requests beyond get HTTP 503.",
        panel=LIMITS,
    )
    inputs: int = 2048  # most texts in one embeddings request
    queries: int = 256  # most queries in one search
    letters: int = 65_536  # most characters of a text
    header_seconds: float = option(10, "Timeout in seconds for reading a request's header.", panel=LIMITS)
    body_seconds: float = option(30, "Timeout in seconds for reading a request's body.", panel=LIMITS)
    write_seconds: float = option(30, "Timeout in seconds for a client to read 64 KB of its answer.", panel=LIMITS)
    index_seconds: float = option(10, "Timeout in seconds for a search of the index.", panel=LIMITS)
    drain_seconds: float = option(30, "Timeout in seconds for open requests when the server stops.", panel=LIMITS)

    def __post_init__(self) -> None:
        """Check that every option of `nestvec serve` has a valid value; raises InputError for the first invalid one."""
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
        """Names accepted in the Host header; None (any) if --host is all interfaces and no --allowed-host is given."""
        if self.host in _ANYWHERE and not self.allowed_host:
            return None
        return frozenset({"localhost", "127.0.0.1", "::1", self.host.lower(), *map(str.lower, self.allowed_host)})

    @property
    def aliases(self) -> dict[str, str]:
        """The system of each alias; InputError if --model-alias is not NAME=SYSTEM or gives a name to two systems."""
        aliases: dict[str, str] = {}
        for given in self.model_alias:
            name, _, system = (part.strip() for part in given.rpartition("="))
            if not name or not system:
                raise InputError(f"--model-alias is {given!r}", "NAME=SYSTEM, such as text-embedding-3-small=mnr")
            if aliases.setdefault(name, system) != system:
                problem = f"--model-alias gives {name!r} to {aliases[name]} and {system}"
                raise InputError(problem, "one system for each name: leave out one --model-alias")
        return aliases


def read_key(given: str | None) -> str | None:
    """Read the API key that clients must send.

    Args:
        given: a file's path, or `env:NAME` for an environment variable; None reads the variable NESTVEC_API_KEY.

    Returns:
        The key; None if no key is set.

    Raises:
        InputError: the file or variable is missing or empty, or the key has characters that a header cannot hold.
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
            wanted = "--api-key with the path of a file that holds the key"
            raise InputError(f"cannot be read ({error})", wanted, file=given) from error
    key = content.strip()
    if not key or not all("!" <= letter <= "~" for letter in key):
        wanted = "a file that holds one API key, of printable ASCII characters without spaces, and nothing else"
        raise InputError("holds no valid API key", wanted, file=given)
    return key
