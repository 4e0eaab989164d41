"""Featurize images/s from S3 with 30 ms of added latency per request, relative to disk; and the CPU cost of reading.

SeaweedFS and the delaying relay run on the same cores, so the ratio is a lower bound. Their CPU time is measured;
`share_of_what_was_left` compares with the disk's images/s scaled to the CPU time that the servers left.
"""

from __future__ import annotations

import os
import time
from collections import defaultdict
from pathlib import Path
from typing import Any, TypeAlias

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
    """Measure, and print one line per engine and one for reading."""
    parser = paired.arguments(__doc__, images=2_400, rounds=5)
    parser.add_argument("--engines", nargs="+", choices=ENGINES, default=ENGINES)
    options = parser.parse_args()
    os.environ["GOMAXPROCS"] = "1"  # for SeaweedFS: with two, its idle threads spin on the measured cores
    rows: list[dict[str, Any]] = []
    with (
        paired.working_folder() as work,
        servers.seaweedfs(work) as endpoint,
        relay.delayed(endpoint, DELAY_SECONDS) as delayed_endpoint,
    ):
        source = paired.photos(options.input, options.images, work / "in")
        bucket = Bucket(endpoint, BUCKET, PHOTOS, servers.client(endpoint))
        bucket.client.create_bucket(Bucket=bucket.name)
        bucket.put_folder(source)
        first = paired.settings(engine="local")  # exports the model before the pairs
        paired.run(first, str(source), str(work / "first"), work)
        for number in range(options.rounds):
            for engine in paired.shuffled(options.engines, number):
                row: dict[str, Any] = {"round": number, "engine": engine} | pair(
                    engine, number, str(source), bucket, delayed_endpoint, work
                )
                rows.append(row)
                s3_rate, disk_rate = (row[store]["images_per_second"] for store in ("s3", "disk"))
                print(f"{number} {engine}: {s3_rate:.1f} of {disk_rate:.1f}", flush=True)
        cost = [reading_ms(bucket) for _ in range(options.rounds)]
    share, share_of_rest = ratios(rows)
    figure = {
        "images": options.images,
        "delay_seconds": DELAY_SECONDS,
        "reading_cpu_ms": cost,
        "share": share,
        "share_of_what_was_left": share_of_rest,
        "rows": rows,
    }
    paired.write_figure("s3", figure, paired.settings())
    for engine, ratio in share.items():
        print(
            f"{engine}: {ratio['median']:.1%} of the disk's ({ratio['low']:.1%} to {ratio['high']:.1%}); "
            f"{share_of_rest[engine]['median']:.1%} of what the servers left"
        )
    print(f"reading: {paired.median(cost):.3f} ms of CPU per image")


def pair(engine: str, number: int, photos: str, bucket: Bucket, endpoint: str, work: Path) -> dict[str, Any]:
    """Run once from disk and once from S3; return the kept fields of both, and the servers' CPU seconds."""
    config = paired.settings(engine=engine)
    disk, *_ = paired.run(config, photos, str(work / f"{engine}-{number}"), work)
    cpu_before = servers_cpu_seconds()
    output = f"s3://{BUCKET}/{engine}-{number}"
    s3, *_ = paired.run(with_endpoint(config, endpoint), bucket.uri, output, work, **CREDENTIALS)
    servers_cpu = servers_cpu_seconds() - cpu_before
    return {"disk": kept_fields(disk), "s3": kept_fields(s3), "servers_cpu_seconds": servers_cpu}


Ratios: TypeAlias = dict[str, dict[str, float | int]]


def ratios(rows: list[dict[str, Any]]) -> tuple[Ratios, Ratios]:
    """Return each engine's S3 rate relative to disk, and relative to disk scaled to the CPU that the servers left."""
    of_disk, of_rest = defaultdict(list), defaultdict(list)
    for row in rows:
        s3_rate, disk_rate = row["s3"]["images_per_second"], row["disk"]["images_per_second"]
        of_disk[row["engine"]].append((s3_rate, disk_rate))
        free = 1 - row["servers_cpu_seconds"] / (SLOTS * row["s3"]["seconds"]["featurize"])
        of_rest[row["engine"]].append((s3_rate, disk_rate * free))
    of_disk_ratios, of_rest_ratios = (
        {engine: paired.shares(pairs) for engine, pairs in by_engine.items()} for by_engine in (of_disk, of_rest)
    )
    return of_disk_ratios, of_rest_ratios


def servers_cpu_seconds() -> float:
    """Return the CPU time of the store and the relay so far: they are the only children between two runs."""
    times = [process.cpu_times() for process in psutil.Process().children(recursive=True)]
    return float(sum(each.user + each.system for each in times))


def kept_fields(record: dict[str, Any]) -> dict[str, Any]:
    """Return the fields of a record that are kept in the JSON."""
    return {key: record[key] for key in ("images_per_second", "seconds", "worker_seconds", "retries")}


def with_endpoint(config: Config, endpoint: str) -> Config:
    """Return the configuration with a store on this machine."""
    storage = {"region": servers.REGION, "endpoint": endpoint, "residency": "declared", "place": PLACE}
    return config.model_copy(update={"storage": config.storage.model_copy(update=storage)})


def reading_ms(bucket: Bucket) -> float:
    """Return this process's CPU milliseconds per photo, when reading all photos of the bucket."""
    os.environ.update(CREDENTIALS)
    store = bucket.store()
    photos = [Photo(entry.name, "", entry.size, entry.etag) for entry in store.entries()]
    start = time.process_time()
    n_bytes = sum(len(content) for _, content in ReadAhead(lambda p: store.read(p.path, p.version), photos, 32))
    assert n_bytes == sum(photo.size for photo in photos)
    return (time.process_time() - start) / len(photos) * 1000


if __name__ == "__main__":
    main()
