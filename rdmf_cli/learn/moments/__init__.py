"""Moment search: examples → losses, training, answers, figures, card."""
