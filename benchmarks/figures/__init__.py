"""The figures of docs/performance.md, each made by one command: `python -m benchmarks.figures.NAME --input PHOTOS`."""
