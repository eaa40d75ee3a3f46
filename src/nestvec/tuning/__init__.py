"""Search for better training settings: trials are measured on validation, the best settings once on test."""
