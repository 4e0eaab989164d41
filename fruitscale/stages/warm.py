"""Imports what a worker of stage 1 needs. Workers do it while the driver lists photos and exports the model."""

from __future__ import annotations

import pyarrow.parquet  # noqa: F401

import fruitscale.stages  # noqa: F401
from fruitscale.kernels import images

images.import_libraries()
