"""An index of a finished run: built, kept up to date, searched, verified."""
