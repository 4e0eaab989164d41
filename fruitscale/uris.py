"""Parses and compares URIs: s3:// and local paths. Touches no disk or network, except to resolve links."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple
from urllib.parse import unquote

from fruitscale.errors import UsageError


def is_s3(uri: str) -> bool:
    """Return whether this is an s3:// URI, not a path."""
    return uri.lower().startswith("s3://")


def local_path(uri: str) -> Path:
    """Turn a path or file:// URI into an absolute path. Raises UsageError for any other scheme."""
    scheme, separator, rest = uri.partition("://")
    if not separator:
        # resolve() would follow links, and Path.expanduser raises for an unknown user
        return Path(os.path.abspath(os.path.expanduser(uri)))  # noqa: PTH100, PTH111
    if scheme.lower() == "file" and rest.startswith("/"):
        return Path(unquote(rest))  # Path.as_uri() quotes
    raise UsageError(f"{uri}: {scheme}:// is not supported.", "Give a folder, or s3://bucket/prefix.")


class S3Location(NamedTuple):
    """A bucket, and a prefix without leading or trailing slashes."""

    bucket: str
    prefix: str


def parse_s3(uri: str) -> S3Location:
    """Split s3://bucket/prefix. Raises UsageError if the bucket is invalid or the prefix has empty or dot segments."""
    bucket, _, prefix = uri[len("s3://") :].partition("/")
    prefix = prefix.strip("/")
    if not re.fullmatch(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]", bucket):
        raise UsageError(f"{uri}: {bucket!r} is not the name of a bucket.", "Give s3://bucket/prefix.")
    if any(segment in ("", ".", "..") for segment in prefix.split("/")) and prefix:
        raise UsageError(f"{uri}: a prefix can't have empty or dot segments.", "Give s3://bucket/prefix.")
    return S3Location(bucket, prefix)


def is_inside(uri: str, other: str) -> bool:
    """Return whether a URI equals another or lies below it; follows links on disk."""
    segments, others = _segments(uri), _segments(other)
    return segments[: len(others)] == others


def _segments(uri: str) -> Sequence[str]:
    if is_s3(uri):
        return ["s3:", *uri[len("s3://") :].strip("/").split("/")]
    return Path(os.path.realpath(local_path(uri))).parts
