"""Ranks documents, computes retrieval metrics, and compares every system at every dimension and precision."""
