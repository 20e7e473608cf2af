"""Measurements of the whole product: how good, how fast, how much memory. Run from the root of the checkout."""
