"""Collects everything that a run holds on one photo, for a request for access (GDPR, article 15)."""

from __future__ import annotations

import html
import json
import time
from collections.abc import Iterator
from dataclasses import dataclass

from fruitscale.config.schema import Storage
from fruitscale.errors import FruitscaleError, InputError, MissingObjectError
from fruitscale.report import html_page
from fruitscale.report.run_page import shortened
from fruitscale.runs import manifest, parts
from fruitscale.runs.journal import RECEIPTS, Receipt, read_receipts
from fruitscale.runs.parts import Reject
from fruitscale.runs.photo_lookup import LocatedPhoto, PartRow, locate, part_row, reject_of
from fruitscale.runs.reader import CompleteRun, open_complete
from fruitscale.runs.run_folder import (
    FEATURES,
    PART_REJECTS,
    PCA_ARRAYS,
    PCA_RECORD,
    PLAN,
    PROGRESS,
    RECORD,
    REDUCED,
    REJECTS,
    REPORT,
)
from fruitscale.runs.selection import Selection, resolve
from fruitscale.storage.residency import StorageAccess
from fruitscale.storage.spelling import spellings
from fruitscale.storage.store import Store

TEXTS = (PLAN, RECORD, PROGRESS)
"""Files that can hold a photo's name in their settings or messages."""


@dataclass(frozen=True)
class HeldItem:
    """What a file of the run holds on the photo."""

    file: str
    holds: str


@dataclass(frozen=True)
class AccessedRun:
    """The run that was asked, with its network; `region`, `endpoint` and `place` say where it is, None on a disk.

    `residency` is whether that was checked or declared.
    """

    uri: str
    id: str
    fruitscale: str
    model: str
    region: str | None = None
    endpoint: str | None = None
    place: str | None = None
    residency: str | None = None


@dataclass(frozen=True)
class PhotoAccess:
    """Everything that a run holds on the photo `path`; `stored_as` is its name in the tables, a hash with hashed paths.

    `input` is the photo's own place, and `input_state` whether it is still there. `reject` is the reason why it has no
    features, `warning` the fault that it was read with. With `erased`, the photo was erased, and only the receipt's salted
    hash is left.
    """

    run: AccessedRun
    made: str
    path: str
    stored_as: str
    is_hashed: bool
    erased: bool = False
    label: str | None = None
    size: int | None = None
    version: str | None = None
    input: str | None = None
    input_state: str | None = None
    reject: str | None = None
    warning: str | None = None
    features: tuple[float, ...] = ()
    components: tuple[float, ...] = ()
    held: tuple[HeldItem, ...] = ()


def photo_access(uri: str, path: str, storage: Storage | None = None) -> PhotoAccess:
    """Return everything that a complete run holds on a photo, by its path; with hashed paths, by the real one.

    Raises InputError if the run never had the photo, UsageError if the key of hashed paths is missing or wrong.
    """
    access = StorageAccess(storage)
    run = open_complete(uri, access)
    is_hashed = run.plan.features.get("output.paths") == "hashed"
    try:
        located = locate(run, path)
    except InputError:
        receipt = _receipt_of(run, path)
        if receipt is None:
            raise
        item = HeldItem(f"{RECEIPTS}/", "a salted hash of the path, by which the erasure can be proved")
        return PhotoAccess(
            _accessed(run), _now(), path=path, stored_as=path, is_hashed=is_hashed, erased=True, held=(item,)
        )
    features, components = part_row(run, FEATURES, located), part_row(run, REDUCED, located)
    reject, photo = reject_of(run, located), located.photo
    real = None if is_hashed and path == photo.path else path if is_hashed else photo.path
    return PhotoAccess(
        run=_accessed(run),
        made=_now(),
        path=path,
        stored_as=photo.path,
        is_hashed=is_hashed,
        label=photo.label,
        size=photo.size,
        version=photo.version,
        input=run.record.input.uri,
        input_state=_input_state(run, real, access),
        reject=f"{reject.reason}: {reject.detail}" if reject else None,
        warning=features.part.warnings.get(features.row) if features else None,
        features=_values(features),
        components=_values(components),
        held=tuple(_held(run, located, features, components, reject)),
    )


def _now() -> str:
    return time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime())


def _accessed(run: CompleteRun) -> AccessedRun:
    record, model, residency = run.record, run.record.model, run.record.residency
    network = f"{model.architecture}, {model.weights} weights, {model.features:,} features"
    if residency is None:
        return AccessedRun(run.uri, record.id, record.fruitscale, network)
    where = (residency.region, residency.endpoint, residency.place, residency.rule)
    return AccessedRun(run.uri, record.id, record.fruitscale, network, *where)


def _receipt_of(run: CompleteRun, path: str) -> Receipt | None:
    """Return the receipt of the photo's erasure, or None."""
    selection = resolve(Selection(paths=(path,)), run.plan)
    names = {*selection.names_of(path), *spellings(path)}
    return next((each for each in read_receipts(run.folder.store) if any(map(each.has, names))), None)


def _input_state(run: CompleteRun, path: str | None, access: StorageAccess) -> str:
    if path is None:
        return "not checked: only the hash of its path is known"
    try:
        there = access.open(run.record.input.uri).exists(path)
    except FruitscaleError as error:
        return f"could not be checked: {error.message}"
    return "still there under this name" if there else "no longer there"


def _values(found: PartRow | None) -> tuple[float, ...]:
    return () if found is None else tuple(map(float, found.part.values[found.row]))


def _held(
    run: CompleteRun, located: LocatedPhoto, features: PartRow | None, components: PartRow | None, reject: Reject | None
) -> Iterator[HeldItem]:
    """Yield each file that holds something on the photo, and what."""
    yield HeldItem(manifest.NAME, f"path, label, size and version, in row {located.row + 1:,}")
    if features:
        warned = ", and the fault it was read with" if features.row in features.part.warnings else ""
        yield HeldItem(features.name, f"path, label and {features.part.values.shape[1]:,} features{warned}")
    if components:
        yield HeldItem(components.name, f"path, label and {components.part.values.shape[1]:,} components")
    if reject:
        yield HeldItem(REJECTS, "path, label and the reason why it could not be used")
        for name in _part_rejects(run, reject):
            yield HeldItem(name, "the same, for the shard")
    else:
        own = "mean and components: sums over all photos of the run, this one among them"
        pca = "the components of another run, in which this photo has no part" if run.record.pca.applied else own
        yield HeldItem(f"{PCA_ARRAYS}, {PCA_RECORD}", pca)
    store = run.folder.store
    if _mentions(store, REPORT, located.photo.path):
        yield HeldItem(REPORT, "its path, and possibly a thumbnail and its place among the components")
    for name in TEXTS:
        if _mentions(store, name, located.photo.path):
            yield HeldItem(name, "its path")


def _part_rejects(run: CompleteRun, reject: Reject) -> Iterator[str]:
    store = run.store
    for name in sorted(store.names(f"{PART_REJECTS}/")):
        if parts.is_part(name) and reject in parts.read_rejects(store, name):
            yield name


def _mentions(store: Store, name: str, path: str) -> bool:
    """Return whether a text file has the path in it, as it is or as JSON."""
    try:
        content = store.read(name)
    except MissingObjectError:
        return False
    shown = html_page.to_json(shortened(path))[1:-1]
    forms = {path, json.dumps(path)[1:-1], json.dumps(path, ensure_ascii=False)[1:-1], shown, html.escape(path)}
    return any(form.encode(errors="replace") in content for form in forms)
