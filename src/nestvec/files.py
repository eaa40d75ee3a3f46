"""Files that are written whole or not at all, JSON, and hashes.

Everything is written to a temporary name in the same folder and renamed, so that a reader never sees half a file and a
killed process leaves nothing that looks finished.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import json
import os
import shutil
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from nestvec.errors import InputError, NestvecError

if TYPE_CHECKING:
    from collections.abc import Iterator

_LARGEST = 2**28  # bytes of a file that is read as one text
FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)  # of the disk, the quota, the largest file allowed


@contextmanager
def explain_full_disk(path: Path) -> Iterator[None]:
    """Raise NestvecError where the block's writing of `path` fails on the disk, the quota or the largest file size."""
    try:
        yield
    except OSError as error:
        if error.errno not in FULL:
            raise
        raise NestvecError(f"{path} cannot be written ({error.strerror}); what was finished before stays") from error


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A temporary file or folder name beside `path` that takes its place when the block ends well.

    Whatever the block wrote is removed when it raises; what was at `path` stays until the new one is complete.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    remove(temporary)
    try:
        with explain_full_disk(path):
            yield temporary
            if path.is_dir() and temporary.exists():  # a folder cannot be renamed over one that has files
                remove(path)
            temporary.replace(path)
    finally:
        remove(temporary)


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Keep other processes from writing to a folder; the lock ends with the process that holds it, however it ends.

    Args:
        folder: that exists; `.lock` is made in it.

    Yields:
        Nothing.

    Raises:
        InputError: another process holds the lock.
    """
    with _open_lock(folder / ".lock") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise InputError("is being written by another process", "one process at a time", file=folder) from error
        yield


def _open_lock(path: Path) -> IO[bytes]:
    """Open a file to be locked; through a symbolic link another file would be emptied, or made."""
    try:
        return os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o666), "rb")
    except OSError as error:
        if error.errno in FULL:
            raise
        raise InputError(f"cannot be written ({error.strerror})", "a file of its own", file=path) from error


def write_text(path: Path, text: str) -> None:
    """Write UTF-8 text atomically."""
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path: Path, value: Any) -> None:  # noqa: ANN401 - anything JSON can hold
    """Write JSON atomically, in a form that diffs well; NaN and infinities are refused."""
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def require_file(path: Path, expected: str = "a file of a finished run") -> None:
    """Raise InputError unless a path leads to a regular file: a pipe would be waited for, a device read for ever."""
    try:
        problem = None if path.is_file() else "is no file" if path.exists() else "is missing"
    except OSError as error:
        problem = f"cannot be read ({error.strerror})"
    if problem:
        raise InputError(problem, expected, file=path)


def read_text(path: Path, expected: str = "a file of a finished run") -> str:
    """The text of a file in UTF-8; InputError where it is missing, no file, too large, or not UTF-8."""
    try:
        if not path.is_file() and path.exists():
            raise InputError("is no file", expected, file=path)
        with path.open("rb") as stream:
            content = stream.read(_LARGEST + 1)
        if len(content) > _LARGEST:
            raise InputError(f"has more than {_LARGEST:,} bytes", expected, file=path)
        return content.decode()
    except OSError as error:
        raise InputError(f"cannot be read ({error.strerror})", expected, file=path) from error
    except UnicodeDecodeError as error:
        raise InputError(f"is damaged: {error}", f"{expected}, in UTF-8", file=path) from error


def read_json(path: Path) -> Any:  # noqa: ANN401 - anything JSON can hold
    """What a JSON file of a run holds; InputError if it is missing or damaged."""
    text = read_text(path)
    try:
        value = json.loads(text)
        if "\\ud" in text.lower():  # half a letter, which nothing can print or write
            json.dumps(value, ensure_ascii=False).encode()
    except (ValueError, RecursionError) as error:
        raise InputError(f"is damaged: {error}", "JSON", file=path) from error
    return value


def read_object(path: Path, wanted: str) -> dict[str, Any]:
    """The object that a JSON file holds; raises InputError, with what was `wanted`, where it holds anything else."""
    value = read_json(path)
    if not isinstance(value, dict):
        raise InputError("is no JSON object", wanted, file=path)
    return value


def sha256(*paths: Path) -> str:
    """The SHA-256 in hex of files' bytes, one file after the other; files are read in pieces, so any size is fine."""
    digest = hashlib.sha256()
    for path in paths:
        with path.open("rb") as stream:
            hashlib.file_digest(stream, lambda: digest)
    return digest.hexdigest()


def remove(path: Path) -> None:
    """Delete a file or folder if it is there."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
