"""Replaces photo paths by keyed hashes (output.paths: hashed). The key is in the environment only."""

from __future__ import annotations

import hashlib
import hmac
import os
import re
from dataclasses import dataclass, field

from fruitscale.errors import UsageError

VARIABLE = "FRUITSCALE_PATH_KEY"
LEAST_CHARACTERS = 16


@dataclass(frozen=True)
class PathHash:
    """A keyed hash: HMAC-SHA256 (RFC 2104), its first 128 bits in hex."""

    key: bytes = field(repr=False)

    @property
    def key_id(self) -> str:
        """An id that distinguishes keys without revealing them."""
        return hmac.digest(self.key, b"fruitscale path key", hashlib.sha256).hex()[:16]

    def __call__(self, text: str) -> str:
        """Return the hash of a text."""
        return hmac.digest(self.key, text.encode(), hashlib.sha256).hex()[:32]


def is_hash(text: str) -> bool:
    """Return whether a text looks like a hash of a path."""
    return re.fullmatch("[0-9a-f]{32}", text) is not None


def from_environment() -> PathHash:
    """Return the hash with the key in FRUITSCALE_PATH_KEY. Raises UsageError if it is missing or too short."""
    key = os.environ.get(VARIABLE, "").encode()
    if len(key) < LEAST_CHARACTERS:
        problem = "is not set" if not key else f"has fewer than {LEAST_CHARACTERS} characters"
        raise UsageError(
            f"output.paths is hashed, and {VARIABLE} {problem}.",
            "Keep a random key with your secrets: python -c 'import secrets; print(secrets.token_hex(16))'",
        )
    return PathHash(key)
