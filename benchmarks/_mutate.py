"""Files of a run's, an index's or an export's folder, each changed in one way that an accident or an attacker may."""

from __future__ import annotations

import io
import json
import os
import random
import sqlite3
import struct
from contextlib import closing, suppress
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

SECRET = "outside the folder"  # what a file beside the folders holds; nothing may read or remove it
_NUMBERS = (0, -1, 1, 2, 2**31, 2**63, -(2**63), 10**18, 10**400, 0.5, -0.0, 1e308, float("nan"), float("inf"))
_TEXTS = ("", " ", "\0", "..", "../../outside/secret", "/etc/passwd", "bm25", "mnr", "48.int8", "x" * 100_000, "\ud800")
_STORES = ("postgresql://me@203.0.113.7:5432/x", "postgres://h/x", "postgresql:///x?host=203.0.113.7", "redis://h")
_VALUES: tuple[Any, ...] = (None, True, False, [], {}, [[]], {"": None}, [0] * 1000, *_NUMBERS, *_TEXTS, *_STORES)


def flip_bits(rng: random.Random, content: bytes) -> bytes:
    changed = bytearray(content)
    for _ in range(rng.choice((1, 1, 1, 8, 64)) if content else 0):
        changed[rng.randrange(len(changed))] ^= 1 << rng.randrange(8)
    return bytes(changed)


def flip_head(rng: random.Random, content: bytes) -> bytes:
    return flip_bits(rng, content[:120]) + content[120:]


def state_size(rng: random.Random, content: bytes) -> bytes:
    """Eight bytes near the beginning become an absurd number."""
    at = rng.randrange(0, 100)
    return content[:at] + struct.pack("<Q", rng.choice((2**63, 2**40, 2**32, 10**9, 0))) + content[at + 8 :]


