"""The stages of a run in order, and the functions behind the commands `check`, `compare` and `reproduce`."""
