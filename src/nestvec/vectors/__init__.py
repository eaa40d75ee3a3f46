"""Models, encoding, codecs and exact search."""
