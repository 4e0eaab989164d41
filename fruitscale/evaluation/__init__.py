"""Whether what PCA kept is enough, and whether new photos are still like those that were fitted."""
