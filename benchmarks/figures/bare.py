"""Featurize images/s of each engine, relative to two bare loops that only decode, resize and infer.

The bare loops run before and after each engine; an engine is compared with the mean of both.
"""

from __future__ import annotations

import multiprocessing
import shutil
import time
from collections import defaultdict
from pathlib import Path
from typing import Any

from benchmarks.figures import paired
from fruitscale.kernels import backbone
from fruitscale.model import exported_model

ENGINES = ("local", "spark", "dask")
PROCESSES = 2
WARM_UP = 20


def main() -> None:
    """Measure, and print one line per engine."""
    parser = paired.arguments(__doc__, images=10_000, rounds=5)
    parser.add_argument("--precision", choices=["f32", "bf16"], default="f32")
    parser.add_argument("--bare-images", type=int, default=2_400)
    parser.add_argument("--engines", nargs="+", choices=ENGINES, default=ENGINES)
    options = parser.parse_args()
    config = paired.settings(model__precision=options.precision)
    payload = exported_model.export(config.model).payload
    rows: list[dict[str, Any]] = []
    with paired.working_folder() as work:
        blobs = [path.read_bytes() for path in sorted(Path(options.input).rglob("*.jpg"))][: options.bare_images]
        source = str(paired.photos(options.input, options.images, work / "in"))
        bare = bare_images_per_second(payload, options.precision, config.model.input_size, blobs)
        for number in range(options.rounds):
            for engine in paired.shuffled(options.engines, number):
                record, seconds, peak = paired.run(
                    config.model_copy(update={"engine": engine}), source, str(work / "out"), work
                )
                shutil.rmtree(work / "out")
                after = bare_images_per_second(payload, options.precision, config.model.input_size, blobs)
                rows.append(
                    {
                        "round": number,
                        "engine": engine,
                        "bare": [bare, after],
                        "process_seconds": seconds,
                        "peak_mb": peak,
                    }
                    | {key: record[key] for key in ("images_per_second", "seconds", "worker_seconds", "peak_rss_mb")}
                )
                print(f"{number} {engine}: {record['images_per_second']:.1f} of {bare:.1f} and {after:.1f}", flush=True)
                bare = after
    pairs_by_engine = defaultdict(list)
    for row in rows:
        pairs_by_engine[row["engine"]].append((row["images_per_second"], sum(row["bare"]) / 2))
    figure = {"images": options.images, "precision": options.precision, "rows": rows}
    figure["share"] = {engine: paired.shares(pairs) for engine, pairs in pairs_by_engine.items()}
    paired.write_figure(f"bare-{options.precision}", figure, config)
    for engine, share in figure["share"].items():
        print(f"{engine}: {share['median']:.1%} of bare ({share['low']:.1%} to {share['high']:.1%})")


def bare_images_per_second(payload: bytes, precision: str, size: int, blobs: list[bytes]) -> float:
    """Return the total images/s of the bare loops, each over its share of the photos."""
    with multiprocessing.get_context("spawn").Pool(PROCESSES) as pool:
        shares = [(payload, precision, size, blobs[i::PROCESSES]) for i in range(PROCESSES)]
        return sum(pool.starmap(loop, shares, chunksize=1))


def loop(payload: bytes, precision: str, size: int, blobs: list[bytes]) -> float:
    """Return the images/s of one bare loop, written with the libraries alone."""
    import cv2
    import numpy as np
    import simplejpeg

    openvino = backbone.import_openvino()
    cv2.setNumThreads(1)
    _, files = backbone.unpack(payload)
    core = openvino.Core()
    model = core.read_model(files["model.xml"], files["model.bin"])
    model.reshape([1, size, size, 3])
    options = {
        "INFERENCE_NUM_THREADS": 1, "NUM_STREAMS": 1, "ENABLE_CPU_PINNING": False, "INFERENCE_PRECISION_HINT": precision,
    }  # fmt: skip
    request = core.compile_model(model, "CPU", options).create_infer_request()

    def featurize(blob: bytes) -> Any:
        pixels = cv2.resize(simplejpeg.decode_jpeg(blob, "RGB"), (size, size))
        return request.infer({0: pixels[np.newaxis]}, share_inputs=True, share_outputs=True)[0].copy()

    for blob in blobs[:WARM_UP]:
        featurize(blob)
    start = time.perf_counter()
    for blob in blobs:
        featurize(blob)
    return len(blobs) / (time.perf_counter() - start)


if __name__ == "__main__":
    main()
