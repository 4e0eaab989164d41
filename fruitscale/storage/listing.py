"""Lists the photos of an input: those of a folder or an S3 prefix, or those in a list file."""

from __future__ import annotations

import errno
import itertools
import stat
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache, partial
from pathlib import Path
from typing import NamedTuple

from fruitscale.config.schema import Input, Storage
from fruitscale.errors import DeniedObjectError, InputError, MissingObjectError, UnansweredObjectError
from fruitscale.storage import listing_account, obstore_internals, signatures
from fruitscale.storage.folder_listing import UNADDRESSABLE, FolderWalk
from fruitscale.storage.listing_account import ListingAccount
from fruitscale.storage.name_rules import is_hidden, verdicts
from fruitscale.storage.object_listing import ARCHIVE_CLASSES, ListedKey, list_keys
from fruitscale.storage.photo_list import ListRow, read_list
from fruitscale.storage.s3 import S3Store
from fruitscale.storage.store import LocalStore, Store, file_version, open_store

AT_ONCE = 1000
"""Keys that are looked at together, or rows of a list."""


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


def list_photos(source: Input, storage: Storage, account: ListingAccount | None = None) -> Iterator[Photo]:
    """Yield the photos of an input, in no particular order, and count the rest in `account`.

    Raises InputError, UsageError or StorageError.
    """
    account = ListingAccount() if account is None else account
    store = open_store(source.uri, storage)
    label = labeller(source, store.uri, account)
    if source.list is not None:
        yield from _read_list(source, storage, store, label)
        return
    for path, size, version in _walk(source, store, account):
        yield Photo(path, label(path), size, version)


def labeller(source: Input, root_uri: str, account: ListingAccount | None = None) -> Callable[[str], str | None]:
    """Return the function from a path to its label: the photo's folder, or the input's own name at the top.

    Labels of several folders are noted in `account`.
    """
    if source.label == "none":
        return lambda path: None
    shared = set() if account is None else account.shared_labels
    labels = {"": root_uri.rstrip("/").rsplit("/", 1)[-1]}
    taken: dict[str, str] = {}

    def label(path: str) -> str:
        folder = path.rpartition("/")[0]
        found = labels.get(folder)
        if found is None:
            found = labels[folder] = folder if source.label == "path" else folder.rpartition("/")[2]
            if taken.setdefault(found, folder) != folder:
                shared.add(found)
        return found

    return label


def _walk(source: Input, store: Store, account: ListingAccount) -> Iterator[tuple[str, int, str]]:
    if isinstance(store, S3Store):
        yield from _objects(source, store, account)
        return
    assert isinstance(store, LocalStore)
    if not store.root.is_dir():
        problem = "is not a folder" if store.root.exists() else "does not exist"
        raise InputError(f"The input {store.root} {problem}.", "Check the path (key: input.uri).")
    walk = FolderWalk(verdicts(source), account, takes_hidden=source.hidden == "take")
    yield from walk.photos(str(store.root))


def _objects(source: Input, store: S3Store, account: ListingAccount) -> Iterator[tuple[str, int, str]]:
    """Yield the photos of a prefix; keys of unknown kinds are looked at, many at once."""
    unknown: list[ListedKey] = []
    judge, hidden = verdicts(source), _hidden_keys(source)
    with ThreadPoolExecutor(store.storage.concurrency, "look") as pool:
        for key in list_keys(store):
            verdict = "hidden" if hidden(key.name) else judge(key.name)
            if key.name[-1:] == "/":
                account.leave(listing_account.MARKER)
            elif verdict == "photo":
                yield _taken(key, account)
            elif verdict == "unknown":
                unknown.append(key)
                if len(unknown) == AT_ONCE:
                    yield from _recognized(store, unknown, pool, account)
                    unknown.clear()
            elif verdict == "hidden":
                account.leave(listing_account.HIDDEN)
            elif verdict == "excluded":
                account.leave(listing_account.EXCLUDED)
            else:
                account.leave_by_name(key.name)
        yield from _recognized(store, unknown, pool, account)


