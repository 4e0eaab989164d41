"""Selects photos of a run by path, by label or by glob. Names that differ only in Unicode normalisation are equal."""

from __future__ import annotations

import difflib
import itertools
import os
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from fruitscale.config.schema import PHOTO_GLOB
from fruitscale.errors import InputError, UsageError
from fruitscale.runs import path_hash
from fruitscale.runs.run_folder import RunPlan
from fruitscale.storage import name_rules
from fruitscale.storage.spelling import composed, spellings

if TYPE_CHECKING:
    import pyarrow as pa

SHOWN = 3
"""Examples in a message."""
COMPARED = 5000
"""Most names that a wrong one is compared with: a manifest can have millions."""
REMOVED = "(erased)"
"""Replaces, in the stored configuration, a glob that named an erased photo."""


@dataclass(frozen=True)
class Selection:
    """Exact paths, one label or a glob: at most one of the three."""

    paths: tuple[str, ...] = ()
    label: str | None = None
    matching: str | None = None
    hashed_with: path_hash.PathHash | None = None

    @property
    def is_empty(self) -> bool:
        """Return whether nothing is selected."""
        return not self.paths and self.label is None and self.matching is None

    def names_of(self, path: str) -> Iterator[str]:
        """Yield every name that a given path may have in the tables; with hashed paths, a hash may be given as it is."""
        names = spellings(_as_listed(path))
        if self.hashed_with is None:
            return names
        return itertools.chain(map(self.hashed_with, names), [path] if path_hash.is_hash(path) else [])


def resolve(selection: Selection, plan: RunPlan) -> Selection:
    """Return the selection with the hash of its paths, if the run's paths are hashed. Raises UsageError."""
    if sum((bool(selection.paths), selection.label is not None, selection.matching is not None)) > 1:
        raise UsageError("Select photos by path, by label or by glob, not by several of them.", "Give one of them.")
    if plan.config.get("output", {}).get("paths") != "hashed":
        return selection
    if selection.matching is not None:
        raise UsageError(
            "This run has hashes instead of paths (output.paths: hashed), which no glob can match.",
            "Give each --path as it is in the input, or a --label.",
        )
    if not selection.paths:
        return selection
    hashed_with = path_hash.from_environment()
    if hashed_with.key_id != plan.features.get("the key of output.paths"):
        raise UsageError(
            f"{path_hash.VARIABLE} is not the key that the paths of this run were hashed with.", "Set that key."
        )
    return replace(selection, hashed_with=hashed_with)


def choose(table: pa.Table, selection: Selection, known: Callable[[str], bool] = lambda path: False) -> list[str]:
    """Return the selected paths of a manifest. Raises InputError for a path that is neither in it nor `known`."""
    paths: list[str] = table["path"].to_pylist()
    if selection.label is not None:
        wanted, labels = composed(selection.label), table["label"].to_pylist()
        return [path for path, of in zip(paths, labels, strict=True) if of is not None and composed(of) == wanted]
    if selection.matching is not None:
        matches = _glob(composed(selection.matching))
        return [path for path in paths if matches(composed(path))]
    present: dict[str, list[str]] = defaultdict(list)
    for path in paths if selection.paths else ():
        present[composed(path)].append(path)
    chosen: set[str] = set()
    missing = []
    for given in selection.paths:
        names = list(selection.names_of(given))
        found = {path for name in names for path in present.get(composed(name), ())}
        chosen |= found
        if not found and not any(map(known, names)):
            missing.append(given)
    _check_found(missing, () if selection.hashed_with else paths)
    return sorted(chosen)


def _check_found(missing: Sequence[str], paths: Sequence[str]) -> None:
    if missing:
        shown = ", ".join(missing[:SHOWN]) + (", …" if len(missing) > SHOWN else "")
        raise InputError(
            f"The run has no photo {shown}.",
            f"{nearest(missing[0], paths)}Paths are relative to the run's input, as in its manifest.parquet.",
        )


def nothing_selected(table: pa.Table, selection: Selection) -> InputError:
    """Return the error for a label or a glob that matches none of a manifest's photos."""
    if selection.label is not None:
        labels = set(filter(None, table["label"].to_pylist()))
        hint = f"{nearest(selection.label, labels)}Labels are in the run's manifest.parquet."
        return InputError(f"The run has no photo with the label {selection.label}, so nothing is erased.", hint)
    if selection.matching is not None:
        hint = (
            f"{nearest(selection.matching, table['path'].to_pylist())}Globs match whole paths, as in manifest.parquet."
        )
        return InputError(f"No photo of the run matches {selection.matching}, so nothing is erased.", hint)
    return InputError("The run has no such photo, so nothing is erased.", "See its manifest.parquet.")


def nearest(given: str, known: Iterable[str]) -> str:
    """Return up to three names like a wrong one as a question, else three examples; empty if none is known."""
    names = sorted(set(known))
    folder, _, file = given.rpartition("/")
    candidates = [name for name in names if name.startswith(f"{folder}/") or name.endswith(f"/{file}")]
    near = difflib.get_close_matches(given, (names if len(names) <= COMPARED else candidates)[:COMPARED], n=SHOWN)
    if near:
        return f"Did you mean {' or '.join(near)}? "
    return f"For example: {', '.join(names[:SHOWN])}. " if names else ""


def without_names(config: Mapping[str, Any], gone: Iterable[str], left: Iterable[str]) -> dict[str, Any]:
    """Return a stored configuration without globs that name erased photos; `gone` and `left` are paths and labels."""
    source = dict(config.get("input", {}))
    names = {_folded(text) for path in gone for text in (path, path.rsplit("/", 1)[-1])}
    names -= set(map(_folded, left))
    for key in ("include", "exclude"):
        globs = source.get(key, ())
        source[key] = [REMOVED if _names_one_of(names, glob) else glob for glob in globs]
    return {**config, "input": source}


def _names_one_of(names: set[str], glob: str) -> bool:
    folded = _folded(glob)
    return glob != PHOTO_GLOB and (
        not names.isdisjoint(folded.split("/")) or any("." in n and n in folded for n in names)
    )


def _folded(text: str) -> str:
    return composed(text).casefold()


def _glob(text: str) -> Callable[[str], bool]:
    try:
        return name_rules.name_filter((text,), ())
    except UsageError:
        raise UsageError("The glob has too many braces.", "Give a shorter glob.") from None


def _as_listed(path: str) -> str:
    """Return a path that is not UTF-8 as the listing writes it."""
    try:
        path.encode()
    except UnicodeEncodeError:
        return os.fsencode(path).decode("utf-8", "backslashreplace")
    return path
