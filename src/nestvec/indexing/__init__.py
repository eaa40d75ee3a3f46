"""Builds, updates, searches and verifies an index of a finished run."""
