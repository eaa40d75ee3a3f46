"""Write files and folders completely or not at all; read JSON; compute hashes.

Everything is written in a temporary folder beside its final path and then renamed, so that a reader never sees half a
file and a killed process leaves nothing that looks finished. The temporary folder is `.NAME.PROCESS-RANDOM.tmp`. Its
writer locks a file in it. The kernel releases the lock when the writer ends for any reason, so a process that can take
the lock may remove the folder. A lock is safer than the process number in the name, which another process may have now.
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

_LARGEST = 2**28  # most bytes of a file that is read as one text
_LONGEST_NAME = 255  # most bytes of the name of a file or folder on usual file systems
FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)  # disk full, quota exceeded, file too large
_TEMPORARY = re.compile(r"\.(?P<name>.+)\.(?P<process>\d+)(?P<random>-\w{8})?\.tmp")
_LOCK, _OLD = ".lock", ".old"  # in a temporary folder: the file that its writer locks, and the replaced folder
_AT_FDCWD, _RENAME_EXCHANGE = -100, 2  # constants of Linux


@contextmanager
def explain_full_disk(path: Path) -> Iterator[None]:
    """Raise NestvecError if the `with` block cannot write `path` because the disk is full or a limit is exceeded."""
    try:
        yield
    except OSError as error:
        if error.errno not in FULL:
            raise
        raise NestvecError(f"{path} cannot be written ({error.strerror}); finished work is kept") from error


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a temporary path for a file or folder that replaces `path` when the `with` block ends without an error.

    If the block raises, what it wrote is removed. The old content of `path` stays until the new content is complete.
    A new folder is exchanged with the old folder in one step. If the file system cannot do that, two renames are made;
    if the process is killed between the two, the next process that replaces the folder makes the second rename.
    Symbolic links stay, and their target is replaced. Raises InputError if `path` is a device, a pipe or a socket, if a
    folder would replace a file, or if a file would replace a folder.
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
                    f"is {found}, and {wanted} is to be written there",
                    f"{wanted}, or a path that does not exist yet",
                    file=path,
                )
            if not (new.is_dir() and real.is_dir()):
                new.replace(real)
            elif not _exchange(new, real):
                real.rename(folder / _OLD)
                new.rename(real)


def can_be_path(name: str) -> bool:
    """Whether a text can be a path: not empty, without NUL, and at most 255 bytes between two slashes."""
    parts = name.encode(errors="replace").split(b"/")
    return bool(name) and "\0" not in name and max(map(len, parts)) <= _LONGEST_NAME


def follow_links(path: Path) -> Path:
    """Resolve all symbolic links of a path; InputError if nothing can be written to the target."""
    real = Path(os.path.realpath(path))
    if real.is_symlink() or (real.exists() and not real.is_file() and not real.is_dir()):
        raise InputError(
            "is a device, a pipe, a socket or a link to itself",
            "a regular file, a folder, or a path that does not exist yet",
            file=path,
        )
    return real


def sweep(folder: Path) -> None:
    """Remove temporary files and folders that dead processes left in a folder and all folders below it."""
    for root, folders, files in os.walk(folder):  # skips entries that another process is removing
        for name in (*folders, *files):
            _remove_left(Path(root, name))


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Lock a folder against other processes during the `with` block; the lock also ends if the process dies.

    Args:
        folder: an existing folder; the file `.lock` is created in it.

    Yields:
        Nothing.

    Raises:
        InputError: another process holds the lock.
    """
    with _open_lock(folder / ".lock") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            problem = "is being written by another process"
            wanted = "one process at a time: wait for the other process, or stop it"
            raise InputError(problem, wanted, file=folder) from error
        yield


def _open_lock(path: Path) -> IO[bytes]:
    """Open or create a lock file; refuses a symbolic link, because the link could create a file elsewhere."""
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
    """Write a UTF-8 text file atomically: readers see the old file or the whole new one."""
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path: Path, value: Any) -> None:  # noqa: ANN401 - anything JSON can hold
    """Write JSON atomically, indented so that it diffs well; raises ValueError for NaN and infinity."""
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def require_file(path: Path, expected: str = "a file of a finished run") -> None:
    """Raise InputError unless a path is a regular file; reading from a pipe or device might never end."""
    try:
        problem = None if path.is_file() else "is not a regular file" if path.exists() else "is missing"
    except OSError as error:
        problem = f"cannot be read ({error.strerror})"
    if problem:
        raise InputError(problem, expected, file=path)


def read_text(path: Path, expected: str = "a file of a finished run") -> str:
    """Read a UTF-8 file; InputError if the file is missing, not a regular file, too large, or not UTF-8."""
    try:
        return _read_bytes(path, expected).decode()
    except UnicodeDecodeError as error:
        raise InputError(f"is damaged: {error}", f"{expected}, in UTF-8", file=path) from error


def _read_bytes(path: Path, expected: str) -> bytes:
    """Read a file; InputError if the file is missing, not a regular file, or too large."""
    try:
        if path.exists() and not path.is_file() and not path.is_dir():
            raise InputError("is not a regular file", expected, file=path)
        with path.open("rb") as stream:
            content = stream.read(_LARGEST + 1)
    except OSError as error:
        raise InputError(f"cannot be read ({error.strerror})", expected, file=path) from error
    if len(content) > _LARGEST:
        raise InputError(f"has more than {_LARGEST:,} bytes", expected, file=path)
    return content


