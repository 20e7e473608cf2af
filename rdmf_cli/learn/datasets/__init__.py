"""Examples of moment search: what one is, and those that files hold. The foreign names of data sets end here."""
