"""Keyword search: splitting texts into words, BM25, and the fusion of its scores with those of vectors."""
