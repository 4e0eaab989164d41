"""Featurize images/s from S3 with 30 ms more a request, as a share of the same run on disk; and what reading costs.

SeaweedFS and a relay that delays what it passes on run on the same cores, so the share is a lower bound. What they take
is measured; `share_of_what_was_left` is the share of what the cores would do on disk with that taken away. With
`--keep-answers` the relay gives SeaweedFS's answers for the photos again: a store on other cores, not the real one at work.
"""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, cast
from urllib.parse import urlsplit

import psutil

from benchmarks.figures import paired
from fruitscale.config import Config
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
    parser.add_argument("--keep-answers", action="store_true", help="the relay gives the photos' answers again")
    given = parser.parse_args()
    os.environ["GOMAXPROCS"] = "1"  # SeaweedFS's: with two, its threads look for work on the cores that are measured
    rows: list[dict[str, Any]] = []
    with (
        paired.workplace() as work,
        servers.seaweedfs(work) as endpoint,
        delayed(endpoint, given.keep_answers) as far,
    ):
        source = paired.photos(given.input, given.images, work / "in")
        bucket = Bucket(endpoint, BUCKET, PHOTOS, servers.client(endpoint))
        bucket.client.create_bucket(Bucket=bucket.name)
        bucket.put_folder(source)
        if given.keep_answers:
            reading_ms(replace(bucket, endpoint=far))  # so that the relay has them
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
        "store_answers_all": not given.keep_answers,
        "reading_cpu_ms": cost,
        "share": share,
        "share_of_what_was_left": share_left,
        "rows": rows,
    }
    paired.keep("s3-kept-answers" if given.keep_answers else "s3", figure, paired.settings())
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


@contextmanager
def delayed(endpoint: str, keep_answers: bool) -> Iterator[str]:
    """Run a relay before an endpoint, in a process of its own, that passes each request on 30 ms later."""
    kept = f"/{BUCKET}/{PHOTOS}/" if keep_answers else ""
    with tempfile.NamedTemporaryFile("w+") as told:
        command = [sys.executable, "-m", "benchmarks.figures.s3", "relay", urlsplit(endpoint).netloc, told.name, kept]
        process = subprocess.Popen(command)
        try:
            while not (port := Path(told.name).read_text().strip()):
                time.sleep(0.05)
            yield f"http://127.0.0.1:{port}"
        finally:
            process.terminate()
            process.wait()


async def relay(upstream: str, told: Path, kept: str) -> None:
    """Pass bytes on: to the server 30 ms after they came, back at once. Answers for what begins with `kept` are kept."""
    host, port = upstream.split(":")
    answers = Answers(kept.encode())
    server = await asyncio.get_running_loop().create_server(lambda: Near(host, int(port), answers), "127.0.0.1", 0)
    told.write_text(str(server.sockets[0].getsockname()[1]))
    async with server:
        await server.serve_forever()


class Answers:
    """What the server answered for objects, whole, by the line of the request."""

    def __init__(self, kept: bytes) -> None:
        self._start = b"GET " + kept if kept else None
        self._whole: dict[bytes, bytes] = {}

    def key(self, request: bytes) -> bytes | None:
        """Return what a request's answer is kept under, or None: it is not for an object, or is not all there."""
        if not self._start or not request.startswith(self._start) or not request.endswith(b"\r\n\r\n"):
            return None
        return request[: request.index(b"\r\n")]

    def get(self, key: bytes) -> bytes | None:
        """Return an answer, or None."""
        return self._whole.get(key)

    def put(self, key: bytes, answer: bytes) -> bool:
        """Keep an answer once it is whole, and say whether it is; only a 200 is kept."""
        head, end, body = answer.partition(b"\r\n\r\n")
        n_bytes = next((line[15:] for line in head.split(b"\r\n") if line.lower().startswith(b"content-length:")), None)
        if not end or n_bytes is None or len(body) != int(n_bytes):
            return False
        if head.startswith(b"HTTP/1.1 200 "):
            self._whole[key] = answer
        return True


class Near(asyncio.Protocol):
    """A client's connection. Protocols, not streams: they take half the CPU, on the cores that are measured."""

    def __init__(self, host: str, port: int, answers: Answers) -> None:
        self._upstream = host, port
        self._answers = answers
        self._loop = asyncio.get_running_loop()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Connect to the server before anything is read."""
        self._client = cast("asyncio.Transport", transport)
        self._client.pause_reading()
        self._connecting = self._loop.create_task(self._connect())

    def data_received(self, data: bytes) -> None:
        """Answer, or pass it on, later; in order, since the delay is always the same."""
        key = self._answers.key(data)
        if key and (answer := self._answers.get(key)):
            self._loop.call_later(DELAY_SECONDS, self._client.write, answer)
            return
        self._far.expect(key)
        self._loop.call_later(DELAY_SECONDS, self._server.write, data)

    def connection_lost(self, _error: Exception | None) -> None:
        """Close the server's side after what is on its way."""
        self._loop.call_later(DELAY_SECONDS, self._server.close)

    async def _connect(self) -> None:
        self._far = Far(self._client, self._answers)
        self._server, _ = await self._loop.create_connection(lambda: self._far, *self._upstream)
        self._client.resume_reading()


class Far(asyncio.Protocol):
    """The server's connection: what it answers goes back at once."""

    def __init__(self, client: asyncio.Transport, answers: Answers) -> None:
        self._client = client
        self._answers = answers
        self.expect(None)

    def expect(self, key: bytes | None) -> None:
        """Say what the next answer is kept under: a connection has one request at a time under way."""
        self._key, self._answer = key, b""

    def data_received(self, data: bytes) -> None:
        """Pass it back, and keep it where it is to be kept."""
        self._client.write(data)
        if self._key:
            self._answer += data
            if self._answers.put(self._key, self._answer):
                self.expect(None)

    def connection_lost(self, _error: Exception | None) -> None:
        """Close the client's side too."""
        self._client.close()


if __name__ == "__main__":
    if sys.argv[1:2] == ["relay"]:
        asyncio.run(relay(sys.argv[2], Path(sys.argv[3]), sys.argv[4]))
    else:
        main()
