"""Settings as a TOML file: what `--config` takes and what a run's folder keeps."""

from __future__ import annotations

import tomllib
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from nestvec.errors import InputError
from nestvec.settings import sections

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from nestvec.settings import Settings

_VERSIONED = ("nestvec", "torch", "transformers", "sentence-transformers", "numpy", "pyarrow", "bm25s")
_NOT_SETTINGS = {"versions", "inputs", "tune"}  # tables of a config file that other readers own


def read_config(path: Path) -> dict[str, Any]:
    """Read option names and values from a TOML file; tables named after stages are flattened.

    Args:
        path: the file.

    Returns:
        Option names to values.

    Raises:
        InputError: the file is missing or is not TOML.
    """
    values: dict[str, Any] = {}
    for name, value in _content(path).items():
        if name in sections() and isinstance(value, dict):
            values.update(value)
        elif name not in _NOT_SETTINGS:
            values[name] = value
    return values


def _content(path: Path) -> dict[str, Any]:
    """A TOML file as it stands."""
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"cannot be read ({error.strerror})", "a TOML file", file=path) from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InputError(f"is not TOML: {error}", "lines such as 'epochs = 3'", file=path) from error


def config_text(settings: Settings, inputs: Mapping[str, str], tune: Mapping[str, Any] | None = None) -> str:
    """The settings as a TOML file that `--config` takes, with the versions and input hashes that belong to them.

    Args:
        settings: resolved settings.
        inputs: what the inputs hash to.
        tune: of a study: its table `tune`.

    Returns:
        The text of `config.toml`.
    """
    import platform
    from importlib.metadata import PackageNotFoundError, version

    import tomli_w

    versions = {"python": platform.python_version()}
    for package in _VERSIONED:
        with suppress(PackageNotFoundError):
            versions[package] = version(package)
    study = {} if tune is None else {"tune": dict(tune)}
    return tomli_w.dumps({**settings.flat(), **study, "versions": versions, "inputs": dict(inputs)})


def read_tune(path: Path) -> dict[str, Any]:
    """Read the table `tune` of a TOML file: what a study is to search, by its options' names, and its `space`.

    Args:
        path: the file.

    Returns:
        The table; empty where there is none.

    Raises:
        InputError: the file is missing or is not TOML, or `tune` is no table.
    """
    found = _content(path).get("tune", {})
    if not isinstance(found, dict):
        raise InputError(f"tune is {found!r}", "a table [tune]", file=path)
    return {name.replace("-", "_"): value for name, value in found.items()}
