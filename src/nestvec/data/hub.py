"""Opens a data set from the Hugging Face hub at a pinned commit, or from a local folder in the hub's form."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from nestvec.data.parquet_file import make_arrow_source
from nestvec.errors import InputError, MissingExtraError
from nestvec.files import sha256

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pyarrow as pa

    from nestvec.data.source import Source

PREFIX = "hf:"


def read_hub(name: str, split: str | None = None, revision: str | None = None) -> Source:
    """Open a data set of the hub, or of a folder in the hub's form.

    Args:
        name: `OWNER/NAME`, or a folder.
        split: the split to read; None reads all splits, one after the other.
        revision: branch, tag or commit; None means the newest. The run records the commit.

    Returns:
        The table.

    Raises:
        InputError: the hub cannot be reached, or there is no such data set, split or revision.
        MissingExtraError: the hub's library is not installed.
    """
    try:
        import datasets
    except ImportError as error:
        raise MissingExtraError("datasets", "train") from error
    local = Path(name).is_dir()
    commit = None if local else _find_commit(name, revision)
    datasets.disable_progress_bars()
    try:
        loaded = datasets.load_dataset(name, split=split, revision=commit)
    except Exception as error:  # the library raises whatever the trouble makes it raise
        raise _unavailable_error(name, error) from error
    parts = [loaded] if split else list(loaded.values())

    def read_batches(columns: list[str], size: int) -> Iterator[pa.RecordBatch]:
        for part in parts:
            for table in part.select_columns(columns).with_format("arrow").iter(batch_size=size):
                yield from table.combine_chunks().to_batches()

    digest = commit or sha256(*sorted(filter(Path.is_file, Path(name).rglob("*"))))
    source = make_arrow_source(f"{PREFIX}{name}", digest, parts[0].features.arrow_schema, read_batches)
    return replace(source, revision=commit)


def _find_commit(name: str, revision: str | None) -> str:
    """Look up the commit of a revision on the hub."""
    from huggingface_hub import HfApi

    try:
        return str(HfApi().dataset_info(name, revision=revision).sha)
    except Exception as error:
        raise _unavailable_error(name, error) from error


def _unavailable_error(name: str, error: Exception) -> InputError:
    reason = (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
    advice = (
        "a data set that exists on the Hugging Face hub, and a connection to it; or download the files from "
        f"https://huggingface.co/datasets/{name} on another machine and give their folder or file as SOURCE"
    )
    return InputError(f"the data set cannot be loaded ({reason})", advice, file=f"{PREFIX}{name}")
