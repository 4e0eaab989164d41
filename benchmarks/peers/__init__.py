"""Other tools doing the same job, paired with fruitscale: `python -m benchmarks.peers --input photos`. See README.md."""
