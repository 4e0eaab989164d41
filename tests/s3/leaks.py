"""Looks for a secret in files, also where they hold it compressed or encoded."""

from __future__ import annotations

import base64
import binascii
import html
import io
import json
import re
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import suppress
from typing import Any
from urllib.parse import unquote_to_bytes

BASE64 = re.compile(rb"[A-Za-z0-9+/_=-]{16,}")


def leaks(files: Mapping[str, bytes], secrets: tuple[str, ...]) -> list[str]:
    """Return `name: secret` for each file that holds a secret in any way that is known here."""
    return [
        f"{name}: {secret}"
        for name, content in files.items()
        for secret in secrets
        if any(secret.encode() in text for text in texts(name, content))
    ]


def texts(name: str, content: bytes) -> Iterator[bytes]:
    """Yield what a file says: as it is, and decoded."""
    for text in [content, *_inside(name, content)]:
        yield text
        yield unquote_to_bytes(text)
        yield html.unescape(text.decode("utf-8", "replace")).encode()
        yield from _decoded(text)


def _inside(name: str, content: bytes) -> Iterator[bytes]:
    if name.endswith(".parquet"):
        yield from _parquet(content)
    if name.endswith(".npz"):
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            yield from (archive.read(member) for member in archive.namelist())
    if name.endswith(".json"):
        yield from _strings(json.loads(content))


def _parquet(content: bytes) -> Iterator[bytes]:
    import pyarrow.parquet as pq

    table = pq.read_table(io.BytesIO(content))
    for key, value in (table.schema.metadata or {}).items():
        yield key + b"=" + value
    for column in table.column_names:
        for value in table[column].to_pylist():
            yield value.encode() if isinstance(value, str) else b""


def _strings(value: Any) -> Iterator[bytes]:
    if isinstance(value, str):
        yield value.encode()
    elif isinstance(value, dict):
        for key, inner in value.items():
            yield key.encode()
            yield from _strings(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _strings(inner)


def _decoded(text: bytes) -> Iterator[bytes]:
    """Yield what each run of base64 holds, wherever in it a group of four begins."""
    for run in BASE64.findall(text):
        plain = run.replace(b"-", b"+").replace(b"_", b"/").replace(b"=", b"")
        for start in range(4):
            piece = plain[start : start + (len(plain) - start) // 4 * 4]
            with suppress(binascii.Error):
                yield base64.b64decode(piece)
