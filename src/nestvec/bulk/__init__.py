"""Encode any file of texts: every text once, in shards that survive a kill, to one Parquet file."""

from nestvec.bulk.job import Encoded, encode
from nestvec.bulk.written import Embeddings, read_encoded

__all__ = ["Embeddings", "Encoded", "encode", "read_encoded"]
