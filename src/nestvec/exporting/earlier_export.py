"""Keeps the user's own files in an export's folder when a new export replaces the files that nestvec wrote there."""

from __future__ import annotations

import os
import shutil
from typing import TYPE_CHECKING

from nestvec.errors import InputError
from nestvec.models.export_card import is_export, list_files

if TYPE_CHECKING:
    from pathlib import Path


def refuse_foreign(out: Path) -> None:
    """Raise InputError unless the folder is new, empty, or an earlier export with a valid list of its files."""
    if out.exists() and not out.is_dir():
        raise InputError("is a file", "a folder for the export", file=out)
    if not out.is_dir() or not any(out.iterdir()):
        return
    if not is_export(out):
        wanted = "a new or empty folder, or an earlier export: choose another --out"
        raise InputError("holds files that no export made", wanted, file=out)
    list_files(out)


def keep_own_files(out: Path, new: Path) -> tuple[str, ...]:
    """Link or copy the user's own files from an earlier export's folder into the new export's folder.

    Args:
        out: the earlier export's folder, which may not exist; it is not changed.
        new: the folder of the new, complete export.

    Returns:
        The relative paths of the kept files, links and empty folders, sorted.

    Raises:
        InputError: the new export has a file with the name of one of the user's files.
    """
    listed = list_files(out) if is_export(out) else set()
    kept = [path for path in sorted(out.rglob("*")) if path.relative_to(out).as_posix() not in listed and _is_own(path)]
    for path in kept:
        target = new / path.relative_to(out)
        if target.exists() or target.is_symlink():
            problem = "is a file that no export wrote, and the new export has a file of the same name"
            wanted = "this file moved elsewhere, or another --out"
            raise InputError(problem, wanted, file=path)
        target.parent.mkdir(parents=True, exist_ok=True)
        _link_or_copy(path, target)
    return tuple(path.relative_to(out).as_posix() for path in kept)


def _is_own(path: Path) -> bool:
    """Whether to copy a path: a file, a link or an empty folder; other folders are made when their files are copied."""
    return path.is_symlink() or not path.is_dir() or not any(path.iterdir())


def _link_or_copy(path: Path, target: Path) -> None:
    """Put a file at a new path, as a hard link if possible, else as a copy; for an empty folder, make a new one."""
    if path.is_dir() and not path.is_symlink():
        target.mkdir()
        return
    try:
        os.link(path, target, follow_symlinks=False)
    except OSError:
        shutil.copy2(path, target, follow_symlinks=False)
