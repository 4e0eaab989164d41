"""The manifest: every photo of a run, sorted by path, in one Parquet file. Each task reads its own row range."""

from __future__ import annotations

import hashlib
import io
import itertools
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import TYPE_CHECKING, TypeVar

import numpy as np

from fruitscale.errors import InputError
from fruitscale.runs import arrow
from fruitscale.runs.damage import damaged
from fruitscale.runs.path_hash import PathHash
from fruitscale.storage.listing import Photo
from fruitscale.storage.listing_account import ListingAccount
from fruitscale.storage.parquet import decode
from fruitscale.storage.store import Store

if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.parquet as pq

T = TypeVar("T")

ROW_GROUP = 16_384
"""Rows per row group: a worker reads one at a time and keeps it for its next tasks."""

NAME = "manifest.parquet"
PRIVATE = "_run/photos.parquet"
"""The manifest with the real paths in one more column; it exists only while a run with hashed paths lasts."""


@dataclass(frozen=True)
class Manifest:
    """The rows and their totals; `sha256` covers path, label and size, `versions_sha256` the versions."""

    table: pa.Table
    images: int
    bytes: int
    labels: int
    sha256: str
    versions_sha256: str
    private: pa.Table | None = None
    """With hashed paths: the same rows with the real path and version, and the hash in the column `name`."""
    path_key: str | None = None
    """With hashed paths: the id of the hash key."""
    account: ListingAccount = field(default_factory=ListingAccount)
    """What the listing did not take, and noticed."""

    @property
    def read_from(self) -> str:
        """The file from which tasks read their photos."""
        return NAME if self.private is None else PRIVATE

    def rows(self) -> Iterator[Photo]:
        """Yield the photos, as tasks read them."""
        table = self.table if self.private is None else self.private
        for batch in table.to_batches(max_chunksize=ROW_GROUP):
            yield from (Photo(*row) for row in zip(*(column.to_pylist() for column in batch.columns), strict=True))


def build(
    photos: Iterable[Photo],
    limit: int | None = None,
    on_count: Callable[[int], None] = lambda n: None,
    path_hash: PathHash | None = None,
) -> Manifest:
    """Sort photos by path, in bounded memory, and keep the first `limit`. `on_count` receives the number listed so far.

    With `path_hash`, hashes replace paths and versions, and rows are sorted by them.
    Raises InputError if two photos have the same path.
    """
    import pyarrow as pa

    batches, n_listed, rest = [], 0, iter(photos)
    while rows := list(itertools.islice(rest, 4 * ROW_GROUP)):
        paths, labels, sizes, versions = list(zip(*rows, strict=True))[: len(schema())]
        arrays = [
            arrow.texts(paths),
            arrow.texts(labels),
            arrow.numbers(np.array(sizes, np.int64)),
            arrow.texts(versions),
        ]
        batches.append(pa.record_batch(arrays, schema()))
        n_listed += len(rows)
        on_count(n_listed)
    table = pa.Table.from_batches(batches, schema()).sort_by("path")
    table = table if limit is None else table.slice(0, limit)
    if path_hash is None:
        return describe(table)
    private = _hashed(table, path_hash)
    columns = [private["name"], private["label"], private["size"], private["name_of_version"]]
    public = describe(pa.Table.from_arrays(columns, schema=schema()))
    return replace(public, private=private.drop_columns("name_of_version"), path_key=path_hash.key_id)


def _hashed(table: pa.Table, path_hash: PathHash) -> pa.Table:
    """Replace paths and versions by keyed hashes; sort by hash so that row order leaks nothing."""
    import pyarrow as pa

    for column, source in (("name", "path"), ("name_of_version", "version")):
        table = table.append_column(
            pa.field(column, pa.string(), nullable=False),
            arrow.texts([*map(path_hash, table[source].to_pylist())]),
        )
    return table.sort_by("name")


