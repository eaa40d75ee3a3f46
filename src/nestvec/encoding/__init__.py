"""Encode any file of texts: every text once, in shards that survive a kill, to one Parquet file."""
