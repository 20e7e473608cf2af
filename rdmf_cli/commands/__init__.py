"""One file per verb: read flags, call one function of pipeline/, print."""
