"""Codecs that shorten and quantise vectors, and exact search over codes; NumPy only."""
