"""A place in a bucket, as the tests see it: through boto3, and as settings of the code under test."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fruitscale.config.schema import Storage
from fruitscale.storage.s3 import S3Store
from tests.s3 import servers

PLACE = "this machine's loopback"


@dataclass(frozen=True)
class Bucket:
    """A bucket at a server, and a prefix in it that is one test's own."""

    endpoint: str
    name: str
    prefix: str
    client: Any

    @property
    def uri(self) -> str:
        """The prefix's URI."""
        return f"s3://{self.name}/{self.prefix}"

    def storage(self, endpoint: str | None = None, **more: Any) -> Storage:
        """Return settings for a store that has no regions, as `residency.settle` leaves them."""
        return Storage(
            region=servers.REGION, endpoint=endpoint or self.endpoint, residency="declared", place=PLACE, **more
        )

    def flags(self, endpoint: str | None = None, **more: object) -> list[str]:
        """Return the same for a command line."""
        storage = {"region": servers.REGION, "endpoint": endpoint or self.endpoint, "residency": "declared"}
        storage |= {"place": PLACE, **more}  # type: ignore[dict-item]
        return [part for key, value in storage.items() for part in ("--set", f"storage.{key}={value}")]

    def store(self, endpoint: str | None = None, **more: Any) -> S3Store:
        """Open the prefix."""
        return S3Store(self.uri, self.storage(endpoint, **more))

    def at(self, name: str) -> Bucket:
        """Return a place below this one."""
        return Bucket(self.endpoint, self.name, f"{self.prefix}/{name}", self.client)

    def names(self) -> list[str]:
        """Return the names under the prefix, as boto3 lists them."""
        pages = self.client.get_paginator("list_objects_v2").paginate(Bucket=self.name, Prefix=f"{self.prefix}/")
        found = [entry["Key"] for page in pages for entry in page.get("Contents", ())]
        return [key.removeprefix(f"{self.prefix}/") for key in found]

    def get(self, name: str) -> bytes:
        """Return an object."""
        content: bytes = self.client.get_object(Bucket=self.name, Key=f"{self.prefix}/{name}")["Body"].read()
        return content

    def put(self, name: str, content: bytes) -> str:
        """Put an object; return its ETag."""
        etag: str = self.client.put_object(Bucket=self.name, Key=f"{self.prefix}/{name}", Body=content)["ETag"]
        return etag

    def files(self) -> dict[str, bytes]:
        """Return every object under the prefix by its name."""
        names = self.names()
        with ThreadPoolExecutor(8) as pool:
            return dict(zip(names, pool.map(self.get, names), strict=True))

    def parts(self) -> dict[str, bytes]:
        """Return every part of the run that is here, as `part_bytes` does of one on disk."""
        return {n: c for n, c in self.files().items() if n.startswith(("features/", "reduced/"))}

    def put_folder(self, folder: Path) -> None:
        """Put every file of a folder under its own name."""
        files = [file for file in folder.rglob("*") if file.is_file()]
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(lambda f: self.put(f.relative_to(folder).as_posix(), f.read_bytes()), files))

    def uploads(self) -> list[str]:
        """Return the keys of the multipart uploads that were begun in the bucket and not finished."""
        return [u["Key"] for u in self.client.list_multipart_uploads(Bucket=self.name).get("Uploads", ())]
