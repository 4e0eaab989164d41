"""Benchmarks of fruitscale against other tools: `python -m benchmarks.peers --input photos`. See README.md."""
