"""Codecs and exact search, in numpy only."""
