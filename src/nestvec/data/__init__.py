"""Judgements: sources, columns, records, grades, split, and the built-in sample."""
