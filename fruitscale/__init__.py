"""Fruit photos to image features to principal components, through Spark or Dask."""

from __future__ import annotations

from typing import TYPE_CHECKING

__version__ = "0.1.0"
__all__ = ["Config", "Erased", "FruitscaleError", "RunRecord", "__version__", "apply", "erase", "export", "read", "run"]

if TYPE_CHECKING:
    from fruitscale.api import Erased, apply, erase, export, read, run
    from fruitscale.config import Config
    from fruitscale.errors import FruitscaleError
    from fruitscale.record import RunRecord

_HOMES = {
    "Config": "fruitscale.config",
    "Erased": "fruitscale.api",
    "FruitscaleError": "fruitscale.errors",
    "RunRecord": "fruitscale.record",
    "apply": "fruitscale.api",
    "erase": "fruitscale.api",
    "export": "fruitscale.api",
    "read": "fruitscale.api",
    "run": "fruitscale.api",
}


def __getattr__(name: str) -> object:
    """Import a public name when it is first used, so that `import fruitscale` costs nothing."""
    if name not in _HOMES:
        raise AttributeError(f"module 'fruitscale' has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(_HOMES[name]), name)
