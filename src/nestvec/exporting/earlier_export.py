"""The folder of an earlier export: only the files that its card lists are replaced."""

from __future__ import annotations

import os
import shutil
from typing import TYPE_CHECKING

from nestvec.errors import InputError
from nestvec.models.export_card import is_export, list_files

if TYPE_CHECKING:
    from pathlib import Path


def refuse_foreign(out: Path) -> None:
    """Raise InputError unless the folder is new, empty, or an earlier export whose card lists its files."""
    if out.exists() and not out.is_dir():
        raise InputError("is a file", "a folder for the export", file=out)
    if not out.is_dir() or not any(out.iterdir()):
        return
    if not is_export(out):
        raise InputError("holds files that no export made", "a new or empty folder, or an earlier export", file=out)
    list_files(out)


def keep_own_files(out: Path, new: Path) -> tuple[str, ...]:
    """Take over what no export wrote into the folder of an earlier one, so that it outlives the exchange.

    Args:
        out: the earlier export's folder, if there is one; it is not changed.
        new: the new export's, complete.

    Returns:
        The names of what was taken over, relative and in order: files, links and empty folders.

    Raises:
        InputError: the new export has a file of that name.
    """
    listed = list_files(out) if is_export(out) else set()
    kept = [path for path in sorted(out.rglob("*")) if path.relative_to(out).as_posix() not in listed and _is_own(path)]
    for path in kept:
        target = new / path.relative_to(out)
        if target.exists() or target.is_symlink():
            wanted = "that file moved elsewhere, or another --out"
            raise InputError(
                "is a file that no export wrote, and the new export has one of that name", wanted, file=path
            )
        target.parent.mkdir(parents=True, exist_ok=True)
        _link_or_copy(path, target)
    return tuple(path.relative_to(out).as_posix() for path in kept)


def _is_own(path: Path) -> bool:
    """Whether a path must be taken over by itself: a folder with anything in it comes with that."""
    return path.is_symlink() or not path.is_dir() or not any(path.iterdir())


def _link_or_copy(path: Path, target: Path) -> None:
    """Give a file a second name, without a copy where the file system can."""
    if path.is_dir() and not path.is_symlink():
        target.mkdir()
        return
    try:
        os.link(path, target, follow_symlinks=False)
    except OSError:
        shutil.copy2(path, target, follow_symlinks=False)
