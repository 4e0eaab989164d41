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
    """Write the pages to `out`. Raise UserWarning for an unresolved name or type."""
    for name in fruitscale.__all__:
        setattr(fruitscale, name, getattr(fruitscale, name))  # pdoc lists attributes that exist already; these are lazy
    warnings.simplefilter("error", UserWarning)
    pdoc.render.configure(docformat="markdown", footer_text=f"fruitscale {fruitscale.__version__}", search=True)
    pdoc.pdoc(*MODULES, output_directory=out)


if __name__ == "__main__":
    build(Path(sys.argv[1]))
