"""Rankings, metrics, significance, and the surface of all of them."""
