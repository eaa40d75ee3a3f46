"""Reads judgements: sources, columns, records, grades, the split, and the built-in sample."""
