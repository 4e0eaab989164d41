"""Ids of runs, launches and erasures."""

from __future__ import annotations

import secrets
import time


def new_id() -> str:
    """Return a new id: the time (UTC) and six random hex digits, as in 20261127T180000Z-1a2b3c."""
    return time.strftime("%Y%m%dT%H%M%SZ", time.gmtime()) + "-" + secrets.token_hex(3)
