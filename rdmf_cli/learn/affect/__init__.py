"""The second model: labels of violence or of valence and arousal → windows → weights, card and figures."""
