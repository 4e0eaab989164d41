"""HTML pages of runs: self-contained files that need no network."""
