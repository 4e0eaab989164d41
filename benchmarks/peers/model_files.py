"""The network on disk for the peers, in a process of its own: model.keras, and fruitscale's OpenVINO bytes.

`python -m benchmarks.peers.model_files FOLDER`, in fruitscale's environment.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from fruitscale.config import Model
from fruitscale.kernels import backbone
from fruitscale.model import child, export

MODEL = Model(architecture="efficientnet_lite0", weights="packaged")


def write(folder: Path) -> None:
    """Write the three files."""
    os.environ.update(child.ENVIRONMENT)
    _, files = backbone.unpack(export.export(MODEL).payload)
    for name, content in files.items():
        (folder / name).write_bytes(content)
    from fruitscale.model import network

    network.features(MODEL)[0].save(folder / "model.keras")


if __name__ == "__main__":
    write(Path(sys.argv[1]))
