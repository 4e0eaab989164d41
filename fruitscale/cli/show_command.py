"""fruitscale show: the record of a run as a table."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated

import typer

from fruitscale.cli.json_output import print_text
from fruitscale.cli.options import ConfigFile, Json, Sets, load_config

if TYPE_CHECKING:
    from rich.console import RenderableType

    from fruitscale.runs.record import RunRecord


def show(
    run: Annotated[str, typer.Argument(metavar="RUN", help="The run folder (its --output).")],
    config: ConfigFile = None,
    sets: Sets = None,
    json: Json = False,
) -> None:
    """Show the record of a complete run."""
    from fruitscale import api
    from fruitscale.cli.screen import out, pairs, print_waits

    with print_waits():
        record = api.record(run, load_config(config, sets).config.storage)
    if json:
        print_text(record.to_json())
        return
    out().print(summary(record))
    out().print(pairs("Environment", _environment(record)))


def summary(record: RunRecord, *, page: bool = False) -> RenderableType:
    """Return the tables of a run: images, model, PCA, times and files, including the page if there is one."""
    from rich.console import Group
    from rich.text import Text

    from fruitscale.cli.screen import pairs

    return Group(
        pairs(f"Run {record.id}", [*_what(record), *_result(record)]),
        Text(),
        pairs("Seconds", _times(record)),
        Text(),
        pairs("Files", _files(record, page=page)),
    )


def short_summary(record: RunRecord, *, page: bool) -> RenderableType:
    """Return what is said of a run that was complete already."""
    from fruitscale.cli.screen import pairs

    rows = [*_what(record)[:1], _result(record)[0], *(row for row in _files(record, page=page) if row[0] == "page")]
    return pairs(f"{record.output.uri} is complete: verified, nothing to do", rows)


def _what(record: RunRecord) -> list[tuple[str, str]]:
    from fruitscale.cli.screen import counted, number
    from fruitscale.kernels.backbone import Calibration
    from fruitscale.model.quantization import drift_words

    images, model, engine = record.images, record.model, record.engine
    resumed = f", {number(images.resumed)} of them kept from an earlier attempt" if images.resumed else ""
    few = record.reject_limit is not None and record.reject_limit.above_fraction and bool(images.rejected)
    above = " (more than images.max_reject_fraction, but within images.allowed_rejects)" if few else ""
    rejected = f"{number(images.rejected)}: see rejects.parquet{above}" if images.rejected else "0"
    warned = ", ".join(f"{number(count)}: {fault}" for fault, count in record.warnings.items())
    trained = "" if model.pretrained else f" ({'no' if model.weights == 'none' else 'random'} weights: not trained)"
    where = f" on {engine.master}" if engine.master else ""
    return [
        ("images", f"{number(images.featurized)} with {counted(record.input.labels, 'label')}{resumed}"),
        ("rejects", rejected),
        *([("read with a warning", warned)] if warned else []),
        *listing_rows(record.input.not_taken, record.input.archived, record.input.shared_labels),
        *([("erased", f"{counted(record.erased, 'photo')} since the run")] if record.erased else []),
        ("model", f"{model.architecture}, {model.weights}{trained}, {model.runtime} {model.precision}"),
        *([("int8 and f32", drift_words(Calibration(**dict(model.calibration))))] if model.calibration else []),
        *([("CPU kernels", _kinds(record))] if record.kept_cpu_kinds or len(record.cpu_kinds) > 1 else []),
        (
            "engine",
            f"{engine.name} {engine.version}{where}, {engine.cores} tasks at once"
            if engine.cores
            else f"{engine.name}, {engine.version}",
        ),
    ]


def _kinds(record: RunRecord) -> str:
    from fruitscale.cli.screen import number

    computed = [f"{kind} ({number(count)} photos)" for kind, count in record.cpu_kinds.items()]
    return ", ".join([*computed, *(f"{kind} (kept)" for kind in record.kept_cpu_kinds)])


def listing_rows(
    not_taken: Mapping[str, int], archived: Mapping[str, int], shared_labels: int
) -> list[tuple[str, str]]:
    """Return the rows on what a listing left out and noticed; none if there is nothing to say."""
    from fruitscale.storage.listing_account import in_words

    rows = [("not taken", in_words(not_taken))] if not_taken else []
    if archived:
        rows.append(("archived", f"{in_words(archived)}: rejected unless they are restored"))
    if shared_labels:
        rows.append(("labels", f"{shared_labels} of several folders each; input.label: path keeps the folders apart"))
    return rows


def _result(record: RunRecord) -> list[tuple[str, str]]:
    from fruitscale.display.formatting import cost

    pca, speed = record.pca, record.images_per_second
    per_core = record.images_per_second_per_core
    kept = f"{pca.components} of {record.model.features} keep {pca.retained_variance:.2%} of the variance"
    if pca.applied is not None:
        kept = f"{pca.components}, from {pca.applied.uri} (run {pca.applied.id})"
    fast = (
        f"no photo was featurized{' again' if record.images.featurized else ''}"
        if speed is None
        else f"{speed:.0f} images/s, {per_core:.0f} per core"
    )
    return [("components", kept), ("speed", fast), *([("cost", cost(record.cost))] if record.cost else [])]


def _times(record: RunRecord) -> list[tuple[str, str]]:
    from fruitscale.cli.screen import seconds

    return [(stage, seconds(value)) for stage, value in record.seconds.model_dump().items()]


def _files(record: RunRecord, *, page: bool) -> list[tuple[str, str]]:
    folder = record.output.uri.rstrip("/")
    names = {
        "features": "features/",
        "components": "reduced/",
        "PCA": "pca/pca.npz",
        "rejects": "rejects.parquet",
        "record": "run.json",
        **({"page": "report.html"} if page else {}),
    }
    return [(what, f"{folder}/{name}") for what, name in names.items()]


def _environment(record: RunRecord) -> list[tuple[str, str]]:
    environment = record.environment
    packages = ", ".join(f"{name} {version}" for name, version in environment.packages.items())
    peak = record.peak_rss_mb
    return [
        ("python", environment.python),
        ("platform", environment.platform),
        ("cpu", environment.cpu),
        ("packages", packages),
        ("memory", f"driver {peak.driver:.0f} MB, worker {peak.worker:.0f} MB at most"),
        ("model sha256", record.model.sha256),
    ]
