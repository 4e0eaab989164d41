"""Lists the photos of a run: its input, without those that earlier runs have."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace

from fruitscale.config.schema import Config
from fruitscale.errors import InputError, NothingNewError, UsageError
from fruitscale.kernels.moments import check_count
from fruitscale.model.architectures import n_features
from fruitscale.pipeline.engine_start import EngineStart, n_shards
from fruitscale.pipeline.progress import RunProgress
from fruitscale.runs import manifest, path_hash
from fruitscale.runs.history import RunHistory
from fruitscale.runs.manifest import Manifest
from fruitscale.storage import listing, listing_account
from fruitscale.storage.listing import Photo
from fruitscale.storage.listing_account import ListingAccount
from fruitscale.storage.residency import StorageAccess
from fruitscale.storage.spelling import alike, composed
from fruitscale.uris import is_inside, is_s3

SHOWN = 3
"""Examples in a message."""


def check_uris(config: Config) -> None:
    """Raise UsageError if input or output is missing, or one is inside the other."""
    missing = [key for key, uri in (("input", config.input.uri), ("output", config.output.uri)) if not uri]
    if missing:
        keys, flags = " and ".join(f"{key}.uri" for key in missing), " and ".join(f"--{key}" for key in missing)
        raise UsageError(f"{keys} {'are' if missing[1:] else 'is'} not set.", f"Give {flags}, or {keys} in the config.")
    target = config.output.uri
    for kind, uri in (("input", config.input.uri), *(("run", uri) for uri in earlier_runs(config))):
        if is_inside(target, uri):
            raise UsageError(f"The output {target} is inside the {kind} {uri}.", "Choose another --output.")
        if is_inside(uri, target):
            raise UsageError(f"The {kind} {uri} is inside the output {target}.", "Choose another --output.")


def earlier_runs(config: Config) -> list[str]:
    """Return the folders of the runs that this run reads."""
    return [*([config.pca.run] if config.pca.run is not None else []), *config.input.new_since]


def list_input(
    config: Config, access: StorageAccess, progress: RunProgress, engine: EngineStart | None = None
) -> Manifest:
    """List the photos and return their manifest. `engine` is started as soon as its slots will have work.

    The manifest is empty if a run that applies a PCA finds nothing beyond `input.new_since`. Otherwise raises InputError if
    there are no photos, NothingNewError if none is new.
    """
    hashed_with = path_hash.from_environment() if config.output.paths == "hashed" else None
    with progress.stage("list"):
        history = RunHistory.by(config.input.new_since, access, is_s3(config.input.uri))
        account = ListingAccount(known_only=hashed_with is not None)
        photos: Iterator[Photo] = history.leave_out(listing.list_photos(config.input, config.storage, account))
        photos = photos if engine is None else engine.starting(photos)
        n_listed = 0

        def count(n: int) -> None:
            nonlocal n_listed
            n_listed = n
            progress.advance(n)

        listed = manifest.build(photos, config.input.limit, count, hashed_with)
        account.leave(listing_account.IN_EARLIER_RUNS, history.left_out)
        account.leave(listing_account.BEYOND_LIMIT, n_listed - listed.images)
        _warn_of_labels(alike(listed.table["label"].unique().to_pylist()), progress)
    if not listed.images and not config.input.new_since:
        raise _nothing_taken(config, account)
    if not listed.images and (config.pca.run is None or config.cluster is not None):
        raise NothingNewError(nothing_new(config.input.uri, account.not_taken))
    if not listed.images:
        return replace(listed, account=account)
    if isinstance(config.pca.components, int) and config.pca.run is None:
        check_count(config.pca.components, listed.images, n_features(config.model))
    if engine is not None:
        engine.start(n_shards(config, listed.images))
    return replace(listed, account=account)


def nothing_new(uri: str, not_taken: Mapping[str, int]) -> str:
    """Return in a sentence why no photo of an input is new."""
    if earlier := not_taken.get(listing_account.IN_EARLIER_RUNS, 0):
        have = f"earlier runs have all {earlier:,} photos" if earlier > 1 else "an earlier run has the only photo"
        return f"There is nothing new: {have}."
    others = f"; not taken: {listing_account.in_words(not_taken)}" if any(not_taken.values()) else ""
    return f"There is nothing new: {uri} has no photos{others}."


def _nothing_taken(config: Config, account: ListingAccount) -> InputError:
    if config.input.list is not None:
        return InputError(f"There are no photos in {config.input.list}.", "Give a list with at least one photo.")
    if not account.not_taken:
        return InputError(
            f"There are no photos in {config.input.uri}: it has no files.", "Check the path (key: input.uri)."
        )
    hint = f"Looked for {', '.join(config.input.include)}: see input.include and input.exclude."
    if account.not_taken[listing_account.HIDDEN]:
        hint += " input.hidden: take does not leave out hidden files."
    return InputError(
        f"There are no photos in {config.input.uri}; not taken: {listing_account.in_words(account.not_taken)}.", hint
    )


def _warn_of_labels(groups: list[tuple[str, ...]], progress: RunProgress) -> None:
    """Warn of labels that are different texts and look the same, as folders copied from a Mac do."""
    if groups:
        shown = ", ".join(composed(group[0]) for group in groups[:SHOWN]) + (", …" if len(groups) > SHOWN else "")
        progress.warn(
            f"Labels that look the same are encoded differently (Unicode NFC and NFD), so they count as different: {shown}. "
            "Rename the folders in one form, for example with convmv --nfc."
        )
