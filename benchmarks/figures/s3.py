"""Featurize images/s from S3 with 30 ms more a request, as a share of the same run on disk; and what reading costs.

SeaweedFS and a relay that delays what it passes on run on the same cores, so the share is a lower bound. What they take
is measured; `share_of_what_was_left` is the share of what the cores would do on disk with that taken away.
"""

from __future__ import annotations

import os
import time
from collections import defaultdict
from typing import Any

import psutil

from benchmarks.figures import paired, relay
from fruitscale.config.schema import Config
from fruitscale.storage.listing import Photo
from fruitscale.storage.read_ahead import ReadAhead
from tests.s3 import servers
from tests.s3.bucket import PLACE, Bucket

ENGINES = ("local", "spark", "dask")
SLOTS = 2
DELAY_SECONDS = 0.03
BUCKET, PHOTOS = "figures", "in"
CREDENTIALS = {"AWS_ACCESS_KEY_ID": servers.KEY_ID, "AWS_SECRET_ACCESS_KEY": servers.SECRET}


def main() -> None:
    """Measure, and print one line an engine and one for reading."""
    parser = paired.arguments(__doc__, images=2_400, rounds=5)
    parser.add_argument("--engines", nargs="+", choices=ENGINES, default=ENGINES)
    given = parser.parse_args()
    os.environ["GOMAXPROCS"] = "1"  # SeaweedFS's: with two, its threads look for work on the cores that are measured
    rows: list[dict[str, Any]] = []
    with (
        paired.workplace() as work,
        servers.seaweedfs(work) as endpoint,
        relay.delayed(endpoint, DELAY_SECONDS) as far,
    ):
        source = paired.photos(given.input, given.images, work / "in")
        bucket = Bucket(endpoint, BUCKET, PHOTOS, servers.client(endpoint))
        bucket.client.create_bucket(Bucket=bucket.name)
        bucket.put_folder(source)
        first = paired.settings(engine="local")  # exports the model, so that no pair has to
        paired.run(first, str(source), str(work / "first"), work)
        for number in range(given.rounds):
            for engine in paired.shuffled(given.engines, number):
                config = paired.settings(engine=engine)
                here, *_ = paired.run(config, str(source), str(work / f"{engine}-{number}"), work)
                taken = servers_cpu_seconds()
                there, *_ = paired.run(
                    at(config, far), bucket.uri, f"s3://{BUCKET}/{engine}-{number}", work, **CREDENTIALS
                )
                taken = servers_cpu_seconds() - taken
                rows.append(
                    {
                        "round": number,
                        "engine": engine,
                        "disk": part_of(here),
                        "s3": part_of(there),
                        "servers_cpu_seconds": taken,
                    }
                )
                print(
                    f"{number} {engine}: {there['images_per_second']:.1f} of {here['images_per_second']:.1f}",
                    flush=True,
                )
        cost = [reading_ms(bucket) for _ in range(given.rounds)]
    found, left = defaultdict(list), defaultdict(list)
    for row in rows:
        there, here = row["s3"]["images_per_second"], row["disk"]["images_per_second"]
        found[row["engine"]].append((there, here))
        free = 1 - row["servers_cpu_seconds"] / (SLOTS * row["s3"]["seconds"]["featurize"])
        left[row["engine"]].append((there, here * free))
    share, share_left = ({name: paired.shares(pairs) for name, pairs in each.items()} for each in (found, left))
    figure = {
        "images": given.images,
        "delay_seconds": DELAY_SECONDS,
        "reading_cpu_ms": cost,
        "share": share,
        "share_of_what_was_left": share_left,
        "rows": rows,
    }
    paired.keep("s3", figure, paired.settings())
    for engine, ratio in share.items():
        without = share_left[engine]["median"]
        print(
            f"{engine}: {ratio['median']:.1%} of the disk's ({ratio['low']:.1%} to {ratio['high']:.1%}); "
            f"{without:.1%} of what the servers left"
        )
    print(f"reading: {paired.median(cost):.3f} ms of CPU an image")


def servers_cpu_seconds() -> float:
    """Return what the store and the relay have taken so far: they are the only children between two runs."""
    times = [process.cpu_times() for process in psutil.Process().children(recursive=True)]
    return float(sum(each.user + each.system for each in times))


def part_of(record: dict[str, Any]) -> dict[str, Any]:
    """Return what of a record is kept."""
    return {key: record[key] for key in ("images_per_second", "seconds", "worker_seconds", "retries")}


def at(config: Config, endpoint: str) -> Config:
    """Return a configuration for a store of this machine."""
    place = {"region": servers.REGION, "endpoint": endpoint, "residency": "declared", "place": PLACE}
    return config.model_copy(update={"storage": config.storage.model_copy(update=place)})


def reading_ms(bucket: Bucket) -> float:
    """Return the milliseconds of CPU that this process needs to read one photo, of all that are there."""
    os.environ.update(CREDENTIALS)
    store = bucket.store()
    photos = [Photo(entry.name, "", entry.size, entry.etag) for entry in store.entries()]
    start = time.process_time()
    n_bytes = sum(len(content) for _, content in ReadAhead(lambda p: store.read(p.path, p.version), photos, 32))
    assert n_bytes == sum(photo.size for photo in photos)
    return (time.process_time() - start) / len(photos) * 1000


if __name__ == "__main__":
    main()
