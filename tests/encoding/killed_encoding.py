"""Encodes in processes that are killed, each by what no process can catch, and says what was left of it.

    python tests/encoding/killed_encoding.py MODEL SOURCE OUT MOMENT ...

For every MOMENT a process of its own begins or goes on, and is killed when it has reported progress so often; the last
one is left alone. All are forked from one that has imported everything, so that a kill costs a second and not ten.
"""

from __future__ import annotations

import os
import signal
import sys
from contextlib import contextmanager
from pathlib import Path

import sentence_transformers  # noqa: F401 - so that the forked processes need not

import nestvec.models.torch_encoder  # noqa: F401
from nestvec.encoding import encode_file


class Loud:
    """A reporter that writes a byte for every call."""

    def __init__(self, pipe):
        self.pipe = pipe

    def say(self, text):
        del text
        os.write(self.pipe, b".")

    @contextmanager
    def step(self, label, total):
        del label, total
        os.write(self.pipe, b".")
        yield lambda _: os.write(self.pipe, b".")
        os.write(self.pipe, b".")


def encode(model, source, out, pipe):
    """In this process, to its end."""
    made = encode_file.encode(
        model, source, Path(out), precision="int8", dimension=48, backend="torch", compute="float32", shard=25,
        reporter=Loud(pipe),
    )  # fmt: skip
    return made.resumed


def killed_at(moment, *given):
    """In another process; killed when it has reported so often."""
    reads, writes = os.pipe()
    child = os.fork()
    if not child:
        encode(*given, writes)
        os._exit(0)
    os.close(writes)
    heard = 0
    while heard < moment and (found := os.read(reads, 1)):
        heard += len(found)
    os.kill(child, signal.SIGKILL)
    os.close(reads)
    return os.WTERMSIG(os.waitpid(child, 0)[1])


if __name__ == "__main__":
    given, moments = sys.argv[1:4], list(map(int, sys.argv[4:]))
    for moment in moments:
        sys.stdout.write(f"killed by {killed_at(moment, *given)} {Path(given[2]).exists()}\n")
    sys.stdout.write(f"resumed {encode(*given, os.open(os.devnull, os.O_WRONLY))}\n")
