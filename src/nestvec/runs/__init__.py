"""A run's folder, written and read here only: layout, schema, tables, settings, and the run itself."""
