"""Where fruitscale keeps what it can make again: exported models, a Java launcher, a launch's package versions."""

from __future__ import annotations

import os
from pathlib import Path


def cache_folder() -> Path:
    """Return $XDG_CACHE_HOME/fruitscale, or ~/.cache/fruitscale; it may not exist yet."""
    return Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "fruitscale"