def describe(table: pa.Table) -> Manifest:
    """Return the totals and hashes of a table sorted by path."""
    import pyarrow.compute as pc

    content, versions, before = hashlib.sha256(), hashlib.sha256(), None
    for batch in table.to_batches(max_chunksize=ROW_GROUP):
        for path, label, size, version in zip(*(column.to_pylist() for column in batch.columns), strict=True):
            if path == before:
                raise InputError(f"Two photos are named {path}.", "Rename one of them.")
            before = path
            content.update(f"{path}\0{'-' if label is None else '=' + label}\0{size}\n".encode())
            versions.update(f"{version}\n".encode())
    return Manifest(
        table=table,
        images=table.num_rows,
        bytes=pc.sum(table["size"]).as_py() or 0,
        labels=pc.count_distinct(table["label"], mode="only_valid").as_py(),
        sha256=content.hexdigest(),
        versions_sha256=versions.hexdigest(),
    )


def write(manifest: Manifest, store: Store) -> str:
    """Write the manifest, and return its sha256; with hashed paths, also the private table that tasks need."""
    content = _encoded(manifest.table)
    store.write(NAME, content, durable=True)
    if manifest.private is not None:
        store.write(PRIVATE, _encoded(manifest.private))
    return hashlib.sha256(content).hexdigest()


def _encoded(table: pa.Table) -> bytes:
    import pyarrow.parquet as pq

    sink = io.BytesIO()
    pq.write_table(table, sink, row_group_size=ROW_GROUP, compression="zstd", use_dictionary=["label"])
    return sink.getvalue()


def read(store: Store) -> pa.Table:
    """Read the whole manifest of a run folder. Raises OutputError if it is damaged."""
    table = _load(store, NAME, store.read(NAME), lambda file: file.read(use_threads=False))
    if not table.schema.equals(schema()):
        raise damaged(store, NAME, "its columns are not those of a manifest.")
    return table


def read_rows(store: Store, name: str, start: int, stop: int, sha256: str) -> list[Photo]:
    """Read the photos in a range of rows. `sha256` identifies the manifest, so another run's is never used."""
    photos: list[Photo] = []
    for group in range(start // ROW_GROUP, (stop - 1) // ROW_GROUP + 1):
        first = group * ROW_GROUP
        rows = _row_group(_ManifestKey(store, name, sha256), group)
        photos += rows[max(start - first, 0) : stop - first]
    return photos


def schema() -> pa.Schema:
    """Return the manifest's columns."""
    import pyarrow as pa

    text = pa.string()
    fields = [("path", text, False), ("label", text, True), ("size", pa.int64(), False), ("version", text, False)]
    return pa.schema([pa.field(name, kind, nullable=null) for name, kind, null in fields])


class _ManifestKey:
    """A manifest as a cache key: two keys are equal if store, name and sha256 are."""

    def __init__(self, store: Store, name: str, sha256: str) -> None:
        self.store, self.name, self.key = store, name, (store.uri, name, sha256)

    def __hash__(self) -> int:
        return hash(self.key)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _ManifestKey) and other.key == self.key


@lru_cache(maxsize=1)
def _content(key: _ManifestKey) -> bytes:
    return key.store.read(key.name)


@lru_cache(maxsize=2)
def _row_group(key: _ManifestKey, group: int) -> list[Photo]:
    def take(file: pq.ParquetFile) -> list[Photo]:
        columns = file.read_row_group(group, use_threads=False).to_pydict().values()
        return [Photo(*row) for row in zip(*columns, strict=True)]

    return _load(key.store, key.name, _content(key), take)


def _load(store: Store, name: str, content: bytes, take: Callable[[pq.ParquetFile], T]) -> T:
    import pyarrow as pa

    try:
        return take(decode(content))
    except (pa.ArrowException, OSError, ValueError, TypeError) as error:
        reason = str(error).splitlines()[0]
        raise damaged(store, name, reason) from None
