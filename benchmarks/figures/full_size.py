"""One run of as many photos as Fruits-360 has, on Spark, and one of a tenth: seconds, seconds a photo, memory."""

from __future__ import annotations

import shutil
from typing import Any

from benchmarks.figures import paired


def main() -> None:
    """Measure, and print one line a run."""
    parser = paired.arguments(__doc__, images=90_380, rounds=1)
    parser.add_argument("--engine", default="spark")
    given = parser.parse_args()
    config = paired.settings(engine=given.engine)
    rows: list[dict[str, Any]] = []
    with paired.workplace() as work:
        for images in (given.images // 10, given.images):
            source, output = paired.photos(given.input, images, work / "in"), work / "out"
            record, seconds, peak = paired.run(config, str(source), str(output), work)
            rows.append({"images": images, "process_seconds": seconds, "peak_mb": peak} | record)
            rows[-1].pop("environment")
            shutil.rmtree(source)
            shutil.rmtree(output)
            memory, stage = record["peak_rss_mb"], record["seconds"]["featurize"]
            print(
                f"{images:,} images: {seconds:.1f} s, featurize {stage:.1f} s, {stage / images * 1000:.3f} ms an image, "
                f"driver {memory['driver']:.0f} MB, worker {memory['worker']:.0f} MB, all processes {peak:.0f} MB",
                flush=True,
            )
    paired.keep(f"full-size-{given.engine}", {"rows": rows}, config)
    small, large = rows
    print(f"worker's memory: {large['peak_rss_mb']['worker'] / small['peak_rss_mb']['worker']:.3f} of the small run's")
    per_image = [row["seconds"]["featurize"] / row["images"] for row in rows]
    print(f"time an image: {per_image[1] / per_image[0]:.3f} of the small run's")


if __name__ == "__main__":
    main()
