"""Reads the files of a complete run, each only if it is the one that run.json names."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from fruitscale.errors import MissingObjectError
from fruitscale.runs.parts import DamagedPartError, is_part, sha256
from fruitscale.storage.store import Store, StoreView


class CheckedStore(StoreView):
    """The store of a run folder: files are compared with their checksums, and parts without one don't exist."""

    def __init__(self, store: Store, files: Mapping[str, str]) -> None:
        super().__init__(store)
        self._files = files

    def read(self, name: str, version: str | None = None) -> bytes:
        """Return a file's content. Raises DamagedPartError if it is not what the run wrote."""
        if self._is_foreign(name):
            raise MissingObjectError(f"{self.uri}/{name} is not a part of this run.")
        try:
            content = super().read(name, version)
        except MissingObjectError as error:
            if name not in self._files:
                raise
            raise DamagedPartError(error.message, "Run the same command again: it repairs the run.") from None
        if name in self._files and sha256(content) != self._files[name]:
            raise DamagedPartError(
                f"{self.uri}/{name} is damaged: run.json has another sha256.",
                "Run the same command again: it repairs the run.",
            )
        return content

    def names(self, prefix: str) -> Iterator[str]:
        """Yield the names below a folder, without parts of other runs."""
        return (name for name in super().names(prefix) if not self._is_foreign(name))

    def _is_foreign(self, name: str) -> bool:
        return bool(self._files) and is_part(name) and name not in self._files
