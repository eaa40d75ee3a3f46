"""Chooses what to ship from the measured surface, and explains the choice in sentences."""
