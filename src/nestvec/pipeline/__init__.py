"""The stages of a run in order, and the commands that are made of them: check, compare, reproduce."""
