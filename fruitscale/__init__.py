"""Fruit photos to image features to principal components, through Spark or Dask."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fruitscale.config.version import __version__

__all__ = [
    "Classification",
    "Config",
    "Drift",
    "EraseResult",
    "Evaluation",
    "ExportResult",
    "FruitscaleError",
    "Inspection",
    "InspectionLimits",
    "PhotoCopies",
    "RunRecord",
    "SimilarPhotos",
    "__version__",
    "apply",
    "classify",
    "copies_of",
    "drift",
    "erase",
    "evaluate",
    "export",
    "inspect",
    "read",
    "record",
    "run",
    "similar",
]

if TYPE_CHECKING:
    from fruitscale.api import (
        Classification,
        Drift,
        EraseResult,
        Evaluation,
        ExportResult,
        Inspection,
        InspectionLimits,
        PhotoCopies,
        SimilarPhotos,
        apply,
        classify,
        copies_of,
        drift,
        erase,
        evaluate,
        export,
        inspect,
        read,
        record,
        run,
        similar,
    )
    from fruitscale.config.schema import Config
    from fruitscale.errors import FruitscaleError
    from fruitscale.runs.record import RunRecord

_HOMES = {
    "Config": "fruitscale.config.schema",
    "FruitscaleError": "fruitscale.errors",
    "RunRecord": "fruitscale.runs.record",
}


def __dir__() -> list[str]:
    return sorted(__all__)


def __getattr__(name: str) -> object:
    """Import a public name when it is first used, so that `import fruitscale` costs nothing."""
    if name not in __all__:
        raise AttributeError(f"module 'fruitscale' has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(_HOMES.get(name, "fruitscale.api")), name)
