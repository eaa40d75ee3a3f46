"""Recommends the smallest vector that holds up in a run's measurements, and explains the choice in sentences."""
