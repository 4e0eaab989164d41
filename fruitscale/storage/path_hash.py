"""Names for photos that tell nothing: a keyed hash, whose key is in the environment only."""

from __future__ import annotations

import hashlib
import hmac
import os
from collections.abc import Callable

from fruitscale.errors import UsageError

VARIABLE = "FRUITSCALE_PATH_KEY"
LEAST_CHARACTERS = 16


def from_environment() -> tuple[Callable[[str], str], str]:
    """Return the hash of a path (HMAC-SHA256, RFC 2104, its first 128 bits in hex), and an id of its key.

    Raises UsageError when the environment has no key, or one that is too short to be one.
    """
    key = os.environ.get(VARIABLE, "").encode()
    if len(key) < LEAST_CHARACTERS:
        problem = "is not set" if not key else f"has fewer than {LEAST_CHARACTERS} characters"
        raise UsageError(
            f"output.paths is hashed, and {VARIABLE} {problem}.",
            "Keep a random key with your secrets: python -c 'import secrets; print(secrets.token_hex(16))'",
        )
    key_id = hmac.digest(key, b"fruitscale path key", hashlib.sha256).hex()[:16]
    return lambda text: hmac.digest(key, text.encode(), hashlib.sha256).hex()[:32], key_id
