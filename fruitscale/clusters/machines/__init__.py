"""Programs that run on the machines of a launch."""
