"""The configuration: its keys, how files and flags are read, and what is said about errors in them."""
