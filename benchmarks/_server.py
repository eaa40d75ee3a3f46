"""A server as a process of its own, and clients that ask it over plain sockets."""

from __future__ import annotations

import asyncio
import json
import os
import re
import socket
import subprocess
import sys
import time
import urllib.request
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

sys.path.append(str(Path(__file__).parent.parent / "tests"))

from running import heed_hangups  # type: ignore[import-not-found]  # a helper of the tests

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

Asked = dict[str, Any] | None  # what a request posts
MB = 1024  # kB, in which /proc counts


def free_port() -> int:
    """A port that nobody has."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        return int(taken.getsockname()[1])


def start(words: Sequence[object], files: int | None = None, log: Path | None = None) -> subprocess.Popen[bytes]:
    """Start Python with these words; it may open so many files (`ulimit -n`), and what it says goes to a log."""
    limit = ["prlimit", f"--nofile={files}"] if files else []
    command = [*limit, sys.executable, *map(str, words)]
    if log is None:
        return subprocess.Popen(command, stdout=subprocess.DEVNULL, preexec_fn=heed_hangups)
    with log.open("ab") as told:
        return subprocess.Popen(command, stdout=told, stderr=subprocess.STDOUT, preexec_fn=heed_hangups)


def wait_until_ready(process: subprocess.Popen[bytes], port: int) -> None:
    """Wait until /readyz says so; SystemExit where the process ends before."""
    while process.poll() is None:
        try:
            urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz", timeout=5).close()
            return
        except OSError:
            time.sleep(0.05)
    raise SystemExit(f"{process.args!r} ended with {process.returncode}")


@contextmanager
def started(
    words: Sequence[object], port: int, files: int | None = None, log: Path | None = None
) -> Iterator[subprocess.Popen[bytes]]:
    """A server from when it is ready; it is told to end, and waited for."""
    process = start(words, files, log)
    try:
        wait_until_ready(process, port)
        yield process
    finally:
        process.terminate()
        process.wait(60)


def processor_seconds(pid: int | None) -> float:
    """Seconds of processor time that a process has used; 0 where it has ended, or the system has no /proc."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    except OSError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def memory(pid: int, kind: str = "VmRSS") -> float:
    """MB that a process has resident now, or with `VmHWM` had at most."""
    told = Path(f"/proc/{pid}/status").read_text()
    return float(told.partition(f"{kind}:")[2].split()[0]) / MB


def forget_peak(pid: int) -> None:
    """Begin to count a process' `VmHWM` anew."""
    Path(f"/proc/{pid}/clear_refs").write_text("5")


class Lost(Exception):
    """The server closed the connection in place of an answer."""


class Line:
    """A connection over which one request after another is asked."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def ask(self, path: str, asked: Asked = None) -> tuple[int, bytes]:
        """Status and body of an answer; Lost where there is none, ConnectionRefusedError where nobody listens."""
        if self._streams is None:
            self._streams = await asyncio.open_connection("127.0.0.1", self._port, limit=2**20)
        reader, writer = self._streams
        try:
            writer.write(request(path, asked))
            head = (await reader.readuntil(b"\r\n\r\n")).lower()
            length = re.search(rb"content-length: (\d+)", head)
            body = await reader.readexactly(int(length[1]) if length else 0)
        except (OSError, asyncio.IncompleteReadError) as error:
            self.close()
            raise Lost(repr(error)) from error
        if b"connection: close" in head:
            self.close()
        return int(head.split()[1]), body

    def close(self) -> None:
        """Leave; the next request connects again."""
        if self._streams:
            self._streams[1].close()
            self._streams = None


def request(path: str, asked: Asked = None) -> bytes:
    """A request's bytes: POST where something is asked."""
    body = b"" if asked is None else json.dumps(asked).encode()
    method = "GET" if asked is None else "POST"
    head = f"{method} {path} HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n"
    return f"{head}content-length: {len(body)}\r\n\r\n".encode() + body
