"""Lists the photos of an input: every matching file of a folder, or those in a list file."""

from __future__ import annotations

import errno
import os
import re
import stat
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

from wcmatch import glob

from fruitscale.config.schema import Input, Storage
from fruitscale.errors import InputError, MissingObjectError, StorageError, UsageError
from fruitscale.storage import aws, obstore_internals
from fruitscale.storage.parquet import decode
from fruitscale.storage.s3 import S3Store, UnlistableKeyError
from fruitscale.storage.store import LocalStore, Store, file_version, open_store
from fruitscale.storage.system_errors import path_hint

UNADDRESSABLE = ""
"""The version of a photo whose name can't be read: it is not text, or obstore refuses it. Such photos are rejected."""


_DOTS = re.compile(r"(?<![^/])\.{1,2}(?![^/])")


class Photo(NamedTuple):
    """One row of the manifest; `size` is in bytes, `version` is the one passed to `Store.read`."""

    path: str
    label: str | None
    size: int
    version: str
    name: str | None = None
    """The name in every output; None: the path itself."""

    @property
    def shown(self) -> str:
        """The photo's name in outputs."""
        return self.path if self.name is None else self.name


def list_photos(source: Input, storage: Storage) -> Iterator[Photo]:
    """Yield the photos of an input, in no particular order. Raises InputError, UsageError or StorageError."""
    store = open_store(source.uri, storage)
    if source.list is not None:
        yield from _read_list(source, store, storage)
        return
    matches = name_filter(source.include, source.exclude)
    label = labeller(source, store.uri)
    for path, size, version in _walk(store):
        if matches(path):
            yield Photo(path, label(path), size, version)


def name_filter(include: tuple[str, ...], exclude: tuple[str, ...]) -> Callable[[str], bool]:
    """Return the test of a relative path: it matches one of `include` and none of `exclude`, ignoring case."""
    flags = glob.GLOBSTAR | glob.BRACE | glob.IGNORECASE | glob.DOTGLOB | glob.FORCEUNIX

    def compiled(globs: tuple[str, ...]) -> list[re.Pattern[str]]:
        try:
            patterns = glob.translate(list(globs), flags=flags)[0] if globs else []
        except Exception as error:  # noqa: BLE001  the one for too many braces is private
            raise UsageError(f"input.include or input.exclude: {error}.", "Give shorter globs.") from None
        return [re.compile(pattern, re.DOTALL) for pattern in patterns]  # DOTALL: a name may hold a newline

    yes, no = compiled(include), compiled(exclude)

    def test(path: str) -> bool:
        path = _DOTS.sub("_", path)  # globs never match dot segments, which a key may have
        return any(p.fullmatch(path) for p in yes) and not any(p.fullmatch(path) for p in no)

    return test


def labeller(source: Input, root_uri: str) -> Callable[[str], str | None]:
    """Return the function from a path to its label: the folder of the photo, or the input's own name at the top."""
    if source.label == "none":
        return lambda path: None
    root = root_uri.rstrip("/").rsplit("/", 1)[-1]
    return lambda path: path.rsplit("/", 2)[-2] if "/" in path else root


def _walk(store: Store) -> Iterator[tuple[str, int, str]]:
    if isinstance(store, S3Store):
        yield from _objects(store)
        return
    assert isinstance(store, LocalStore)
    if not store.root.is_dir():
        problem = "is not a folder" if store.root.exists() else "does not exist"
        raise InputError(f"The input {store.root} {problem}.", "Check --input (or input.uri).")
    yield from _scan(str(store.root))


def _objects(store: S3Store) -> Iterator[tuple[str, int, str]]:
    """List through obstore, and from the first key that it refuses through boto3, which accepts any."""
    is_empty = True
    try:
        for entry in store.entries():
            is_empty = False
            yield entry.name, entry.size, entry.etag
    except UnlistableKeyError as error:
        is_empty = False
        for name, size, etag in _objects_after(store, error.after):
            yield name, size, etag if obstore_internals.is_addressable(name) else UNADDRESSABLE
    if is_empty:
        _check_is_listing(store)


def _check_is_listing(store: S3Store) -> None:
    """Raise StorageError if the answer to a listing is not one: obstore takes any page, such as HTML, for an empty listing."""
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        answer = aws.s3_client(store.storage).list_objects_v2(Bucket=store.location.bucket, MaxKeys=1)
        problem = "" if answer.get("Name") else "the answer is not a listing"
    except (BotoCoreError, ClientError) as error:
        problem = str(error)
    if problem:
        raise StorageError(
            f"{store.uri} can't be listed: {problem}.",
            "Check storage.endpoint, and that no proxy or sign-in page of the network answers instead.",
        )


