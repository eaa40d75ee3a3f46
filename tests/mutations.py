"""Broken tables: a good one in every format and packing with one thing done to it; also for the benchmarks."""

from __future__ import annotations

import gzip
import io
import json
import random
import signal
import string
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.parquet as pq
from tables import rows

from nestvec.errors import InputError
from nestvec.pipeline.inputs import read_task
from nestvec.settings import DataSettings, Settings

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

LONGEST = 10  # seconds that any input may take
_ABSURD = ("1e999", "-0", "0x10", "1_000", "٣", "NaN", "1e-400", "9" * 400, "true", "", "--1", "1,5", "∞", "1e308")


def _delimited(table: list[dict[str, object]], tab: str) -> bytes:
    lines = [tab.join(table[0]), *(tab.join(str(value) for value in row.values()) for row in table)]
    return "\n".join(lines).encode()


def _parquet(table: list[dict[str, object]]) -> bytes:
    sink = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(table), sink)
    return sink.getvalue()


FORMS: dict[str, Callable[[list[dict[str, object]]], bytes]] = {
    ".csv": lambda table: _delimited(table, ","),
    ".tsv": lambda table: _delimited(table, "\t"),
    ".jsonl": lambda table: "\n".join(map(json.dumps, table)).encode(),
    ".parquet": _parquet,
}
PACKINGS: dict[str, Callable[[bytes], bytes]] = {
    "": lambda content: content,
    ".gz": lambda content: gzip.compress(content, mtime=0),
    ".zst": lambda content: pa.compress(content, codec="zstd", asbytes=True),
}


def flip_bytes(rng: random.Random, content: bytes) -> bytes:
    changed = bytearray(content)
    for _ in range(rng.randint(1, 8)):
        changed[rng.randrange(len(changed))] = rng.randrange(256)
    return bytes(changed)


def cut(rng: random.Random, content: bytes) -> bytes:
    start, end = sorted((rng.randrange(len(content)), rng.randrange(len(content) + 1)))
    return content[:start] + content[end:] if rng.random() < 0.5 else content[:start]


def repeat(rng: random.Random, content: bytes) -> bytes:
    start, end = sorted((rng.randrange(len(content)), rng.randrange(len(content))))
    return content[:end] + content[start:]


def swap_fields(rng: random.Random, content: bytes) -> bytes:
    lines = content.split(b"\n")
    for _ in range(rng.randint(1, 5)):
        index = rng.randrange(len(lines))
        fields = lines[index].split(b",")
        rng.shuffle(fields)
        lines[index] = b",".join(fields)
    return b"\n".join(lines)


def other_encoding(rng: random.Random, content: bytes) -> bytes:
    text = content.decode("latin-1") + "\nnaïve,café,3"
    name = rng.choice(["utf-16", "utf-16-le", "utf-32", "latin-1", "utf-8-sig", "cp037", "utf-7"])
    return text.encode(name, "replace")


def absurd_number(rng: random.Random, content: bytes) -> bytes:
    lines = content.split(b"\n")
    index = rng.randrange(len(lines))
    lines[index] = lines[index].replace(b"3", rng.choice(_ABSURD).encode(), 1)
    return b"\n".join(lines)


def quotes(rng: random.Random, content: bytes) -> bytes:
    index = rng.randrange(len(content))
    return content[:index] + rng.choice([b'"', b'""', b"'", b"\\", b"\r", b"\x00", b"\n\n"]) + content[index:]


def noise(rng: random.Random, content: bytes) -> bytes:
    return rng.randbytes(rng.randint(1, 2 * len(content)))


def deep(rng: random.Random, content: bytes) -> bytes:
    return content + b"\n" + rng.choice([b"[", b'{"query":']) * rng.randint(1, 50_000)


def other_header(rng: random.Random, content: bytes) -> bytes:
    first, _, body = content.partition(b"\n")
    name = "".join(rng.choices(string.printable, k=rng.randint(0, 12))).encode()
    return (
        rng.choice([name, first + b"," + name, first.upper(), first.replace(b"grade", b"grade,grade")]) + b"\n" + body
    )


MUTATIONS = (flip_bytes, cut, repeat, swap_fields, other_encoding, absurd_number, quotes, noise, deep, other_header)


def broken_inputs(seed: int, count: int) -> Iterator[tuple[str, bytes]]:
    """`count` broken inputs as (file name, content); the packing is put on before or after the damage."""
    rng = random.Random(seed)
    table: list[dict[str, object]] = list(rows(queries=40, each=4))
    for number in range(count):
        form, packing = rng.choice(list(FORMS)), rng.choice(list(PACKINGS))
        if form == ".parquet" and number % 20:
            packing = ""  # packed Parquet is refused by its name, before anything in it is read
        mutate, late = rng.choice(MUTATIONS), rng.random() < 0.3
        content = FORMS[form](table)
        packed = mutate(rng, PACKINGS[packing](content)) if late else PACKINGS[packing](mutate(rng, content))
        yield f"{number}-{mutate.__name__}{form}{packing}", packed


class TooSlowError(BaseException):
    """An input takes too long; nothing that is read catches this, as it would a TimeoutError, which is an OSError."""


@contextmanager
def at_most(seconds: int) -> Iterator[None]:
    """Raise TooSlowError in the main thread when the block takes longer."""

    def late(*_: object) -> None:
        raise TooSlowError

    before = signal.signal(signal.SIGALRM, late)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def load_outcome(path: Path) -> str:
    """`loaded`, or the message that a user would see; anything else is raised.

    Raises:
        AssertionError: the message is not one line.
        Exception: whatever got through.
    """
    with at_most(LONGEST):
        try:
            read_task(Settings(data=DataSettings(source=str(path))))
        except InputError as error:
            message = str(error)
            assert message.isprintable(), message
            assert len(message) < 2000, message
            return message
    return "loaded"
