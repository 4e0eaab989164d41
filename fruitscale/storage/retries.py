"""How often a store has retried: a module of its own, as every kind of store counts."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass
class RetryCounts:
    """How many requests a store has retried."""

    reads: int = 0
    writes: int = 0
