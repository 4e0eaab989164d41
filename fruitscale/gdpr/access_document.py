"""What a run holds on a photo as Markdown: the annex to an answer to a request for access (GDPR, article 15)."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Sequence

from fruitscale.display.formatting import size
from fruitscale.gdpr.markdown import escape, fenced, table
from fruitscale.gdpr.photo_access import PhotoAccess

PER_LINE = 8
"""Numbers on a line."""
CONTROLLER_ADDS = (
    "the purposes of the processing, and its legal basis (15(1)(a))",
    "the categories of personal data that the photo shows (15(1)(b))",
    "the recipients, and the safeguards of a transfer to a third country (15(1)(c), 15(2))",
    "how long the data are kept (15(1)(d))",
    "the rights to rectification, erasure, restriction and objection, and to complain to a supervisory authority "
    "(15(1)(e), (f))",
    "where the photo comes from, if not from the person (15(1)(g))",
    "a copy of the photo itself (15(3)), which fruitscale does not hold",
)


def access_document(found: PhotoAccess) -> str:
    """Return the document. Names are escaped, so they can't change its structure."""
    return "\n".join(_lines(found)) + "\n"


def _lines(found: PhotoAccess) -> Iterator[str]:
    yield from ("# Data held on one photo", "")
    yield "Annex to the answer to a request for access (GDPR, article 15), for one run of fruitscale."
    yield ""
    yield from table(("", ""), _facts(found))
    if found.erased:
        yield "The photo was erased from this run. Its features, components, label and path are gone."
        yield ""
    yield from ("## Where something is held", "")
    yield from table(
        ("File in the run folder", "What it holds"), ((escape(i.file), escape(i.holds)) for i in found.held)
    )
    yield from _values("Features", "computed from the photo by the network", found.features)
    yield from _values("Components", "computed from the features by the PCA", found.components)
    yield from _closing(found)


def _facts(found: PhotoAccess) -> Iterator[tuple[str, ...]]:
    yield "Photo", escape(found.path)
    if found.is_hashed and found.stored_as != found.path:
        yield "Stored as", f"{escape(found.stored_as)} (a keyed hash of the path)"
    if not found.erased:
        yield "Label", "none" if found.label is None else escape(found.label) or "(empty)"
        yield "Size, version", f"{size(found.size or 0)}, {escape(found.version or '')}"
        yield "The photo itself", f"in {escape(found.input or '')}: {escape(found.input_state or '')}"
        yield "Result", _result(found)
    yield "Run", f"{escape(found.run.uri)}, id {escape(found.run.id)}"
    yield "Stored in", _stored_in(found)
    yield "Network", f"{escape(found.run.model)}; no model was trained on the photo"
    yield "Made", f"{found.made}, from a run of fruitscale {escape(found.run.fruitscale)}"


def _result(found: PhotoAccess) -> str:
    if found.reject is not None:
        return f"not used: {escape(found.reject)}"
    warned = f", read with a warning: {escape(found.warning)}" if found.warning else ""
    return f"{len(found.features):,} features, {len(found.components):,} components{warned}"


def _stored_in(found: PhotoAccess) -> str:
    if found.run.residency is None:
        return "a local or mounted disk"
    where = ", ".join(filter(None, (found.run.region, found.run.endpoint, found.run.place)))
    rule = "checked with the store" if found.run.residency == "checked" else "declared in the config"
    return f"{escape(where)} ({rule})"


def _values(title: str, origin: str, values: Sequence[float]) -> Iterator[str]:
    if values:
        yield from (f"## {title}", "", f"{len(values):,} numbers, {origin}:", "")
        texts = [f"{value:.9g}" for value in values]
        lines = [" ".join(texts[start : start + PER_LINE]) for start in range(0, len(texts), PER_LINE)]
        yield from ("```text", *lines, "```", "")


def _closing(found: PhotoAccess) -> Iterator[str]:
    yield from ("## What the controller adds", "")
    yield from (f"- {each}" for each in CONTROLLER_ADDS)
    yield ""
    if not found.erased:
        yield from ("## To erase it (article 17)", "")
        run, path = shlex.quote(found.run.uri), shlex.quote(found.path)
        yield from (*fenced(f"fruitscale erase {run} --path {path} --refit"), "")
        yield "`fruitscale erase --like` also finds copies of the photo under other names."
        yield ""
    yield from ("## Not covered", "")
    yield "- Other runs, copies of this run, and old versions of its files in a bucket with versioning."
    yield "- Logs of the store and of the machines that name the photo."
