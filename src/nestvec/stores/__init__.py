"""Indexes that serve what was measured: embedded, or a database server."""
