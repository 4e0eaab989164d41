"""The base class of all sections of the configuration."""

from __future__ import annotations

from typing import Annotated, TypeAlias

from pydantic import BaseModel, ConfigDict, Field

MOST = 2**63 - 1
"""Largest count: 64 bits, as in Arrow."""
Count: TypeAlias = Annotated[int, Field(ge=1, le=MOST, strict=True)]
MOST_SLOTS, MOST_CONCURRENCY = 4096, 1024
Slots: TypeAlias = Annotated[int, Field(ge=1, le=MOST_SLOTS, strict=True)]
MOST_SECONDS = 10_000_000
"""Longest timeout: 115 days."""


class Section(BaseModel):
    """A section of the configuration: frozen, and strict about its keys."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)
