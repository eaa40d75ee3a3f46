"""The store that keeps a search index in a PostgreSQL database with the extension pgvector."""
