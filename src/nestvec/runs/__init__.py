"""Reads and writes a run's folder: its layout, the types of its JSON files, its tables, and its settings."""
