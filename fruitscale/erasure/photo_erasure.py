"""Erasing photos from a run, from the choice to the receipt: tables, the PCA where that is asked for, and the page."""

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
from fruitscale.erasure.selection import Selection
from fruitscale.errors import FruitscaleError, InterruptedRunError, UsageError
from fruitscale.kernels.moments import Components, fit, group_edges, merge, moments_of, project
from fruitscale.report import publication
from fruitscale.runs import parts
from fruitscale.runs.fingerprints import APPLIED, plan_after_erasing
from fruitscale.runs.journal import Journal, PurgedVersions, new_id, read_journal
from fruitscale.runs.manifest import PRIVATE
from fruitscale.runs.parts import Part
from fruitscale.runs.reader import each, open_run
from fruitscale.runs.run_folder import FEATURES, REDUCED, REJECTS, REPORT, RunFolder
from fruitscale.storage import lock

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


@dataclass(frozen=True)
class EraseResult:
    """What an erase did, or (`dry_run`) would do.

    `photos` went now, `rejects` of them had no features; `total` went since the run was made, `remaining` are left.
    `files` are those rewritten, by kind; `removed` went whole. `versions_remaining` counts the objects in a versioned
    bucket whose old versions could not be removed. `resumed`: it finished one that had been interrupted. `page`:
    `report.html` was made anew; `page_problem`: why it could not be.
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
    """Erase photos from every table of a complete run: by exact paths, by their label, or by a glob.

    With `refit` the PCA is fitted again on what is left. An erase that was interrupted is finished by the same call, or
    by one that chooses nothing. Raises InputError or UsageError when nothing is chosen, OutputError when the run is not
    complete or is being written; nothing was changed then.
    """
    folder, held_by = open_run(uri, storage), new_id()
    erasing.check_is_run(folder)
    asked = Selection((paths,) if isinstance(paths, str) else tuple(paths), label, matching)
    with nullcontext() if dry_run else lock.locked(folder.store, held_by):
        begun = read_journal(folder.store)
        if begun is None:
            journal = erasing.begin(folder, asked, plan_after_erasing, refit=refit)
        else:
            journal = erasing.resume(folder, begun, asked, refit=refit)
        fitted = _fit_again(folder, journal) if journal.refit else None  # raises while nothing has changed yet
        done = PurgedVersions() if dry_run else _carry_out(folder, journal, fitted, held_by)
    had_page = REPORT in journal.removed and journal.plan["config"].get("report", True) and not dry_run
    page_problem = _remake_page(folder, storage) if had_page else None
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
        resumed=begun is not None,
        dry_run=dry_run,
        page=had_page and page_problem is None,
        page_problem=page_problem,
    )


def _remake_page(folder: RunFolder, storage: Storage | None) -> str | None:
    """Make the page of what is left; return why it can't be. Nothing is erased any less for it."""
    try:
        publication.publish(folder, storage or Storage())
    except FruitscaleError as error:
        return error.message
    except Exception as error:  # noqa: BLE001
        return f"{type(error).__name__}: {error}"
    return None


def _carry_out(folder: RunFolder, journal: Journal, fitted: Components | None, held_by: str) -> PurgedVersions:
    try:
        erasing.commit(folder, journal)
        erasing.rewrite(folder.store, journal, held_by)
        record = journal.record
        if fitted is not None:
            _project_again(folder, fitted, held_by)
            pca = {"components": fitted.k, "retained_variance": fitted.retained_variance}
            record = record | {"pca": record["pca"] | pca}
        return erasing.finish(folder, journal, record, held_by)
    except KeyboardInterrupt:
        raise InterruptedRunError(
            f"Stopped while photos were erased from {folder.store.uri}.",
            f"Finish it: fruitscale erase {folder.store.uri}",
        ) from None


def _fit_again(folder: RunFolder, journal: Journal) -> Components:
    """Fit the PCA on the rows that stay, as the pipeline would on these parts. Raises InputError: too few are left."""
    if APPLIED in journal.plan["pca"]:
        raise UsageError(
            "This run has the components of an earlier one, which were not fitted with its photos.",
            "Leave --refit out here. To fit without them where they were fitted, erase them there, with --refit.",
        )
    names, width, pca = parts.names(folder.store, FEATURES), journal.record["model"]["features"], journal.plan["pca"]

    def staying(name: str) -> NDArray[np.float32]:
        part = parts.read_vectors(folder.store, name, "features")
        return part.values[[not journal.has(path) for path in part.paths]]

    edges = group_edges(len(names), journal.record["input"]["images"])
    with threadpool_limits(1):
        groups = (moments_of(each(folder.store, staying, names[a:b]), width) for a, b in pairwise(edges))
        return fit(reduce(merge, groups), pca["pca.components"], standardize=pca["pca.standardize"])


def _project_again(folder: RunFolder, fitted: Components, held_by: str) -> None:
    def score(name: str) -> None:
        part = parts.read_vectors(folder.store, name, "features")
        lock.check_held(folder.store, held_by)
        scores = Part(part.paths, part.labels, project(part.values, fitted))
        parts.write_vectors(folder.store, name.replace(FEATURES, REDUCED, 1), "components", scores)

    lock.check_held(folder.store, held_by)
    folder.write_components(fitted.to_bytes(), fitted.summary())
    with threadpool_limits(1):
        for _ in each(folder.store, score, parts.names(folder.store, FEATURES)):
            pass
