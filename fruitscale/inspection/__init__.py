"""Finds what the owner of a run's photos should look at: copies, wrong labels, outliers, bad photos."""
