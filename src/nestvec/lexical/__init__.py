"""The keyword leg: words of texts, BM25 over them, and its fusion with vectors."""
