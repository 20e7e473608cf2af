"""From patterns to moments."""
