"""Damaged files of a run: read JSON that anybody may have changed, and advise what to do."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, TypeVar

from fruitscale.errors import OutputError
from fruitscale.storage.store import Store
from fruitscale.uris import is_s3

T = TypeVar("T")


def damaged(store: Store, name: str = "", reason: str = "", hint: str | None = None) -> OutputError:
    """Return the error for a file of a run, or a run, that is damaged."""
    where = f"{store.uri}/{name}" if name else store.uri
    return OutputError(f"{where} is damaged{f': {reason}' if reason else '.'}", hint or damage_hint(store.uri))


def damage_hint(uri: str) -> str:
    """Return what to do about a damaged file. On S3, what was read may not be the object, but a network's sign-in page."""
    if not is_s3(uri):
        return "Run the same command again: it repairs the run."
    return (
        "Run the same command again: a proxy or a network's sign-in page may have answered instead of the store. If the "
        "object itself is damaged, restore it, or use another --output."
    )


def load_json(store: Store, name: str, content: bytes, take: Callable[[Any], T], hint: str | None = None) -> T:
    """Return what `take` makes of a JSON file. Raises OutputError if it is not JSON, or `take` fails."""
    try:
        return take(json.loads(content))
    except (ValueError, TypeError, LookupError, AttributeError, RecursionError):
        raise damaged(store, name, hint=hint) from None
