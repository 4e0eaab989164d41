"""Imports what a worker of stage 1 needs for a network, in addition to warm.py."""

from __future__ import annotations

from fruitscale.kernels import backbone

backbone.import_openvino()
