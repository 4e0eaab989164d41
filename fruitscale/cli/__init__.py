"""The command line: one file a verb. Parses, calls one function, renders."""