def _hidden_keys(source: Input) -> Callable[[str], bool]:
    """Return whether a key, or a folder it is in, is hidden. Keys come folder by folder."""
    if source.hidden == "take":
        return lambda key: False

    @lru_cache(maxsize=64)
    def in_hidden(folder: str) -> bool:
        return any(map(is_hidden, folder.split("/")))

    def hidden(key: str) -> bool:
        folder, _, name = key.rpartition("/")
        return is_hidden(name) or in_hidden(folder)

    return hidden


def _taken(key: ListedKey, account: ListingAccount) -> tuple[str, int, str]:
    if key.storage_class in ARCHIVE_CLASSES:
        account.archived[key.storage_class] += 1
    return key.name, key.size, key.etag if obstore_internals.is_addressable(key.name) else UNADDRESSABLE


def _recognized(
    store: S3Store, keys: Iterable[ListedKey], pool: ThreadPoolExecutor, account: ListingAccount
) -> Iterator[tuple[str, int, str]]:
    """Yield the keys that are photos by their first bytes or Content-Type, and count the others."""
    looked_at = []
    for key in keys:
        if key.storage_class in ARCHIVE_CLASSES:
            account.leave(listing_account.ARCHIVED)
        elif key.size == 0 or not obstore_internals.is_addressable(key.name):
            account.leave_by_name(key.name)
        else:
            looked_at.append(key)
    for key, is_photo in zip(looked_at, pool.map(lambda key: _is_photo(store, key), looked_at), strict=True):
        if is_photo:
            yield _taken(key, account)
        elif is_photo is None:
            account.leave(listing_account.UNREADABLE)
        else:
            account.leave_by_name(key.name)


def _is_photo(store: S3Store, key: ListedKey) -> bool | None:
    """Return whether an object is a photo; None if it may not be read."""
    try:
        head, content_type = store.read_head(key.name, signatures.HEAD)
    except (MissingObjectError, DeniedObjectError):
        return None
    except UnansweredObjectError:
        return True  # stage 1 tries again, and rejects it
    return signatures.is_photo(head) or (content_type.startswith("image/") and "svg" not in content_type)


def _read_list(source: Input, storage: Storage, store: Store, label: Callable[[str], str | None]) -> Iterator[Photo]:
    assert source.list is not None
    uri, seen = source.list, set[str]()
    listed = read_list(uri, storage)
    look = partial(_stat, store, uri)
    with ThreadPoolExecutor(storage.concurrency, "look") as pool:
        while rows := list(itertools.islice(listed.rows, AT_ONCE)):
            for row in rows:
                if row.path in seen:
                    raise InputError(f"{uri} names {row.path} twice.", "Each photo may be listed once.")
                seen.add(row.path)
            found = pool.map(look, rows) if isinstance(store, S3Store) else map(look, rows)
            for row, (size, version) in zip(rows, found, strict=True):
                yield Photo(row.path, row.label if listed.has_labels else label(row.path), size, version)


def _stat(store: Store, uri: str, row: ListRow) -> tuple[int, str]:
    path, hint = row.path, f"Paths are relative to {store.uri}."
    if path.startswith("/") or ".." in Path(path).parts:
        raise InputError(f"{uri} names {path}, which is not below input.uri.", "Paths are relative to input.uri.")
    try:
        if isinstance(store, S3Store):
            return store.stat(path)
        assert isinstance(store, LocalStore)
        status = (store.root / path).stat()
        if not stat.S_ISREG(status.st_mode):
            raise OSError(errno.EINVAL, "it is not a file")
    except (OSError, ValueError, MissingObjectError) as error:  # ValueError: a NUL in the path
        reason = getattr(error, "strerror", None) or str(error)
        hint += r" Their folders are separated by /, not by \." if "\\" in path else ""
        raise InputError(f"{uri} names {path}: {reason}.", hint) from None
    return status.st_size, file_version(status)
