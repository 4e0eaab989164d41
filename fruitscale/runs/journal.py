"""The journal of an erasure and the receipt it leaves. Both hold salted hashes of photo paths, and no paths."""

from __future__ import annotations

import hashlib
import hmac
import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any

from fruitscale.errors import MissingObjectError, OutputError
from fruitscale.runs.damage import load_json
from fruitscale.storage.store import Store

JOURNAL_HINT = (
    "Restore it, so that the erasure can be finished; or remove the run folder, and run again without the photos."
)
JOURNAL, RECEIPTS = "_run/erase.json", "_run/erasures"


@dataclass(frozen=True)
class Journal:
    """An erasure, with all that is needed to finish it. `files` maps each file to rewrite to the number of rows it loses.

    `plan` and `record` are the new ones (the record still without a refitted PCA); `removed` lists files to delete.
    """

    id: str
    time: str
    refit: bool
    salt: str
    hashes: list[str]
    files: dict[str, int]
    removed: list[str]
    plan: dict[str, Any]
    record: dict[str, Any]

    @cached_property
    def _hashes(self) -> frozenset[str]:
        return frozenset(self.hashes)

    def has(self, path: str) -> bool:
        """Return whether this path, as written in the tables, is erased."""
        return salted(self.salt, path) in self._hashes

    @property
    def kinds(self) -> dict[str, dict[str, int]]:
        """The number of files rewritten and of rows removed, by kind of file."""
        files = Counter(map(kind, self.files))
        rows = {of: sum(n for name, n in self.files.items() if kind(name) == of) for of in files}
        return {of: {"files": files[of], "rows": rows[of]} for of in sorted(files)}

    @property
    def receipt(self) -> str:
        """The name of the receipt."""
        return f"{RECEIPTS}/{self.id}.json"


@dataclass(frozen=True)
class Receipt:
    """The salted hashes of erased paths, by which an erased photo is recognised."""

    salt: str
    hashes: frozenset[str]

    def has(self, path: str) -> bool:
        """Return whether this path, as written in the tables, was erased."""
        return salted(self.salt, path) in self.hashes


def salted(salt: str, path: str) -> str:
    """Return the salted hash of a path: HMAC-SHA256, its first 128 bits in hex."""
    return hmac.digest(bytes.fromhex(salt), path.encode(), hashlib.sha256).hex()[:32]


def kind(name: str) -> str:
    """Return the kind of a file: the folder of a part, or else the name itself."""
    return name.rsplit("/", 1)[0] if "/part-" in name else name


def check_finished(store: Store) -> None:
    """Raise OutputError if an erasure in this folder was interrupted."""
    if store.exists(JOURNAL):
        raise OutputError(
            f"{store.uri}: erasing photos from this run was interrupted, so it is not complete.",
            f"Finish it: fruitscale erase {store.uri}",
        )


def read_journal(store: Store) -> Journal | None:
    """Return the journal of an interrupted erasure, or None. Raises OutputError if it is damaged."""
    try:
        content = store.read(JOURNAL)
    except MissingObjectError:
        return None
    return load_json(store, JOURNAL, content, lambda values: _checked(Journal(**values)), JOURNAL_HINT)


def read_receipts(store: Store) -> list[Receipt]:
    """Return the receipts of a run, one per finished erasure. Raises OutputError if one is damaged."""
    names = sorted(store.names(f"{RECEIPTS}/"))
    return [load_json(store, name, store.read(name), _receipt) for name in names]


def _receipt(values: dict[str, Any]) -> Receipt:
    receipt = Receipt(str(values["salt"]), frozenset(values["hashes"]))
    receipt.has("")  # a salt that is not hex fails now
    return receipt


def _checked(journal: Journal) -> Journal:
    """Return a journal as it is. Raises ValueError or TypeError if it is none that this package wrote."""
    journal.has("")
    names = [*journal.files, *journal.removed, journal.receipt]
    if any(name.startswith("/") or ".." in name.split("/") for name in names):
        raise ValueError("a name outside the run folder")
    if (
        not isinstance(journal.record["erased"], int)
        or sum(journal.files.values()) < 0
        or not isinstance(journal.plan, dict)
    ):
        raise ValueError("not a journal")
    return journal


def write_journal(store: Store, journal: Journal) -> None:
    """Write the journal, before any file of the run changes."""
    _write_json(store, JOURNAL, asdict(journal))


def write_receipt(store: Store, journal: Journal, purged: PurgedVersions) -> None:
    """Write what was erased and when, with the salted hashes that prove it for a given path."""
    receipt = {
        "schema": 1,
        "id": journal.id,
        "time": journal.time,
        "photos": len(journal.hashes),
        "erased": journal.record["erased"],
        "refit": journal.refit,
        "files": journal.kinds,
        "removed": journal.removed,
        "versions": asdict(purged),
        "hash": "HMAC-SHA256 of the path in the run, with the salt as key (hex), its first 128 bits",
        "salt": journal.salt,
        "hashes": journal.hashes,
    }
    _write_json(store, journal.receipt, receipt)


def _write_json(store: Store, name: str, value: Mapping[str, Any]) -> None:
    store.write(name, (json.dumps(value, indent=2) + "\n").encode(), durable=True)


@dataclass(frozen=True)
class PurgedVersions:
    """The number of old versions removed, and of keys with versions that could not be."""

    removed: int = 0
    remaining: int = 0
