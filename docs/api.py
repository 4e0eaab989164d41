"""Builds the pages of the public Python API from its docstrings: `python docs/api.py OUT`. A warning is an error."""

from __future__ import annotations

import sys
import warnings
from pathlib import Path

import pdoc

import fruitscale

MODULES = (
    "fruitscale",
    "fruitscale.config.schema",
    "fruitscale.config.cluster_section",
    "fruitscale.errors",
    "fruitscale.display.events",
    "fruitscale.frames.dask",
    "fruitscale.frames.spark",
    "fruitscale.runs.record",
)


def build(out: Path) -> None:
    """Write the pages. Raises UserWarning for a name that doesn't resolve, or a type that isn't there."""
    for name in fruitscale.__all__:
        setattr(fruitscale, name, getattr(fruitscale, name))  # pdoc looks at what a module has, and asks for nothing
    warnings.simplefilter("error", UserWarning)
    pdoc.render.configure(docformat="markdown", footer_text=f"fruitscale {fruitscale.__version__}", search=True)
    pdoc.pdoc(*MODULES, output_directory=out)


if __name__ == "__main__":
    build(Path(sys.argv[1]))
