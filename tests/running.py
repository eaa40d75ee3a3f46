"""The real server as a process of its own, for tests that ask it over HTTP."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import httpx2 as httpx

LONG = 120  # seconds that anything may take before a test fails


@dataclass(frozen=True)
class Running:
    """A server.

    Attributes:
        url: where it answers, without a slash at the end.
        process: it.
        log: what it prints.
    """

    url: str
    process: subprocess.Popen
    log: Path

    @property
    def place(self) -> tuple[str, int]:
        """Host and port."""
        parts = urlsplit(self.url)
        return parts.hostname, parts.port

    def end(self, sign: int = signal.SIGTERM) -> int:
        """Stop it; the exit code."""
        self.process.send_signal(sign)
        return self.process.wait(LONG)

    def wait_ready(self) -> None:
        """Until it has loaded its models."""
        until(lambda: httpx.get(f"{self.url}/readyz").status_code == 200, self)

    def meter(self, name: str, **labels: str) -> float:
        """A number among its metrics, summed over whatever labels are not given."""
        found = 0.0
        for line in httpx.get(f"{self.url}/metrics").text.splitlines():
            told = re.fullmatch(rf"{name}(?:{{(.*)}})? (\S+)", line)
            if told and all(f'{label}="{value}"' in (told[1] or "") for label, value in labels.items()):
                found += float(told[2])
        return found


def heed_hangups() -> None:
    """Let SIGHUP end the server that is started, even where `nohup` started what starts it: a server heeds `nohup`."""
    signal.signal(signal.SIGHUP, signal.SIG_DFL)


def until(holds, server: Running | None = None, seconds: float = LONG) -> None:
    """Wait until something holds; a server that ended tells why."""
    end = time.monotonic() + seconds
    while not _holds(holds):
        assert server is None or server.process.poll() is None, server.log.read_text()
        assert time.monotonic() < end, "waited too long"
        time.sleep(0.02)


def _holds(holds) -> bool:
    """Whether it does; a server says where it will listen a moment before it does."""
    try:
        return holds()
    except httpx.ConnectError:
        return False


@contextmanager
def serving(
    run: Path,
    *options: object,
    ready: bool = True,
    port: int = 0,
    env: dict[str, str] | None = None,
    files: int | None = None,
):
    """`nestvec serve RUN` on a free port, stopped at the end.

    Args:
        run: a finished run's folder.
        options: of the command line.
        ready: wait until its models are loaded.
        port: 0 takes a free one.
        env: variables besides.
        files: that it may have open at once, as by `ulimit -n`.

    Yields:
        The server.
    """
    with tempfile.TemporaryDirectory(prefix="nestvec-serving-") as folder:
        log = Path(folder) / "log"
        limit = ["prlimit", f"--nofile={files}"] if files else []
        words = [*limit, sys.executable, "-m", "nestvec", "serve", run, "--port", port, *options]
        with log.open("wb") as told:
            process = subprocess.Popen(
                [str(word) for word in words],
                stdout=told,
                stderr=subprocess.STDOUT,
                env={**os.environ, **(env or {})},
                preexec_fn=heed_hangups,
            )
        server = Running("", process, log)
        try:
            until(lambda: "http://" in log.read_text(), server)
            url = re.search(r"http://[^/]+", log.read_text())[0].replace("0.0.0.0", "127.0.0.1")
            server = Running(url, process, log)
            until(lambda: httpx.get(f"{url}/healthz").status_code > 0, server)  # it listens, whatever it answers
            if ready:
                server.wait_ready()
            yield server
        finally:
            if process.poll() is None:
                process.terminate()
                try:
                    process.wait(LONG)
                except subprocess.TimeoutExpired:
                    process.kill()
                    process.wait()
