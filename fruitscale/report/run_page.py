"""Builds the page of a run from its facts: words, tables and figures."""

from __future__ import annotations

import shlex
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from fruitscale.config import loading
from fruitscale.display.events import STAGES, TITLES
from fruitscale.errors import FruitscaleError
from fruitscale.report import charts, html_page
from fruitscale.report.label_pairs import NEIGHBOURS
from fruitscale.report.palette import style_of
from fruitscale.report.run_facts import RunFacts, shown
from fruitscale.report.sampling import evenly
from fruitscale.report.thumbnails import thumbnails
from fruitscale.runs.record import RunRecord, StageSeconds
from fruitscale.storage.listing_account import in_words
from fruitscale.storage.residency import StorageAccess

if TYPE_CHECKING:
    from bokeh.models import Plot

MOST_THUMBNAILS = 1000
MOST_BYTES = 3_000_000
"""Of all thumbnails together."""
MOST_WITH_NAMES = 4_000_000
"""Bytes of thumbnails, paths and labels together; with BokehJS and the points, a page stays below 6 MB."""
LONGEST_NAME = 200
"""Longest path or label shown, in bytes."""
EXAMPLES = 5
SECRET = ("secret", "password", "token", "key")


@dataclass(frozen=True)
class ThumbnailSheet:
    """Thumbnails in base64, the index of each by row, and why some are missing."""

    images: list[str]
    number: Mapping[int, int]
    problem: str = ""


@dataclass(frozen=True)
class StageBar:
    """A stage's duration in seconds, with its begin and width in percent of the whole run."""

    name: str
    seconds: float
    begin: float
    width: float


def make_run_page(facts: RunFacts, access: StorageAccess) -> bytes:
    """Return the page of a run. `access` is for reading the photos shown as thumbnails."""
    html_page.check_installed()
    pictures = _pictures(facts, access)
    context = _template_context(facts, pictures)
    plots: dict[str, Plot] = {"scatter": charts.scatter(facts), "variance": charts.variance(facts)}
    return html_page.render("run.html", context, _data(facts, pictures), plots)


def _template_context(facts: RunFacts, pictures: ThumbnailSheet) -> dict[str, Any]:
    record = facts.record
    return {
        "title": f"{record.images.featurized:,} photos, {record.pca.components} components",
        "run": record,
        "facts": facts,
        "pictures": pictures,
        "stages": stages(record),
        "marks": _marks(facts),
        "rejects": rejects(facts),
        "not_taken": in_words(record.input.not_taken),
        "reproduce": reproduce(facts),
        "label": lambda code: shown(facts.labels[code]),
        "label_of": facts.label,
        "medoid": lambda code: int(facts.sample[facts.closeness.medoids[code]]) if facts.closeness else None,
        "neighbours": NEIGHBOURS,
        "share_of": lambda component: float(facts.fitted.ratio[component]),
    }


def _data(facts: RunFacts, pictures: ThumbnailSheet) -> dict[str, Any]:
    styles = [style_of(number) for number in range(len(facts.plotted_labels))]
    return {
        "labels": _labels(facts),
        "counts": np.bincount(facts.codes, minlength=len(facts.labels))[facts.plotted_labels].tolist(),
        "looks": [[style.tone, style.shape, style.hollow] for style in styles],
        "points": {
            "label": facts.style_numbers.tolist(),
            "path": _paths(facts),
            "thumb": [pictures.number.get(row, -1) for row in facts.sample.tolist()],
        },
        "thumbs": pictures.images,
        "shares": facts.fitted.ratio[: facts.leading.shape[1]].tolist(),
    }


def _labels(facts: RunFacts) -> list[str]:
    return [shortened(shown(facts.labels[code])) for code in facts.plotted_labels.tolist()]


def _paths(facts: RunFacts) -> list[str] | None:
    """Return the path of each point, or None if photos may not be named."""
    return [shortened(path) for path in facts.sampled_paths] if facts.is_named else None


