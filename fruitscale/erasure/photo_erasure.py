"""Erases photos from a run, from selection to receipt: tables, optionally the PCA, and the page."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from functools import reduce
from itertools import pairwise
from typing import TYPE_CHECKING

from threadpoolctl import threadpool_limits

from fruitscale.config.schema import Storage
from fruitscale.erasure import rewriting as erasing
from fruitscale.errors import FruitscaleError, InterruptedRunError, UsageError
from fruitscale.kernels.moments import Components, fit, group_edges, merge, moments_of, project
from fruitscale.report import publication
from fruitscale.runs import parts
from fruitscale.runs.fingerprints import APPLIED, plan_after_erasing
from fruitscale.runs.journal import Journal, PurgedVersions, read_journal
from fruitscale.runs.manifest import PRIVATE
from fruitscale.runs.parts import Part
from fruitscale.runs.reader import open_run
from fruitscale.runs.run_folder import FEATURES, REDUCED, REJECTS, REPORT, RunFolder
from fruitscale.runs.run_id import new_id
from fruitscale.runs.selection import Selection
from fruitscale.runs.writer import writing
from fruitscale.storage.residency import StorageAccess
from fruitscale.storage.store import each

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


@dataclass(frozen=True)
class EraseResult:
    """What an erasure did, or with `dry_run` would do.

    `photos` were erased now, `rejects` of them without features; `total` since the run was made; `remaining` are left.
    `files` counts rewritten files by kind; `removed` names deleted ones. `versions_remaining` counts objects in a versioned
    bucket with old versions that could not be removed. `resumed`: this finished an interrupted erasure. `page`:
    `report.html` was rewritten; `page_problem`: why it could not be.
    """

    uri: str
    photos: int
    rejects: int
    remaining: int
    total: int
    files: dict[str, int]
    removed: tuple[str, ...]
    refit: bool
    components: int
    versions_removed: int
    versions_remaining: int
    receipt: str | None
    resumed: bool
    dry_run: bool
    page: bool = False
    page_problem: str | None = None


def erase(
    uri: str,
    paths: Sequence[str] = (),
    label: str | None = None,
    matching: str | None = None,
    refit: bool = False,
    storage: Storage | None = None,
    dry_run: bool = False,
) -> EraseResult:
    """Erase photos from every table of a complete run, selected by exact paths, by label or by glob.

    With `refit`, the PCA is fitted again on the remaining photos. The same call, or one that selects nothing, finishes an
    interrupted erasure. Raises InputError or UsageError if nothing is selected, OutputError if the run is incomplete or
    being written; nothing was changed in these cases.
    """
    access = StorageAccess(storage)
    opened = open_run(uri, access)
    erasing.check_is_run(opened)
    selection = Selection((paths,) if isinstance(paths, str) else tuple(paths), label, matching)
    with nullcontext(opened.store) if dry_run else writing(opened.store, new_id()) as store:
        folder = RunFolder(store)
        resumed, journal = _journal(folder, selection, refit=refit)
        fitted = _fit_again(folder, journal) if journal.refit else None  # may raise, before anything has changed
        done = PurgedVersions() if dry_run else _commit(folder, journal, fitted)
    had_page = REPORT in journal.removed and journal.plan["config"].get("report", True) and not dry_run
    page_problem = _remake_page(opened, access) if had_page else None
    return EraseResult(
        uri=uri,
        photos=len(journal.hashes),
        rejects=journal.files.get(REJECTS, 0),
        remaining=journal.record["input"]["images"],
        total=journal.record["erased"],
        files={of: counts["files"] for of, counts in journal.kinds.items()},
        removed=tuple(name for name in journal.removed if name != PRIVATE),
        refit=journal.refit,
        components=journal.record["pca"]["components"] if fitted is None else fitted.k,
        versions_removed=done.removed,
        versions_remaining=done.remaining,
        receipt=None if dry_run else journal.receipt,
        resumed=resumed,
        dry_run=dry_run,
        page=had_page and page_problem is None,
        page_problem=page_problem,
    )


def _journal(folder: RunFolder, selection: Selection, *, refit: bool) -> tuple[bool, Journal]:
    """Return whether an erasure was interrupted, and the journal of that one or of a new one."""
    begun = read_journal(folder.store)
    if begun is None:
        return False, erasing.begin(folder, selection, plan_after_erasing, refit=refit)
    return True, erasing.resume(folder, begun, selection, refit=refit)


def _remake_page(folder: RunFolder, access: StorageAccess) -> str | None:
    """Rewrite the page; return why that failed, or None. The erasure stands either way."""
    try:
        publication.publish(folder, access)
    except FruitscaleError as error:
        return error.message
    except Exception as error:  # noqa: BLE001
        return f"{type(error).__name__}: {error}"
    return None


def _commit(folder: RunFolder, journal: Journal, fitted: Components | None) -> PurgedVersions:
    try:
        erasing.commit(folder, journal)
        erasing.rewrite(folder.store, journal)
        record = journal.record
        if fitted is not None:
            _project_again(folder, fitted)
            pca = {"components": fitted.k, "retained_variance": fitted.retained_variance}
            record = record | {"pca": record["pca"] | pca}
        return erasing.finish(folder, journal, record)
    except KeyboardInterrupt:
        raise InterruptedRunError(
            f"Stopped while erasing photos from {folder.store.uri}.",
            f"Finish it: fruitscale erase {folder.store.uri}",
        ) from None


def _fit_again(folder: RunFolder, journal: Journal) -> Components:
    """Fit the PCA on the remaining rows, as the pipeline would. Raises InputError if too few are left."""
    if APPLIED in journal.plan["pca"]:
        raise UsageError(
            "This run applied the components of an earlier run, which were not fitted on its photos.",
            "Leave out --refit. To refit, erase the photos from the run that fitted the components.",
        )
    names, width, pca = parts.names(folder.store, FEATURES), journal.record["model"]["features"], journal.plan["pca"]

    def staying(name: str) -> NDArray[np.float32]:
        part = parts.read_vectors(folder.store, name, "features")
        return part.values[[not journal.has(path) for path in part.paths]]

    edges = group_edges(len(names), journal.record["input"]["images"])
    with threadpool_limits(1):
        groups = (moments_of(each(folder.store, staying, names[a:b]), width) for a, b in pairwise(edges))
        return fit(reduce(merge, groups), pca["pca.components"], standardize=pca["pca.standardize"])


def _project_again(folder: RunFolder, fitted: Components) -> None:
    def score(name: str) -> None:
        part = parts.read_vectors(folder.store, name, "features")
        scores = Part(part.paths, part.labels, project(part.values, fitted))
        parts.write_vectors(folder.store, name.replace(FEATURES, REDUCED, 1), "components", scores)

    folder.write_components(fitted.to_bytes(), fitted.summary())
    with threadpool_limits(1):
        for _ in each(folder.store, score, parts.names(folder.store, FEATURES)):
            pass
