"""One run of as many photos as Fruits-360 has, on Spark, between two runs of a tenth: time per photo and memory."""

from __future__ import annotations

import shutil
import statistics
from typing import Any

from benchmarks.figures import paired


def main() -> None:
    """Measure, and print one line per run."""
    parser = paired.arguments(__doc__, images=90_380, rounds=1)
    parser.add_argument("--engine", default="spark")
    options = parser.parse_args()
    config = paired.settings(engine=options.engine)
    rows: list[dict[str, Any]] = []
    with paired.working_folder() as work:
        for images in (options.images // 10, options.images, options.images // 10):
            source, output = paired.photos(options.input, images, work / "in"), work / "out"
            record, seconds, peak = paired.run(config, str(source), str(output), work)
            record.pop("environment")
            rows.append(record | {"process_seconds": seconds, "all_processes_peak_mb": peak})
            shutil.rmtree(source)
            shutil.rmtree(output)
            memory = record["peak_rss_mb"]
            print(
                f"{images:,} images: {seconds:.1f} s, {image_ms(record):.3f} ms per image in featurize, "
                f"driver {memory['driver']:.0f} MB, worker {memory['worker']:.0f} MB, all processes {peak:.0f} MB",
                flush=True,
            )
    paired.write_figure(f"full-size-{options.engine}", {"rows": rows}, config)
    before, large, after = rows
    small = statistics.mean(row["peak_rss_mb"]["worker"] for row in (before, after))
    print(f"worker's memory: {large['peak_rss_mb']['worker'] / small:.3f} of the small runs'")
    small = statistics.mean(map(image_ms, (before, after)))
    print(
        f"time per image: {image_ms(large) / small:.3f} of the small runs', which differ by {spread(before, after):.1%}"
    )


def image_ms(record: dict[str, Any]) -> float:
    """Return the featurize stage's milliseconds per image."""
    return 1000 * float(record["seconds"]["featurize"]) / float(record["input"]["images"])


def spread(before: dict[str, Any], after: dict[str, Any]) -> float:
    """Return the relative difference in time per image between two equal runs: the noise."""
    return abs(image_ms(before) / image_ms(after) - 1)


if __name__ == "__main__":
    main()
