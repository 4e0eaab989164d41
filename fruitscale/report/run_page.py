"""The page of a run: what its findings say, in words, tables and figures."""

from __future__ import annotations

import shlex
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from fruitscale.config import loading
from fruitscale.config.schema import Storage
from fruitscale.errors import FruitscaleError
from fruitscale.report import charts, html_page
from fruitscale.report.label_pairs import NEIGHBOURS
from fruitscale.report.palette import style_of
from fruitscale.report.run_facts import RunFacts, shown
from fruitscale.report.sampling import evenly
from fruitscale.report.thumbnails import thumbnails
from fruitscale.runs.record import RunRecord

if TYPE_CHECKING:
    from bokeh.models import Plot

MOST_THUMBNAILS = 1000
MOST_BYTES = 3_000_000
"""Of thumbnails, in all."""
MOST_WITH_NAMES = 4_000_000
"""Bytes of thumbnails and of the names of photos and labels together; with Bokeh and the points a page is below 6 MB."""
LONGEST_NAME = 200
"""Bytes of a path or label that are shown."""
EXAMPLES = 5
STAGES = {
    "list": "List the photos",
    "export": "Export the model",
    "start": "Start the engine",
    "featurize": "Featurize",
    "fit": "Fit the PCA",
    "project": "Project",
}
SECRET = ("secret", "password", "token", "key")


@dataclass(frozen=True)
class ThumbnailSheet:
    """Thumbnails in base64, the number of each by its row, and why there are none."""

    images: list[str]
    number: Mapping[int, int]
    problem: str = ""


@dataclass(frozen=True)
class StageBar:
    """A stage of the run: when it began and how long it took, in seconds and in percent of the whole."""

    name: str
    seconds: float
    begin: float
    width: float


def make_run_page(findings: RunFacts, storage: Storage) -> bytes:
    """Return the page of a run. `storage` says how to reach the photos, whose thumbnails it shows."""
    html_page.check_installed()
    pictures = _pictures(findings, storage)
    facts = _facts(findings, pictures)
    plots: dict[str, Plot] = {"scatter": charts.scatter(findings), "variance": charts.variance(findings)}
    return html_page.render("run.html", facts, _data(findings, pictures), plots)


def _facts(findings: RunFacts, pictures: ThumbnailSheet) -> dict[str, Any]:
    record = findings.record
    return {
        "title": f"{record.images.featurized:,} photos, {record.pca.components} components",
        "run": record,
        "findings": findings,
        "pictures": pictures,
        "stages": stages(record),
        "marks": _marks(findings),
        "rejects": rejects(findings),
        "reproduce": reproduce(findings),
        "label": lambda code: shown(findings.labels[code]),
        "label_of": findings.label,
        "medoid": lambda code: int(findings.sample[findings.closeness.medoids[code]]) if findings.closeness else None,
        "neighbours": NEIGHBOURS,
        "share_of": lambda component: float(findings.fitted.ratio[component]),
    }


def _data(findings: RunFacts, pictures: ThumbnailSheet) -> dict[str, Any]:
    looks = [style_of(number) for number in range(len(findings.seen))]
    return {
        "labels": _labels(findings),
        "counts": np.bincount(findings.codes, minlength=len(findings.labels))[findings.seen].tolist(),
        "looks": [[look.tone, look.shape, look.hollow] for look in looks],
        "points": {
            "label": findings.looks.tolist(),
            "path": _paths(findings),
            "thumb": [pictures.number.get(row, -1) for row in findings.sample.tolist()],
        },
        "thumbs": pictures.images,
        "shares": findings.fitted.ratio[: findings.leading.shape[1]].tolist(),
    }


def _labels(findings: RunFacts) -> list[str]:
    return [shortened(shown(findings.labels[code])) for code in findings.seen.tolist()]


def _paths(findings: RunFacts) -> list[str] | None:
    """Return the path of each point; None where photos are not named."""
    return [shortened(path) for path in findings.sampled_paths] if findings.is_named else None


