"""Files and folders that are written whole or not at all, JSON, and hashes.

Everything is written in a temporary folder beside its place and renamed, so that a reader never sees half of it and a
killed process leaves nothing that looks finished. The temporary folder is `.NAME.PROCESS-RANDOM.tmp`; its writer locks
a file in it. The kernel releases the lock when the writer ends, however it ends, so that whoever can take the lock may
remove the folder: neither a process that has the writer's number by now nor another machine can be mistaken for it.
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import glob
import hashlib
import json
import os
import re
import shutil
import tempfile
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from nestvec.errors import InputError, NestvecError

if TYPE_CHECKING:
    from collections.abc import Iterator

_LARGEST = 2**28  # bytes of a file that is read as one text
_LONGEST_NAME = 255  # bytes, of a file or folder, on the usual file systems
FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)  # of the disk, the quota, the largest file allowed
_TEMPORARY = re.compile(r"\.(?P<name>.+)\.(?P<process>\d+)(?P<random>-\w{8})?\.tmp")
_LOCK, _OLD = ".lock", ".old"  # in a temporary folder: what its writer holds, and a folder on its way out
_AT_FDCWD, _RENAME_EXCHANGE = -100, 2  # of Linux


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
    """A temporary name for a file or folder that takes the place of `path` when the block ends well.

    Whatever the block wrote is removed when it raises; what was at `path` stays until the new one is complete. A folder
    changes places with the earlier one in a single step. Where the file system cannot do that, it takes two; if the
    process is killed between them, whoever replaces the folder next takes the second one. Symbolic links stay: what
    they lead to is replaced. Raises InputError where `path` is a device, a pipe or a socket, where a folder would take
    a file's place, and where a file would take a folder's.
    """
    with explain_full_disk(path):
        real = follow_links(path)
        real.parent.mkdir(parents=True, exist_ok=True)
        with _temporary_folder(real) as folder:
            new = folder / real.name
            yield new
            if new.exists() and real.exists() and new.is_dir() != real.is_dir():
                found, wanted = ("a folder", "a file") if real.is_dir() else ("a file", "a folder")
                raise InputError(
                    f"is {found}, and {wanted} is to be written there", f"{wanted}, or a free path", file=path
                )
            if not (new.is_dir() and real.is_dir()):
                new.replace(real)
            elif not _exchange(new, real):
                real.rename(folder / _OLD)
                new.rename(real)


def can_be_path(name: str) -> bool:
    """Whether files may have such a name: not empty, no NUL, and at most 255 bytes between two slashes."""
    parts = name.encode(errors="replace").split(b"/")
    return bool(name) and "\0" not in name and max(map(len, parts)) <= _LONGEST_NAME


def follow_links(path: Path) -> Path:
    """Where a path leads, through all symbolic links; InputError where nothing can be written there."""
    real = Path(os.path.realpath(path))
    if real.is_symlink() or (real.exists() and not real.is_file() and not real.is_dir()):
        raise InputError(
            "is a device, a pipe, a socket or a link to itself",
            "a regular file, a folder, or a path where nothing is yet",
            file=path,
        )
    return real


def sweep(folder: Path) -> None:
    """Remove what writers that are gone left under temporary names, in a folder and all below it."""
    for root, folders, files in os.walk(folder):  # which passes over what another process is removing
        for name in (*folders, *files):
            _remove_left(Path(root, name))


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
        raise InputError(
            f"cannot be written ({error.strerror})",
            "a regular file that you may write to, not a symbolic link",
            file=path,
        ) from error


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
        return _read_bytes(path, expected).decode()
    except UnicodeDecodeError as error:
        raise InputError(f"is damaged: {error}", f"{expected}, in UTF-8", file=path) from error


def _read_bytes(path: Path, expected: str) -> bytes:
    """The content of a file; InputError where it is missing, no file, or too large."""
    try:
        if path.exists() and not path.is_file() and not path.is_dir():
            raise InputError("is no file", expected, file=path)
        with path.open("rb") as stream:
            content = stream.read(_LARGEST + 1)
    except OSError as error:
        raise InputError(f"cannot be read ({error.strerror})", expected, file=path) from error
    if len(content) > _LARGEST:
        raise InputError(f"has more than {_LARGEST:,} bytes", expected, file=path)
    return content


def read_json(path: Path) -> Any:  # noqa: ANN401 - anything JSON can hold
    """What a JSON file of a run holds; InputError if it is missing or damaged."""
    content = _read_bytes(path, "a file of a finished run")
    try:
        text = content.decode()
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
    """Delete a file or folder if it is there; a killed process leaves a folder whole or not at all."""
    if path.is_symlink() or not path.is_dir():
        path.unlink(missing_ok=True)
        return
    try:
        with _temporary_folder(path) as aside:
            path.rename(aside / path.name)
    except OSError as error:
        if error.errno not in FULL:  # such a disk has no room for a temporary folder
            raise
        shutil.rmtree(path)


@contextmanager
def _temporary_folder(path: Path) -> Iterator[Path]:
    """A folder beside `path` until the block ends; those of writers of the same path that are gone are removed."""
    for left in list(path.parent.glob(f".{glob.escape(path.name)}.*.tmp")):
        _remove_left(left)
    folder, lock = _make_locked_folder(path)
    with ExitStack() as at_end:
        at_end.callback(_remove_empty, folder)
        at_end.enter_context(lock)  # closed before its name goes: NFS keeps that of an open file
        at_end.callback(_empty, folder, path)
        yield folder


def _make_locked_folder(path: Path) -> tuple[Path, IO[str]]:
    """A new temporary folder beside `path`, and the open file by which this process holds it."""
    while True:
        folder = Path(tempfile.mkdtemp(prefix=f".{path.name}.{os.getpid()}-", suffix=".tmp", dir=path.parent))
        with suppress(FileNotFoundError):  # another process removed the folder before it was locked
            lock = (folder / _LOCK).open("a")
            with suppress(OSError):  # a file system without locks: nothing is removed there that a killed process left
                fcntl.flock(lock, fcntl.LOCK_EX)
            if folder.exists():
                return folder, lock
            lock.close()


def _remove_left(path: Path) -> None:
    """Remove a temporary file or folder if its writer is gone."""
    name = _TEMPORARY.fullmatch(path.name)
    if name is None or path.is_symlink():
        return
    with suppress(OSError):  # its writer holds it, or another process is removing it
        if name["random"] is None:  # of a nestvec that locked nothing: its number is all there is to go by
            if not _is_running(int(name["process"])):
                _delete(path)
            return
        if not (path / _LOCK).exists():  # just made, or all but gone
            path.rmdir()
            return
        with (path / _LOCK).open("r+") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            _empty(path, path.with_name(name["name"]))
            _remove_empty(path)  # before a writer that waits for the lock has it


def _empty(folder: Path, path: Path) -> None:
    """Remove all but the lock from a temporary folder of `path`.

    If its writer ended between the two renames of `replacing`, the second one is done first.
    """
    if (folder / _OLD).exists() and not path.exists():
        (folder / path.name).rename(path)
    for entry in list(folder.iterdir()):
        if entry.name != _LOCK:
            _delete(entry)


def _remove_empty(folder: Path) -> None:
    """Remove a temporary folder that holds nothing but its lock, unless another process is doing that."""
    with suppress(OSError):
        (folder / _LOCK).unlink(missing_ok=True)
        folder.rmdir()


def _delete(path: Path) -> None:
    """Delete a file or folder, name by name."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _is_running(process: int) -> bool:
    """Whether this machine has a process of that number."""
    try:
        os.kill(process, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:  # somebody else's
        return True
    return True


def _exchange(one: Path, other: Path) -> bool:
    """Let two paths change places in one step; False where the file system or the C library cannot."""
    rename = getattr(ctypes.CDLL(None), "renameat2", None)
    paths = (_AT_FDCWD, os.fsencode(one), _AT_FDCWD, os.fsencode(other))
    return rename is not None and rename(*paths, _RENAME_EXCHANGE) == 0
