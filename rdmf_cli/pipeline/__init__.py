"""The use cases, without any user interface: what a Python user would call."""
