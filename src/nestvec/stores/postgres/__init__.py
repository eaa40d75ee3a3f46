"""The store that keeps an index in a PostgreSQL server with pgvector."""
