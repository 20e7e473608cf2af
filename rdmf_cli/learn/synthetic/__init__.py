"""Examples of moment search that nobody had to label: layouts of made-up videos, filled with vectors or photos."""
