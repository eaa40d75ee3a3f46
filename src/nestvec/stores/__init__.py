"""Search indexes of the measured vectors: an embedded store in a folder, or a PostgreSQL server."""
