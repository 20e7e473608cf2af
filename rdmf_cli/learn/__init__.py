"""From labelled data to weights: readers, targets, losses, training. The foreign names of data sets end here."""
