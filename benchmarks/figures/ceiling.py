"""The photos per second that the cores could infer if the network ran as fast as they multiply large matrices.

Compared, in turn, with two bare loops that decode, resize and infer.
"""

from __future__ import annotations

import math
import multiprocessing
import time
from pathlib import Path
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits

from benchmarks.figures import paired
from benchmarks.figures.bare import PROCESSES, bare_images_per_second
from fruitscale.kernels import backbone
from fruitscale.model import exported_model

SIDE = 1024
SECONDS = 8.0


def main() -> None:
    """Measure, and print the ceiling and the fraction of it that the bare loops reach."""
    options = paired.arguments(__doc__, images=1_200, rounds=5).parse_args()
    config = paired.settings()
    size = config.model.input_size
    payload = exported_model.export(config.model).payload
    blobs = [path.read_bytes() for path in sorted(Path(options.input).rglob("*.jpg"))][: options.images]
    per_photo = operations(payload, size)
    rows: list[dict[str, float]] = []
    for number in range(options.rounds):
        ceiling = operations_per_second() / per_photo
        bare = bare_images_per_second(payload, "f32", size, blobs)
        rows.append({"ceiling": ceiling, "bare": bare})
        print(f"{number}: {bare:.1f} of {ceiling:.1f} images/s", flush=True)
    share = paired.shares([(row["bare"], row["ceiling"]) for row in rows])
    paired.write_figure("ceiling", {"operations_per_photo": per_photo, "share": share, "rows": rows}, config)
    print(
        f"{per_photo / 1e9:.3f} GFLOP per photo; at a matrix product's speed "
        f"{paired.median([row['ceiling'] for row in rows]):.0f} images/s, of which the bare loops reach {share['median']:.1%}"
    )


def operations(payload: bytes, size: int) -> int:
    """Return the number of multiplications and additions in the network's convolutions, per photo."""
    _, files = backbone.unpack(payload)
    model = backbone.import_openvino().Core().read_model(files["model.xml"], files["model.bin"])
    model.reshape([1, size, size, 3])
    return sum(2 * products(operation) for operation in model.get_ordered_ops())


def products(operation: Any) -> int:
    """Return a convolution's multiplications: its outputs × the weights per output; 0 for other operations."""
    before_weights = {"Convolution": 1, "GroupConvolution": 2}.get(operation.get_type_name())
    if before_weights is None:
        return 0
    return int(math.prod(operation.get_output_shape(0)) * math.prod(operation.get_input_shape(1)[before_weights:]))


def operations_per_second() -> float:
    """Return the multiplications and additions per second of PROCESSES processes together."""
    with multiprocessing.get_context("spawn").Pool(PROCESSES) as pool:
        return sum(pool.map(multiply, range(PROCESSES), chunksize=1))


def multiply(seed: int) -> float:
    """Return the multiplications and additions per second of one thread that multiplies float32 matrices."""
    left, right = np.random.default_rng(seed).random((2, SIDE, SIDE), np.float32)
    out = np.empty_like(left)
    with threadpool_limits(1):
        np.dot(left, right, out)
        start, count = time.perf_counter(), 0
        while time.perf_counter() - start < SECONDS:
            np.dot(left, right, out)
            count += 1
        return 2 * SIDE**3 * count / (time.perf_counter() - start)


if __name__ == "__main__":
    main()
