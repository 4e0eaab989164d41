"""What the tests of erasing share: finding names in files however they are written, and checking what is left."""

from __future__ import annotations

import base64
import html
import io
import json
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import unquote_to_bytes

import numpy as np
import pyarrow.parquet as pq
from numpy.typing import NDArray

from fruitscale.runs import parts
from fruitscale.storage.store import LocalStore
from tests.conftest import QUICK

CORRUPT = 4
RUN = [*QUICK, "--set", "shards.images=32", "-e", "local"]


def found_in(content: bytes, name: str = "") -> Iterator[bytes]:
    """Yield a file's content as it is, and decoded: Parquet, npz, JSON, HTML, percents and base64."""
    yield content
    if name.endswith(".parquet"):
        table = pq.ParquetFile(io.BytesIO(content)).read()
        yield repr(table.schema.metadata).encode()
        yield "\n".join(str(v) for f in table.schema if f.type == "string" for v in table[f.name].to_pylist()).encode()
    elif name.endswith(".npz"):
        with np.load(io.BytesIO(content)) as arrays:
            yield b"".join(array.tobytes() for array in arrays.values()) + "".join(arrays.files).encode()
    elif name.endswith(".json"):
        yield json.dumps(json.loads(content), ensure_ascii=False).encode()
    elif name.endswith(".html"):
        yield html.unescape(content.decode()).encode()
    yield unquote_to_bytes(content)
    for run in re.findall(rb"[A-Za-z0-9+/]{12,}", content):
        yield base64.b64decode(run[: len(run) // 4 * 4])


def naming(files: Iterable[tuple[str, bytes]], names: Iterable[str]) -> set[str]:
    """Return which of the files have one of the names in them, in any form."""
    wanted = [name.encode() for name in names]
    return {at for at, content in files if any(w in text for text in found_in(content, at) for w in wanted)}


def files_of(run: Path) -> list[tuple[str, bytes]]:
    return [(path.relative_to(run).as_posix(), path.read_bytes()) for path in sorted(run.rglob("*")) if path.is_file()]


def content_of(run: Path) -> dict[str, bytes]:
    """Everything but who had the lock, and the receipts: they have a time and a salt of their own."""
    return {n: content for n, content in files_of(run) if n != "_run/lock" and not n.startswith("_run/erasures/")}


def rows(run: Path, folder: str) -> dict[str, NDArray[np.float32]]:
    """Read every part of a folder, each checked; return the vectors by path."""
    column = {"features": "features", "reduced": "components"}[folder]
    found: dict[str, NDArray[np.float32]] = {}
    for path in sorted((run / folder).glob("*.parquet")):
        part = parts.read_vectors(LocalStore(run), f"{folder}/{path.name}", column)
        found |= dict(zip(part.paths, part.values, strict=True))
    return found


def manifest_of(run: Path) -> dict[str, str]:
    table = pq.read_table(run / "manifest.parquet")
    return dict(zip(table["path"].to_pylist(), table["label"].to_pylist(), strict=True))


def check_counts(run: Path) -> dict[str, Any]:
    """Check that every table and count of the run agrees with every other; return its record."""
    record: dict[str, Any] = json.loads((run / "run.json").read_text())
    usable, rejects = rows(run, "features"), parts.read_rejects(LocalStore(run), "rejects.parquet")
    photos = manifest_of(run)
    assert rows(run, "reduced").keys() == usable.keys()
    assert sorted([*usable, *(r.path for r in rejects)]) == sorted(photos)
    assert (record["images"]["featurized"], record["images"]["rejected"]) == (len(usable), len(rejects))
    assert (record["input"]["images"], record["input"]["labels"]) == (len(photos), len(set(photos.values())))
    assert record["input"]["bytes"] == sum(pq.read_table(run / "manifest.parquet")["size"].to_pylist())
    for path in (run / "features").glob("*.parquet"):
        counted = parts.read_vectors(LocalStore(run), f"features/{path.name}", "features").rejects
        at = run / "_run" / "rejects" / path.name
        assert counted == (len(parts.read_rejects(LocalStore(run), f"_run/rejects/{path.name}")) if at.exists() else 0)
    assert record["fingerprints"] == json.loads((run / "_run" / "plan.json").read_text())["fingerprints"]
    return record


def some(run: Path) -> list[str]:
    """Two photos of the first shards and one of the last, and one that could not be used."""
    paths = list(manifest_of(run))
    broken = next(path for path in paths if "broken" in path)
    return [paths[3], paths[50], paths[-2], broken]