def shortened(name: str) -> str:
    """Return a name without its middle where it is very long."""
    content, half = name.encode(), LONGEST_NAME // 2
    if len(content) <= LONGEST_NAME:
        return name
    return f"{content[:half].decode(errors='ignore')}…{content[-half:].decode(errors='ignore')}"


def _pictures(findings: RunFacts, storage: Storage) -> ThumbnailSheet:
    """Choose the photos that are shown, and make their thumbnails: what the tables show first, then points by label."""
    if not findings.is_named:
        return ThumbnailSheet([], {})
    first = {int(row) for end in findings.ends for row in (*end.low, *end.high)}
    if findings.closeness:
        close = findings.closeness
        pairs = (*(close.confused or close.others), *close.nearest)
        medoids = {findings.closeness.medoids[code] for pair in pairs for code in (pair.label, pair.other)}
        first |= {int(findings.sample[number]) for number in medoids}
    rest = findings.sample[evenly(findings.codes[findings.sample], MOST_THUMBNAILS - len(first))]
    rows = sorted(first | set(rest.tolist()))[:MOST_THUMBNAILS]
    photos = [findings.photo(row) for row in rows]
    try:
        made = thumbnails(findings.record.input.uri, photos, findings.config.images, storage, budget(findings))
    except FruitscaleError as error:
        return ThumbnailSheet([], {}, error.message)
    return _numbered(rows, made, findings.record.input.uri)


def budget(findings: RunFacts) -> int:
    """Return how many bytes the thumbnails may have: less where names are long."""
    names = sum(len(name.encode()) for name in (*_labels(findings), *(_paths(findings) or ())))
    return min(MOST_BYTES, MOST_WITH_NAMES - names)


def _numbered(rows: list[int], made: list[str], uri: str) -> ThumbnailSheet:
    there = [(row, image) for row, image in zip(rows, made, strict=True) if image]
    missing = len(rows) - len(there)
    problem = f"{missing} of {len(rows)} photos are not in {uri} any more, or have changed." if missing else ""
    return ThumbnailSheet([image for _, image in there], {row: i for i, (row, _) in enumerate(there)}, problem)


def stages(record: RunRecord) -> list[StageBar]:
    """Return the stages in their order; what is in none is the last."""
    total, begin, found = record.seconds.total or 1.0, 0.0, []
    for key, name in STAGES.items():
        seconds = float(getattr(record.seconds, key))
        found.append(StageBar(name, seconds, 100 * begin / total, 100 * seconds / total))
        begin += seconds
    other = max(total - begin, 0.0)
    return [*found, StageBar("Everything else", other, 100 * begin / total, 100 * other / total)]


def _marks(findings: RunFacts) -> list[tuple[float, int]]:
    kept = np.cumsum(findings.fitted.ratio)
    return [(mark, charts.components_for(kept, mark)) for mark in charts.MARKS]


def rejects(findings: RunFacts) -> list[tuple[str, int, list[tuple[str, str]]]]:
    """Return each reason with how many there are and a few examples: path and detail; none where photos are not named."""
    counted = Counter(reject.reason for reject in findings.rejects)
    found = []
    for reason, count in counted.most_common():
        some = [(r.path, r.detail) for r in findings.rejects if r.reason == reason][:EXAMPLES]
        found.append((reason, count, some if findings.is_named else []))
    return found


def reproduce(findings: RunFacts) -> dict[str, str]:
    """Return the command and the configuration that make this run again; values that may be secret are left out."""
    config = findings.config.model_dump(mode="json")
    config["spark"]["conf"] = {k: "(left out)" if _is_secret(k) else v for k, v in config["spark"]["conf"].items()}
    whole = loading.to_yaml(config)
    return {
        "command": shlex.join(["fruitscale", "run", "--config", "run.yaml"]),
        "short": loading.to_yaml(loading.differing(config)),
        "whole": whole,
    }


def _is_secret(key: str) -> bool:
    return any(word in key.lower() for word in SECRET)
