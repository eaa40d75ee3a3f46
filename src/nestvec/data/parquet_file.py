"""Parquet files."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pyarrow as pa

from nestvec.data.source import BATCH, Batch, Rejects, Source, damaged_error, number_rows
from nestvec.errors import InputError
from nestvec.files import sha256

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


def open_parquet(path: Path) -> Source:
    """Open a Parquet file; InputError where it is packed again, damaged or without rows."""
    import pyarrow.parquet as pq

    if path.suffix.lower() != ".parquet":
        raise InputError("is a packed Parquet file", "Parquet as it is: its columns are packed inside", file=path)
    try:
        with pq.ParquetFile(path) as file:
            rows, names = file.metadata.num_rows, tuple(file.schema_arrow.names)
    except (pa.ArrowException, OSError, ValueError) as error:
        raise damaged_error(path, error) from error
    if rows == 0:
        raise InputError("is empty", "a table with at least one record", file=path)

    def read(columns: list[str], rejects: Rejects) -> Iterator[Batch]:
        del rejects  # a Parquet file is whole or damaged
        try:
            with pq.ParquetFile(path) as file:
                for batch in number_rows(str(path), file.iter_batches(batch_size=BATCH, columns=columns)):
                    batch.values.validate(full=True)  # damage can hide in text that is not UTF-8
                    yield batch
        except (pa.ArrowException, OSError, ValueError) as error:
            raise damaged_error(path, error) from error

    return Source(str(path), sha256(path), names, read)
