"""Encode any file of texts: every text once, in shards that survive a kill, to one Parquet file."""

from nestvec.encoding.embeddings_file import Embeddings, read_encoded
from nestvec.encoding.encode_file import Encoded, encode

__all__ = ["Embeddings", "Encoded", "encode", "read_encoded"]
