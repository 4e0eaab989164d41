"""Write the network for the peers: model.keras, and the OpenVINO model that fruitscale exports.

`python -m benchmarks.peers.model_files FOLDER [KEY=VALUE…]`, in fruitscale's environment.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path

from benchmarks.peers.workspace import CONFIG
from fruitscale.config.loading import load
from fruitscale.kernels import backbone
from fruitscale.model import exported_model, keras_process


def write(folder: Path, settings: Sequence[str]) -> None:
    """Write the three files."""
    model = load(str(CONFIG), sets=settings).config.model
    os.environ.update(keras_process.ENVIRONMENT)
    _, files = backbone.unpack(exported_model.export(model).payload)
    for name, content in files.items():
        (folder / name).write_bytes(content)
    from fruitscale.model import network

    network.features(model)[0].save(folder / "model.keras")


if __name__ == "__main__":
    write(Path(sys.argv[1]), sys.argv[2:])
