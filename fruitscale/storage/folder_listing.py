"""Walks a folder on disk: every regular file that the rules take, and the count of the others."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterator
from typing import NamedTuple

from fruitscale.config.regular_files import read_head
from fruitscale.errors import StorageError
from fruitscale.storage import listing_account, signatures
from fruitscale.storage.listing_account import ListingAccount
from fruitscale.storage.name_rules import Verdict, is_hidden
from fruitscale.storage.store import file_version
from fruitscale.storage.system_errors import path_hint

UNADDRESSABLE = ""
"""The version of a photo whose name can't be read: it is not text, or obstore refuses it. Such photos are rejected."""


class _Folder(NamedTuple):
    path: str
    prefix: str
    above: tuple[tuple[int, int], ...]
    """The identities of the folders that enclose it."""


class FolderWalk:
    """One walk over a folder: yields path, size and version of each photo."""

    def __init__(self, verdict: Callable[[str], Verdict], account: ListingAccount, *, takes_hidden: bool) -> None:
        self._verdict, self._account, self._takes_hidden = verdict, account, takes_hidden

    def photos(self, root: str) -> Iterator[tuple[str, int, str]]:
        """Yield the photos below a folder. Raises StorageError if a folder can't be read."""
        pending = [_Folder(root, "", ())]
        while pending:
            folder = pending.pop()
            try:
                here = os.stat(folder.path)  # noqa: PTH116  paths of a million files are kept as text
                identity = (here.st_dev, here.st_ino)
                if identity in folder.above:
                    self._account.leave(listing_account.CIRCULAR)
                    continue
                with os.scandir(folder.path) as entries:
                    yield from self._scan(entries, folder, (*folder.above, identity), pending)
            except OSError as error:
                where, reason = error.filename or folder.path, error.strerror or type(error).__name__
                raise StorageError(f"{where} can't be listed: {reason}.", path_hint(error)) from None

    def _scan(
        self,
        entries: Iterator[os.DirEntry[str]],
        folder: _Folder,
        inside: tuple[tuple[int, int], ...],
        pending: list[_Folder],
    ) -> Iterator[tuple[str, int, str]]:
        for entry in entries:
            name = entry.name
            if not self._takes_hidden and is_hidden(name):
                self._account.leave(listing_account.HIDDEN, _n_files(entry))
            elif entry.is_file(follow_symlinks=False) or self._leads_to_file(entry):
                path = folder.prefix + name
                if (verdict := self._verdict(path)) == "photo" or self._takes(entry, path, verdict):
                    yield from self._described(entry, path)
            elif _is_folder(entry):
                pending.append(_Folder(entry.path, f"{folder.prefix}{name}/", inside))

    def _leads_to_file(self, entry: os.DirEntry[str]) -> bool:
        """Return whether a link leads to a file; count what is neither file nor folder."""
        if not entry.is_symlink():
            if not entry.is_dir(follow_symlinks=False):
                self._account.leave(listing_account.SPECIAL)
            return False
        try:
            if entry.is_file():
                return True
            leads_to_folder = entry.is_dir()
        except OSError as error:
            if error.errno != errno.ELOOP:
                raise
            leads_to_folder = False
        if not leads_to_folder:
            is_nothing = not os.path.exists(entry.path)  # noqa: PTH110
            self._account.leave(listing_account.DANGLING if is_nothing else listing_account.SPECIAL)
        return False

    def _takes(self, entry: os.DirEntry[str], path: str, verdict: Verdict) -> bool:
        """Return whether a file is a photo by its content, if its name leaves that open; count it if not."""
        if verdict == "unknown":
            try:
                if signatures.is_photo(read_head(entry.path, signatures.HEAD)):
                    return True
            except OSError:
                self._account.leave(listing_account.UNREADABLE)
                return False
        if verdict == "excluded":
            self._account.leave(listing_account.EXCLUDED)
        else:
            self._account.leave_by_name(path)
        return False

    def _described(self, entry: os.DirEntry[str], path: str) -> Iterator[tuple[str, int, str]]:
        try:
            status = entry.stat()
        except FileNotFoundError:
            self._account.leave(listing_account.GONE)
            return
        yield as_text(path), status.st_size, file_version(status) if is_text(path) else UNADDRESSABLE


def is_text(path: str) -> bool:
    """Return whether a path is UTF-8."""
    if path.isascii():
        return True
    try:
        path.encode()
    except UnicodeEncodeError:
        return False
    return True


def as_text(path: str) -> str:
    """Return a path as it is listed: bytes that are not UTF-8 are escaped."""
    return path if is_text(path) else os.fsencode(path).decode("utf-8", "backslashreplace")


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError as error:
        if error.errno == errno.ELOOP:
            return False
        raise


def _n_files(entry: os.DirEntry[str]) -> int:
    """Return how many files a hidden entry holds. Links are not followed, and a closed folder counts as one file."""
    if not entry.is_dir(follow_symlinks=False):
        return 1
    count, folders = 0, [entry.path]
    while folders:
        try:
            with os.scandir(folders.pop()) as entries:
                for inner in entries:
                    if inner.is_dir(follow_symlinks=False):
                        folders.append(inner.path)
                    else:
                        count += 1
        except OSError:
            count += 1
    return count
