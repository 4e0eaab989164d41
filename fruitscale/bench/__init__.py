"""Benchmarks of the real command: paired runs, a measured noise floor, and results checked before their times count."""
