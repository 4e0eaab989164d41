"""The figures of docs/performance.md, each produced by one command: `python -m benchmarks.figures.NAME --input PHOTOS`."""
