"""Reaction-diffusion fusion of query and video along time: pure functions of tensors."""
