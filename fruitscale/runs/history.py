"""Photos of earlier runs, so that a nightly job processes only new ones (input.new_since)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from fruitscale.errors import UsageError
from fruitscale.runs import manifest, path_hash
from fruitscale.runs.journal import Receipt, read_receipts
from fruitscale.runs.path_hash import PathHash
from fruitscale.runs.reader import CompleteRun, open_complete
from fruitscale.storage.listing import Photo
from fruitscale.storage.residency import StorageAccess
from fruitscale.storage.spelling import spellings
from fruitscale.uris import is_s3


@dataclass(frozen=True)
class RunPhotos:
    """One run's photos, by their name in its tables, and the receipts of photos erased from it.

    A version is the ETag on S3, and modification time and size on disk. Between disk and S3 only sizes are compared.
    """

    versions: dict[str, tuple[int, str]]
    receipts: list[Receipt]
    on_s3: bool
    hashed_with: PathHash | None

    def has(self, photo: Photo, *, on_s3: bool) -> bool:
        """Return whether the run has this version of the photo; `on_s3` is whether the photo is on S3 now."""
        hashed = self.hashed_with or str
        if (known := self.versions.get(hashed(photo.path))) is None:
            return self._has_erased(photo.path)
        size, version = known
        return size == photo.size and (on_s3 != self.on_s3 or version == hashed(photo.version))

    def _has_erased(self, path: str) -> bool:
        """Return whether this photo was erased, however its accents were spelled: it must not come back as new."""
        if not self.receipts:
            return False
        names = [(self.hashed_with or str)(spelling) for spelling in spellings(path)]
        return any(receipt.has(name) for receipt in self.receipts for name in names)


class RunHistory:
    """The photos of several runs, by path and version. Counts the photos it leaves out."""

    def __init__(self, runs: Sequence[RunPhotos], *, on_s3: bool) -> None:
        self.left_out = 0
        self._runs = runs
        self._on_s3 = on_s3

    @classmethod
    def by(cls, uris: Iterable[str], access: StorageAccess, on_s3: bool) -> RunHistory:
        """Read the manifests of complete runs; `on_s3` is whether the new photos are on S3.

        Raises InputError or OutputError if a run is not complete, UsageError if its paths are hashed and the key is not
        in the environment.
        """
        return cls([_read(open_complete(uri, access)) for uri in uris], on_s3=on_s3)

    def leave_out(self, photos: Iterable[Photo]) -> Iterator[Photo]:
        """Yield the photos that are in none of the runs."""
        for photo in photos:
            if any(run.has(photo, on_s3=self._on_s3) for run in self._runs):
                self.left_out += 1
            else:
                yield photo


def _read(run: CompleteRun) -> RunPhotos:
    table = manifest.read(run.store)
    columns = (table[name].to_pylist() for name in ("path", "size", "version"))
    versions = {path: (size, version) for path, size, version in zip(*columns, strict=True)}
    return RunPhotos(versions, read_receipts(run.store), is_s3(run.record.input.uri), _key(run))


def _key(run: CompleteRun) -> PathHash | None:
    """Return the hash of the run's paths, or None if they are plain."""
    if run.plan.features.get("output.paths") != "hashed":
        return None
    hashed_with = path_hash.from_environment()
    if hashed_with.key_id != run.plan.features.get("the key of output.paths"):
        raise UsageError(
            f"The paths of {run.uri} were hashed with another key than {path_hash.VARIABLE}, so they can't be compared.",
            "Set that run's key.",
        )
    return hashed_with
