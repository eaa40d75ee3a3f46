"""Keyword search with BM25: splits texts into words, scores documents, and fuses BM25 scores with vector scores."""