def cut(rng: random.Random, content: bytes) -> bytes:
    return content[
        : rng.choice((0, 1, 7, 8, len(content) // 2, max(0, len(content) - 1), rng.randrange(len(content) + 1)))
    ]


def zero(rng: random.Random, content: bytes) -> bytes:
    start = rng.randrange(len(content) + 1)
    length = rng.choice((1, 16, 4096, len(content)))
    return content[:start] + bytes(min(length, len(content) - start)) + content[start + length :]


def noise(rng: random.Random, content: bytes) -> bytes:
    return rng.randbytes(rng.choice((1, 100, len(content))))


def append(rng: random.Random, content: bytes) -> bytes:
    return content + rng.choice((b"\n", b"\0" * 8, content, rng.randbytes(100)))


def shuffle_lines(rng: random.Random, content: bytes) -> bytes:
    lines = content.split(b"\n")
    row = rng.randrange(len(lines))
    fields = lines[row].split(b" ")
    odd = rng.choice((b"9" * 5000, b"-1", b"nan", b"", b"\xff\xfe", "٣".encode(), b"[" * 3000, b"x" * 10_000, b"../x"))
    fields[rng.randrange(len(fields))] = odd
    lines[row] = b" ".join(fields)
    return b"\n".join(lines)


BYTES = (flip_bits, flip_bits, flip_head, state_size, cut, cut, zero, noise, append)


def change_json(rng: random.Random, content: bytes) -> bytes:
    """A value, at any depth, of another type, size or sign; or without a key; or nested too deeply."""
    value = json.loads(content)
    choice = rng.random()
    if choice < 0.04:
        return b'{"a":' * 100_000
    if choice < 0.08:
        return json.dumps(rng.choice(_VALUES)).encode()
    place, key = _choose_entry(rng, value)
    if key is None:
        return json.dumps(rng.choice(_VALUES)).encode()
    if choice < 0.25:
        del place[key]
    else:
        place[key] = rng.choice(_VALUES)
    return json.dumps(value).encode()


def _choose_entry(rng: random.Random, value: object) -> tuple[Any, Any]:
    """A container somewhere in a JSON value, and one of its keys; no key where it has none."""
    place, key = value, None
    while isinstance(value, dict | list) and value:
        place, key = value, rng.choice(list(value) if isinstance(value, dict) else range(len(value)))
        value = value[key]
        if rng.random() < 0.2:
            break
    return place, key


def change_safetensors(rng: random.Random, content: bytes) -> bytes:
    """Another header, or other numbers under a header that is right, checksum of nestvec's included."""
    from safetensors.numpy import load, save

    length = int.from_bytes(content[:8], "little")
    head = json.loads(content[8 : 8 + length])
    if rng.random() < 0.5:
        changed = change_json(rng, json.dumps(head).encode())
        return len(changed).to_bytes(8, "little") + changed + content[8 + length :]
    tensors = load(content)
    name = rng.choice(sorted(tensors))
    odd = (
        np.float32("nan"),
        np.zeros(0, np.float32),
        np.zeros((3, 3), np.float32),
        np.int64(10**12),
        np.float64("inf"),
    )
    tensors[name] = np.asarray(rng.choice(odd))
    about = json.loads(head.get("__metadata__", {}).get("nestvec", "{}"))
    with suppress(ImportError):
        from nestvec.vectors import stored

        about["crc32"] = stored._tensor_checksum(tensors)
    return bytes(save(tensors, metadata={"nestvec": json.dumps(about)}))


def change_npy(rng: random.Random, content: bytes) -> bytes:
    """Another header before the same numbers, or another kind of file of NumPy."""
    sink = io.BytesIO()
    if rng.random() < 0.2:
        np.savez(sink, np.arange(9)) if rng.random() < 0.5 else np.save(sink, np.array([None]), allow_pickle=True)
        return sink.getvalue()
    shapes = ("(2, -1)", "(1000000000, 384)", "(2,)", "()", "(-1,)", "(True, 1)", "(0, 0)", "(99999999999999999999, 1)")
    kinds = ("'<f4'", "'<f8'", "'|O'", "'<U99999999'", "[('a','<f4')]", "'>i4'", "'<i4'", "None")
    head = f"{{'descr': {rng.choice(kinds)}, 'fortran_order': {rng.choice(('True', 'False', '3'))}, "
    head += f"'shape': {rng.choice(shapes)}}}"
    head = rng.choice((head, head, "[" * 9000, "{" + "'a':1," * 1000, ""))
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(head)) + head.encode() + content[128:]


def change_parquet(rng: random.Random, content: bytes) -> bytes:
    """A good file of another table: columns missing, twice, of another type, with holes, with texts that are none."""
    table = pq.read_table(pa.BufferReader(content))
    name = rng.choice(table.column_names)
    place, count = table.column_names.index(name), table.num_rows
    others: list[Callable[[], pa.Table]] = [
        lambda: table.drop([name]),
        lambda: table.append_column(name, table[name]),
        lambda: table.slice(0, 0),
        lambda: table.slice(0, count // 2),
        lambda: pa.concat_tables([table, table]),
        lambda: table.set_column(place, name, pa.array([None] * count, table[name].type)),
        lambda: table.set_column(place, name, pa.array(range(count), pa.int64())),
        lambda: table.set_column(place, name, pa.array([[]] * count, pa.list_(pa.int8()))),
        lambda: table.set_column(place, name, pa.array([b"\xff\xfe"] * count, pa.binary()).view(pa.string())),
        lambda: table.set_column(place, name, pa.array([float("nan")] * count)),
        lambda: table.set_column(place, name, pa.array([""] * count)),
        lambda: table.set_column(place, name, table[name].dictionary_encode()),
        lambda: table.set_column(place, name, _repeat("x" * 2**20, count)),
    ]
    sink = io.BytesIO()
    pq.write_table(rng.choice(others)(), sink, store_schema=False)
    return sink.getvalue()


def _repeat(text: str, count: int) -> pa.Array:
    """A text in every row, which takes its bytes once."""
    return pa.DictionaryArray.from_arrays(pa.array(np.zeros(count, np.int32)), pa.array([text]))


def change_toml(rng: random.Random, content: bytes) -> bytes:
    """A line's value is another."""
    lines = content.decode().splitlines()
    row = rng.choice([row for row, line in enumerate(lines) if "=" in line])
    odd = (
        "true",
        "-1",
        "nan",
        "1e400",
        '""',
        '"../x"',
        "[1, 2]",
        "{a = 1}",
        "[" * 3000,
        "9" * 5000,
        "'''x",
        "1979-05-27",
    )
    lines[row] = f"{lines[row].split('=')[0]}= {rng.choice(odd)}"
    return "\n".join(lines).encode()


_ENDLESS = "WITH RECURSIVE n(row) AS (SELECT 0 UNION ALL SELECT row + 1 FROM n) SELECT row"
SQL = (
    f"DROP TABLE documents; CREATE VIEW documents AS {_ENDLESS}, 'a' AS id, 'b' AS text, '{{}}' AS fields FROM n",
    f"DROP TABLE gone; CREATE VIEW gone AS {_ENDLESS} FROM n",
    "DROP TABLE segments; CREATE VIEW segments AS SELECT 0 AS first, 10 AS rows, '{}' AS checks",
    "CREATE TRIGGER t AFTER INSERT ON gone BEGIN DELETE FROM documents; END",
    "CREATE TABLE more (x)",
    "CREATE INDEX more ON documents (text)",
    "DROP INDEX fields_row",
    "DROP TABLE words",
    "ALTER TABLE documents ADD COLUMN x TEXT GENERATED ALWAYS AS (zeroblob(1000000000))",
    "CREATE VIRTUAL TABLE more USING fts5(x)",
    "UPDATE documents SET text = zeroblob(20000000) WHERE row < 3",
    "UPDATE documents SET text = CAST(x'fffe' AS TEXT)",
    "UPDATE documents SET text = 17, id = x'00'",
    "UPDATE documents SET fields = '[1]'",
    "UPDATE documents SET fields = printf('%.*c', 100000, '[')",
    "UPDATE documents SET row = row + 1000000000",
    "UPDATE documents SET id = 'same' || row",
    "DELETE FROM documents",
    "DELETE FROM documents WHERE row % 2",
    "UPDATE segments SET rows = rows * 1000000000",
    "UPDATE segments SET rows = -1",
    "UPDATE segments SET rows = 'many'",
    "UPDATE segments SET first = 7",
    "UPDATE segments SET checks = 'null'",
    "UPDATE segments SET checks = '{}'",
    "UPDATE segments SET checks = x'7b7d'",
    "DELETE FROM segments",
    "INSERT INTO segments VALUES (1, 1, '{}')",
    "INSERT INTO gone VALUES (999999999999)",
    "INSERT INTO gone VALUES (-5)",
    "INSERT INTO gone SELECT row FROM documents",
    "UPDATE words SET start = start + 1000000000",
    "UPDATE words SET start = stop",
    "UPDATE words SET stop = 'x'",
    "UPDATE words SET start = 0, stop = 2",
    "UPDATE words SET first = 'x'",
    "UPDATE words SET word = x'ff' || word",
    "INSERT INTO fields VALUES ('brand', 999999999, 'x', NULL)",
    "INSERT INTO fields VALUES ('brand', 'x', 'x', 1)",
    "PRAGMA journal_mode = WAL",
    "PRAGMA user_version = 7; PRAGMA auto_vacuum = FULL; VACUUM",
    "PRAGMA page_size = 65536; VACUUM",
    "PRAGMA encoding = 'UTF-16'; VACUUM",
)


def change_database(rng: random.Random, path: Path) -> None:
    """Statements of an attacker; or a tree of pages that leads to itself; or a journal that names another file."""
    choice = rng.random()
    if choice < 0.12:
        _tie_pages(rng, path)
    elif choice < 0.18:
        named = str(path.parents[4] / "outside/secret").encode()
        magic = bytes.fromhex("d9d505f920a163d7")
        tail = struct.pack(">I", 1) + named + struct.pack(">II", len(named), sum(named)) + magic
        journal = magic + struct.pack(">5I", 0, 1, 1, 512, 4096)
        path.with_name(f"{path.name}-journal").write_bytes(journal.ljust(512, b"\0") + tail)
    else:
        statement = rng.choice(SQL)
        with suppress(sqlite3.Error), closing(sqlite3.connect(path, isolation_level=None)) as base:
            base.executescript(statement)


def _tie_pages(rng: random.Random, path: Path) -> None:
    """All children of inner pages become one page, mostly the page itself."""
    content = bytearray(path.read_bytes())
    size = int.from_bytes(content[16:18], "big") or 512
    size = 65536 if size == 1 else size
    for start in range(0, len(content), size):
        head = start + (100 if start == 0 else 0)
        if content[head] in (2, 5):
            child = rng.choice((start // size + 1, 1, 2, 3))
            count = int.from_bytes(content[head + 3 : head + 5], "big")
            for cell in range(count):
                at = start + int.from_bytes(content[head + 12 + 2 * cell : head + 14 + 2 * cell], "big")
                content[at : at + 4] = struct.pack(">I", child)
            content[head + 8 : head + 12] = struct.pack(">I", child)
    path.write_bytes(content)


FORMS: dict[str, tuple[Callable[[random.Random, bytes], bytes], ...]] = {
    ".json": (change_json, change_json, change_json),
    ".safetensors": (change_safetensors,),
    ".npy": (change_npy,),
    ".parquet": (change_parquet, change_parquet),
    ".toml": (change_toml, change_toml),
    ".trec": (shuffle_lines, shuffle_lines),
}


def mutate(rng: random.Random, path: Path, others: list[Path], outside: Path) -> str:
    """Change one file of a folder in some way; gives the way's name.

    Args:
        rng: chooses.
        path: of the file.
        others: files that may be put in its place.
        outside: a folder beside, which links may lead to.
    """
    choice = rng.random()
    if choice < 0.08:
        return _replace_kind(rng, path, outside)
    if choice < 0.13:
        return _swap(rng, path, others)
    if path.suffix == ".sqlite" and choice < 0.75:
        copy_apart(path)
        change_database(rng, path)
        return change_database.__name__
    content = path.read_bytes()
    if path.name == "store.json" and choice < 0.6:
        copy_apart(path)
        path.write_text(json.dumps({**json.loads(content), "store": rng.choice(_STORES)}))
        return "another host"
    own = FORMS.get(path.suffix, ())
    way = rng.choice(own) if own and rng.random() < 0.65 else rng.choice(BYTES)
    try:
        changed = way(rng, content)
    except (ValueError, KeyError, IndexError, TypeError, pa.ArrowException):  # another form than its name says
        way, changed = flip_bits, flip_bits(rng, content)
    path.unlink()
    path.write_bytes(changed)
    return way.__name__


def copy_apart(path: Path) -> None:
    """Make a file that may be a link to the original one of its own."""
    content = path.read_bytes()
    path.unlink()
    path.write_bytes(content)


def _replace_kind(rng: random.Random, path: Path, outside: Path) -> str:
    """Nothing, a link, a pipe, a device or a folder in place of a file."""
    path.unlink()
    goal = {"nothing": "/nowhere", "a text": str(outside / "secret"), "itself": path.name, "a device": "/dev/zero"}
    way = rng.choice(("gone", "pipe", "folder", *(f"link to {name}" for name in goal)))
    if way == "pipe":
        os.mkfifo(path)
    elif way == "folder":
        path.mkdir()
        (path / "x").write_text("x")
    elif way != "gone":
        path.symlink_to(goal[way.removeprefix("link to ")])
    return way


def _swap(rng: random.Random, path: Path, others: list[Path]) -> str:
    """Another file of the folder in its place, mostly one of the same kind."""
    alike = [other for other in others if other.suffix == path.suffix and other != path]
    other = rng.choice(alike if alike and rng.random() < 0.7 else others)
    content = other.read_bytes() if other.stat().st_size < 10**7 else b""
    path.unlink()
    path.write_bytes(content)
    return f"swapped with {other.name}"
