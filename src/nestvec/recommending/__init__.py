"""What to ship: chosen from the surface, and put into sentences."""
