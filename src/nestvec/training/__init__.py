"""Training pairs, objectives and the trainer."""
