"""`python -m fruitscale`, and the `fruitscale` command."""

from __future__ import annotations

from fruitscale.cli import main

if __name__ == "__main__":
    main()
