"""The configuration: its settings, how files and flags are merged, and messages about errors in them."""
