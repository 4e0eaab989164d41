"""Benchmarks of the real command, and what makes them believable: pairs, a noise floor, and answers that are checked."""
