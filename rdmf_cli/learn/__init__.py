"""From labelled data to weights: `moments` and `affect` train a model each, the files beside them serve both.

`datasets` and `synthetic` hold the examples of the first.
"""
