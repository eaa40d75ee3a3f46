"""Encodes a file of texts to one Parquet file: each distinct text once, in shards, so that a killed job can resume."""