def _objects_after(store: S3Store, last: str | None) -> Iterator[tuple[str, int, str]]:
    from botocore.exceptions import BotoCoreError, ClientError

    base = store.key("")
    start = {} if last is None else {"StartAfter": base + last}
    paginator = aws.s3_client(store.storage).get_paginator("list_objects_v2")
    try:
        for page in paginator.paginate(Bucket=store.location.bucket, Prefix=base, **start):
            for found in page.get("Contents", ()):
                yield found["Key"].removeprefix(base), found["Size"], found["ETag"]
    except (BotoCoreError, ClientError) as error:
        raise StorageError(f"{store.uri} can't be listed: {error}", "Check the network and the credentials.") from None


class _Folder(NamedTuple):
    """A folder to list: its path, its name as a prefix, and the identities of the folders around it."""

    path: str
    prefix: str
    above: tuple[tuple[int, int], ...]


def _scan(root: str) -> Iterator[tuple[str, int, str]]:
    """List the files below a folder, however deep."""
    folders = [_Folder(root, "", ())]
    while folders:
        folder = folders.pop()
        try:
            here = os.stat(folder.path)  # noqa: PTH116  paths of a million files are kept as text
            identity = (here.st_dev, here.st_ino)
            if identity in folder.above:  # a link back to an enclosing folder
                continue
            with os.scandir(folder.path) as entries:
                for entry in entries:
                    if _is_endless_link(entry):
                        continue
                    if entry.is_dir():
                        folders.append(_Folder(entry.path, f"{folder.prefix}{entry.name}/", (*folder.above, identity)))
                    elif entry.is_file():
                        yield _describe(folder.prefix + entry.name, entry.stat())
        except OSError as error:
            reason = error.strerror or type(error).__name__
            where = error.filename or folder.path
            raise StorageError(f"{where} can't be listed: {reason}.", path_hint(error)) from None


def _is_endless_link(entry: os.DirEntry[str]) -> bool:
    """Return whether this is a link in a loop: like a dangling one, it is skipped."""
    try:
        entry.is_dir()
    except OSError as error:
        if error.errno == errno.ELOOP:
            return True
        raise
    return False


def _describe(path: str, status: os.stat_result) -> tuple[str, int, str]:
    try:
        path.encode()
    except UnicodeEncodeError:
        return os.fsencode(path).decode("utf-8", "backslashreplace"), status.st_size, UNADDRESSABLE
    return path, status.st_size, file_version(status)


def _read_list(source: Input, store: Store, storage: Storage) -> Iterator[Photo]:
    assert source.list is not None
    label = labeller(source, store.uri)
    seen: set[str] = set()
    for path, given in _list_rows(source.list, storage):
        if path in seen:
            raise InputError(f"{source.list} names {path} twice.", "Each photo may be listed once.")
        seen.add(path)
        size, version = _stat(store, path, source.list)
        yield Photo(path, label(path) if given is _NO_LABELS else given, size, version)


_NO_LABELS = "\0"


def _list_rows(uri: str, storage: Storage) -> Iterator[tuple[str, str | None]]:
    import pyarrow as pa
    from pyarrow import csv

    folder, name = os.path.split(uri)
    content = open_store(folder or ".", storage).read(name)
    try:
        if name.lower().endswith(".parquet"):
            table = decode(content).read(use_threads=False)
        else:
            text = csv.ConvertOptions(column_types={"path": pa.string(), "label": pa.string()})
            table = csv.read_csv(pa.BufferReader(content), csv.ReadOptions(use_threads=False), convert_options=text)
        names = table.column_names
        paths = table["path"].to_pylist() if "path" in names else None
        labels = table["label"].to_pylist() if "label" in names else [_NO_LABELS] * table.num_rows
    except (pa.ArrowException, OSError, ValueError, KeyError) as error:
        reason = str(error).strip("'").splitlines()[0]
        raise InputError(f"The list {uri} can't be read: {reason}", "Give CSV or Parquet.") from None
    if paths is None:
        raise InputError(f"The list {uri} has no column `path`.", f"It has: {', '.join(names)}.")
    for path, given in zip(paths, labels, strict=True):
        yield str(path), given if given is None else str(given)


def _stat(store: Store, path: str, where: str) -> tuple[int, str]:
    if path.startswith("/") or ".." in Path(path).parts:
        raise InputError(f"{where} names {path}, which is not below input.uri.", "Paths are relative to input.uri.")
    try:
        if isinstance(store, S3Store):
            return store.stat(path)
        assert isinstance(store, LocalStore)
        status = (store.root / path).stat()
        if not stat.S_ISREG(status.st_mode):
            raise OSError(errno.EINVAL, "it is not a file")
    except (OSError, ValueError, MissingObjectError) as error:  # ValueError: a NUL in the path
        reason = getattr(error, "strerror", None) or str(error)
        raise InputError(f"{where} names {path}: {reason}.", f"Paths are relative to {store.uri}.") from None
    return status.st_size, file_version(status)
