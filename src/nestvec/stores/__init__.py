"""The stores that hold a search index: the embedded index in a folder, and PostgreSQL with pgvector."""
