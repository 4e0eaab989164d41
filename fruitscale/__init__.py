"""Fruit photos to image features to principal components, through Spark or Dask."""

from __future__ import annotations

from typing import TYPE_CHECKING

__version__ = "0.1.0"
__all__ = [
    "Config",
    "Drift",
    "Erased",
    "Evaluation",
    "FruitscaleError",
    "RunRecord",
    "Written",
    "__version__",
    "apply",
    "drift",
    "erase",
    "evaluate",
    "export",
    "read",
    "run",
]

if TYPE_CHECKING:
    from fruitscale.api import (
        Drift,
        Erased,
        Evaluation,
        Written,
        apply,
        drift,
        erase,
        evaluate,
        export,
        read,
        run,
    )
    from fruitscale.config import Config
    from fruitscale.errors import FruitscaleError
    from fruitscale.record import RunRecord

_HOMES = {"Config": "fruitscale.config", "FruitscaleError": "fruitscale.errors", "RunRecord": "fruitscale.record"}


def __getattr__(name: str) -> object:
    """Import a public name when it is first used, so that `import fruitscale` costs nothing."""
    if name not in __all__:
        raise AttributeError(f"module 'fruitscale' has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(_HOMES.get(name, "fruitscale.api")), name)
