"""The search over training settings: chosen on validation, asked once on test."""
