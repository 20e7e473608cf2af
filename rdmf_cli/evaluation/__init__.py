"""Metrics of moment retrieval; numpy only."""