def read_json(path: Path) -> Any:  # noqa: ANN401 - anything JSON can hold
    """Read a JSON file of a run; InputError if the file is missing or damaged."""
    content = _read_bytes(path, "a file of a finished run")
    try:
        text = content.decode()
        value = json.loads(text)
        if "\\ud" in text.lower():  # half of a surrogate pair, which cannot be encoded: the next line raises
            json.dumps(value, ensure_ascii=False).encode()
    except (ValueError, RecursionError) as error:
        raise InputError(f"is damaged: {error}", "JSON", file=path) from error
    return value


def read_object(path: Path, wanted: str) -> dict[str, Any]:
    """Read a JSON file that holds an object; else raise InputError, whose message says that `wanted` is expected."""
    value = read_json(path)
    if not isinstance(value, dict):
        raise InputError("is not a JSON object", wanted, file=path)
    return value


def sha256(*paths: Path) -> str:
    """Compute the SHA-256, in hex, of the bytes of one or several files in order; reads in pieces, to save memory."""
    digest = hashlib.sha256()
    for path in paths:
        with path.open("rb") as stream:
            hashlib.file_digest(stream, lambda: digest)
    return digest.hexdigest()


def remove(path: Path) -> None:
    """Delete a file or folder if present; a folder is renamed first, so that a killed process leaves no half of it."""
    if path.is_symlink() or not path.is_dir():
        path.unlink(missing_ok=True)
        return
    try:
        with _temporary_folder(path) as aside:
            path.rename(aside / path.name)
    except OSError as error:
        if error.errno not in FULL:  # a full disk has no room for a temporary folder
            raise
        shutil.rmtree(path)


@contextmanager
def _temporary_folder(path: Path) -> Iterator[Path]:
    """Make a temporary folder beside `path` for the `with` block; removes those that dead writers of `path` left."""
    for left in list(path.parent.glob(f".{glob.escape(path.name)}.*.tmp")):
        _remove_left(left)
    folder, lock = _make_locked_folder(path)
    with ExitStack() as at_end:
        at_end.callback(_remove_empty, folder)
        at_end.enter_context(lock)  # closed before its file is deleted, because NFS keeps the name of an open file
        at_end.callback(_empty, folder, path)
        yield folder


def _make_locked_folder(path: Path) -> tuple[Path, IO[str]]:
    """Make a temporary folder beside `path`, locked by this process; return the folder and the open lock file."""
    while True:
        folder = Path(tempfile.mkdtemp(prefix=f".{path.name}.{os.getpid()}-", suffix=".tmp", dir=path.parent))
        with suppress(FileNotFoundError):  # another process removed the folder before it was locked
            lock = (folder / _LOCK).open("a")
            with suppress(OSError):  # a file system without locks: leftovers of killed processes are not removed
                fcntl.flock(lock, fcntl.LOCK_EX)
            if folder.exists():
                return folder, lock
            lock.close()


def _remove_left(path: Path) -> None:
    """Remove a temporary file or folder if the process that wrote the file or folder is dead."""
    name = _TEMPORARY.fullmatch(path.name)
    if name is None or path.is_symlink():
        return
    with suppress(OSError):  # its writer holds the lock, or another process is removing it
        if name["random"] is None:  # made by an earlier version without locks: only the process number is known
            if not _is_running(int(name["process"])):
                _delete(path)
            return
        if not (path / _LOCK).exists():  # just created, or nearly removed
            path.rmdir()
            return
        with (path / _LOCK).open("r+") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            _empty(path, path.with_name(name["name"]))
            _remove_empty(path)  # while the lock is held, so that no waiting writer gets it


def _empty(folder: Path, path: Path) -> None:
    """Remove everything except the lock file from a temporary folder of `path`.

    If a process died after it moved the old folder away from `path`, the new folder is first moved to `path`.
    """
    if (folder / _OLD).exists() and not path.exists():
        (folder / path.name).rename(path)
    for entry in list(folder.iterdir()):
        if entry.name != _LOCK:
            _delete(entry)


def _remove_empty(folder: Path) -> None:
    """Remove a temporary folder that holds only a lock file, unless another process is removing the folder."""
    with suppress(OSError):
        (folder / _LOCK).unlink(missing_ok=True)
        folder.rmdir()


def _delete(path: Path) -> None:
    """Delete a file, or a folder with all its content."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _is_running(process: int) -> bool:
    """Whether a process with the given number (PID) runs on this machine."""
    try:
        os.kill(process, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:  # the process belongs to another user
        return True
    return True


def _exchange(one: Path, other: Path) -> bool:
    """Exchange two folders in one atomic step; return False if the file system or the C library cannot."""
    rename = getattr(ctypes.CDLL(None), "renameat2", None)
    paths = (_AT_FDCWD, os.fsencode(one), _AT_FDCWD, os.fsencode(other))
    return rename is not None and rename(*paths, _RENAME_EXCHANGE) == 0
