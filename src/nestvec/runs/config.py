"""Reads and writes settings as TOML files: the file of `--config`, and `config.toml` in a run's folder."""

from __future__ import annotations

import tomllib
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from nestvec.errors import InputError
from nestvec.files import read_text
from nestvec.runs.conform import MisfitError, conform
from nestvec.settings import EvaluationSettings, Settings, sections

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

_VERSIONED = ("nestvec", "torch", "transformers", "sentence-transformers", "numpy", "pyarrow", "bm25s")
_MOST = {"seed": 2**63 - 1, "resamples": 10**7}  # largest values of settings that a comparison of two runs uses
_LOCATIONS = {"source", "queries", "corpus", "qrels", "model"}  # settings that are paths or names of inputs
_TABLES: dict[str, Any] = {
    "versions": dict[str, str],
    "inputs": dict[str, str],
    "tune": dict[str, object],
}  # tables of a run's config.toml, in the order of `Config`
FILES_OF = "files of "  # begins the key of the hash of all files that decide a model's vectors
_NOT_SETTINGS = set(_TABLES)  # tables of a config file that hold no settings of a run


@dataclass(frozen=True)
class Config:
    """The content of a run's `config.toml`.

    Attributes:
        settings: the settings by name, including detected values.
        versions: version of each package that made the run.
        inputs: SHA-256 of each input, by names such as `source`, `model` and `model NAME`.
        tune: the options of a tuning study; empty for a run.
    """

    settings: dict[str, Any]
    versions: dict[str, str]
    inputs: dict[str, str]
    tune: dict[str, Any]

    @property
    def draws(self) -> tuple[int, int]:
        """Seed and number of resamples of a run's statistics."""
        values = self.settings.get("seed", Settings.seed), self.settings.get("resamples", EvaluationSettings.resamples)
        return int(values[0]), int(values[1])

    @property
    def compared(self) -> dict[str, Any]:
        """The settings and hashes that must be equal, so that a run or tuning study may continue in an existing folder.

        Paths of inputs, package versions and a study's number of trials may differ; the inputs' hashes must not.
        """
        hashes = {f"{name}'s sha256": value for name, value in self.inputs.items()}
        settings = {name: value for name, value in self.settings.items() if name not in _LOCATIONS}
        study = {f"tune.{name}": value for name, value in self.tune.items() if name != "trials"}
        return settings | hashes | study


def parse_run_config(text: str) -> Config:
    """Parse the text of a run's `config.toml`.

    Args:
        text: the text, as written by `config_text`.

    Returns:
        The settings.

    Raises:
        ValueError: the text is not TOML, or a value has another type than nestvec writes.
    """
    values = tomllib.loads(text)
    tables = [conform(values.pop(name, {}), kind, name) for name, kind in _TABLES.items()]
    for name in _MOST:
        if name in values and (type(values[name]) is not int or not 0 <= values[name] <= _MOST[name]):
            raise MisfitError(name, repr(values[name])[:80], f"a whole number from 0 to {_MOST[name]}")
    return Config({name: value for name, value in values.items() if not isinstance(value, dict)}, *tables)


def read_run_config(path: Path) -> Config:
    """Read a run's `config.toml`.

    Args:
        path: the file.

    Returns:
        The settings.

    Raises:
        InputError: the file is missing or damaged.
    """
    expected = "the settings of a finished run"
    text = read_text(path, expected)
    try:
        return parse_run_config(text)
    except (ValueError, RecursionError) as error:
        raise InputError(f"is damaged: {error}", getattr(error, "expected", expected), file=path) from error


def read_config(path: Path) -> dict[str, Any]:
    """Read options from a TOML file, in which they may stand in tables named after stages, such as `[training]`.

    Args:
        path: the file.

    Returns:
        The value of each option, by name.

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
    """Read a TOML file; InputError if the file cannot be read or is not TOML."""
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"cannot be read ({error.strerror})", "a TOML file", file=path) from error
    except (ValueError, RecursionError) as error:
        raise InputError(f"is not TOML: {error}", "lines such as 'epochs = 3'", file=path) from error


def config_text(settings: Settings, inputs: Mapping[str, str], tune: Mapping[str, Any] | None = None) -> str:
    """Write settings as the text of a TOML file that `--config` takes, with versions and hashes of inputs.

    Args:
        settings: the settings of a run, or those that all trials of a study share.
        inputs: SHA-256 of the inputs, by name.
        tune: the options of a tuning study; None for a run.

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
    """Read the table `tune` of a TOML file, which holds the options of a tuning study and the space to search.

    Args:
        path: the file.

    Returns:
        The table; empty if the file has none.

    Raises:
        InputError: the file is missing or is not TOML, or `tune` is not a table.
    """
    found = _content(path).get("tune", {})
    if not isinstance(found, dict):
        raise InputError(f"tune is {found!r}", "a table [tune]", file=path)
    return {name.replace("-", "_"): value for name, value in found.items()}
