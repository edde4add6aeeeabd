"""One file for each outside thing: the only place that imports its driver."""