def shortened(name: str) -> str:
    """Return a name, without its middle if it is very long."""
    content, half = name.encode(), LONGEST_NAME // 2
    if len(content) <= LONGEST_NAME:
        return name
    return f"{content[:half].decode(errors='ignore')}…{content[-half:].decode(errors='ignore')}"


def _pictures(facts: RunFacts, access: StorageAccess) -> ThumbnailSheet:
    """Choose the photos to show and make their thumbnails: first those in tables, then points evenly by label."""
    if not facts.is_named:
        return ThumbnailSheet([], {})
    first = {int(row) for end in facts.ends for row in (*end.low, *end.high)}
    if facts.closeness:
        close = facts.closeness
        pairs = (*(close.confused or close.others), *close.nearest)
        medoids = {facts.closeness.medoids[code] for pair in pairs for code in (pair.label, pair.other)}
        first |= {int(facts.sample[number]) for number in medoids}
    rest = facts.sample[evenly(facts.codes[facts.sample], MOST_THUMBNAILS - len(first))]
    rows = sorted(first | set(rest.tolist()))[:MOST_THUMBNAILS]
    photos = [facts.photo(row) for row in rows]
    try:
        made = thumbnails(facts.record.input.uri, photos, facts.config.images, access, budget(facts))
    except FruitscaleError as error:
        return ThumbnailSheet([], {}, error.message)
    return _numbered(rows, made, facts.record.input.uri)


def budget(facts: RunFacts) -> int:
    """Return the byte budget of the thumbnails: the longer the names, the smaller."""
    names = sum(len(name.encode()) for name in (*_labels(facts), *(_paths(facts) or ())))
    return min(MOST_BYTES, MOST_WITH_NAMES - names)


def _numbered(rows: list[int], made: list[str], uri: str) -> ThumbnailSheet:
    read = [(row, image) for row, image in zip(rows, made, strict=True) if image]
    missing = len(rows) - len(read)
    problem = f"{missing} of {len(rows)} photos are no longer in {uri}, or have changed." if missing else ""
    return ThumbnailSheet([image for _, image in read], {row: i for i, (row, _) in enumerate(read)}, problem)


def stages(record: RunRecord) -> list[StageBar]:
    """Return the stages in order, and last the time outside all stages."""
    total, begin, found = record.seconds.total or 1.0, 0.0, []
    for stage in STAGES:
        if stage not in StageSeconds.model_fields:
            continue
        seconds = float(getattr(record.seconds, stage))
        found.append(StageBar(TITLES[stage], seconds, 100 * begin / total, 100 * seconds / total))
        begin += seconds
    other = max(total - begin, 0.0)
    return [*found, StageBar("Everything else", other, 100 * begin / total, 100 * other / total)]


def _marks(facts: RunFacts) -> list[tuple[float, int]]:
    kept = np.cumsum(facts.fitted.ratio)
    return [(mark, charts.components_for(kept, mark)) for mark in charts.MARKS]


def rejects(facts: RunFacts) -> list[tuple[str, int, list[tuple[str, str]]]]:
    """Return each reason, its count, and a few examples (path, detail) if photos may be named."""
    counted = Counter(reject.reason for reject in facts.rejects)
    found = []
    for reason, count in counted.most_common():
        some = [(r.path, r.detail) for r in facts.rejects if r.reason == reason][:EXAMPLES]
        found.append((reason, count, some if facts.is_named else []))
    return found


def reproduce(facts: RunFacts) -> dict[str, str]:
    """Return the command and the configuration that repeat this run; values that may be secret are left out."""
    config = facts.config.model_dump(mode="json")
    config["spark"]["conf"] = {k: "(left out)" if _is_secret(k) else v for k, v in config["spark"]["conf"].items()}
    whole = loading.to_yaml(config)
    return {
        "command": shlex.join(["fruitscale", "run", "--config", "run.yaml"]),
        "short": loading.to_yaml(loading.differing(config)),
        "whole": whole,
    }


def _is_secret(key: str) -> bool:
    return any(word in key.lower() for word in SECRET)
