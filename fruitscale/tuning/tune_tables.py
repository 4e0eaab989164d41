"""A tuning in words: the rows of its table, and its conclusion in sentences."""

from __future__ import annotations

from collections.abc import Sequence

from fruitscale.display.formatting import counted
from fruitscale.tuning.tuning_results import LEAST_AGREEMENT, Row, Tuning

NETWORK = "network"
TEXTS = (NETWORK, "pixels", "precision")
"""The columns that are text."""


def table(rows: Sequence[Row], tuning: Tuning) -> tuple[list[str], list[list[str]]]:
    """Return the headings and the rows of a table; the network is left out if there is only one."""
    found = [_cells(row, tuning) for row in rows]
    hidden = {NETWORK} if len({row.candidate.architecture for row in tuning.rows}) == 1 else set()
    headings = [name for name in (found[0] if found else ()) if name not in hidden]
    return headings, [[cells[name] for name in headings] for cells in found]


def _cells(row: Row, tuning: Tuning) -> dict[str, str]:
    mean, low, high = row.difference
    gap = "" if row.verdict == "reference" else f"{100 * mean:+.1f} ({100 * low:+.1f} to {100 * high:+.1f})"
    one = row.candidate
    cells = {
        NETWORK: one.architecture,
        "pixels": str(one.input_size),
        "precision": one.precision,
        "per call": str(one.photos_per_call),
        "ms": f"{row.ms_per_photo:.2f}",
        "MB": f"{row.worker_mb:,.0f}",
        tuning.measure: f"{row.quality:.1%}",
        "difference": gap,
        "kept": f"{row.components:,}",
        "verdict": row.verdict,
    }
    if tuning.recommended.cost_per_million is not None:
        cells["per million"] = f"{row.cost_per_million or 0:.2f}"
    return cells


def legend(tuning: Tuning) -> str:
    """Return what the columns mean."""
    quality = (
        "share of photos whose nearest neighbour in another series has their label"
        if tuning.measure == "accuracy"
        else "share of the reference's 10 nearest neighbours that are found, too"
    )
    return (
        f"ms: per photo and core, with {counted(tuning.slots, 'task')} at once; MB: a worker's memory; {tuning.measure}: "
        f"{quality}; difference: from the reference, in points, with its 95 % interval over photos; kept: components; equal: "
        "the interval includes 0."
    )


def conclude(tuning: Tuning) -> list[str]:
    """Return the conclusion: the recommendation first."""
    best, reference = tuning.recommended, tuning.reference
    if best == reference:
        return [f"Keep {reference.candidate}: nothing cheaper is good enough.", *_basis(tuning)]
    change = f"{abs(100 * best.difference[0]):.1f} points {'worse' if best.difference[0] < 0 else 'better'}"
    if best.verdict == "equal":
        change += ", which is within the interval: equal"
    first = (
        f"Use {best.candidate}: {tuning.speedup:.1f} times as fast as {reference.candidate} "
        f"({best.ms_per_photo:.2f} instead of {reference.ms_per_photo:.2f} ms per photo and core)"
    )
    if tuning.measure == "accuracy":
        return [f"{first}, and {change}.", *_basis(tuning)]
    return [f"{first}, with {best.quality:.0%} of the same neighbours.", *_basis(tuning)]


def _basis(tuning: Tuning) -> list[str]:
    """Return what the recommendation is based on."""
    if tuning.measure == "accuracy":
        basis = f"Good enough is at most {points(tuning.tolerance)} worse, by all features and by the components."
    else:
        basis = (
            f"Accuracy between series can't be measured here: {tuning.how}. So good enough is to share at least "
            f"{LEAST_AGREEMENT:.0%} of the reference's neighbours; a network that sees something else may be better, too. "
            "Give --test or --series to measure accuracy."
        )
    lines = [basis]
    best, reference = tuning.recommended, tuning.reference
    if best.cost_per_million is not None and reference.cost_per_million is not None:
        lines.append(f"A million photos cost {best.cost_per_million:.2f} instead of {reference.cost_per_million:.2f}.")
    return lines


def points(accuracy: float) -> str:
    """Return a difference in accuracy in words: 1 point, 0.5 points."""
    return f"{100 * accuracy:g} point" + ("" if accuracy == 0.01 else "s")
