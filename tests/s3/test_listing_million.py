"""A million keys: listed, sorted, hashed and written in bounded memory.

No server holds a million objects here: the boto3 client is replaced, and hands out pages that are made up, so this
measures our side of a listing, without the network and without boto3.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from tests.conftest import ROOT, Cli

KEYS = 1_000_000
MOST_MB = 600
LIST = """
import json, sys, time
from pathlib import Path
from types import SimpleNamespace
from fruitscale.config.schema import Input, Storage
from fruitscale.stages import peak_rss_mb
from fruitscale.runs import manifest
from fruitscale.storage import aws, listing
from fruitscale.storage.store import LocalStore

KEYS, out = int(sys.argv[1]), Path(sys.argv[2])

def key(number):
    return f"Training/Apple Red {number // 10_000:03d}/r_{number % 10_000:05d}_100.jpg"

class Client:
    meta = SimpleNamespace(events=SimpleNamespace(register=lambda *handler: None))

    def list_objects_v2(self, Bucket, Prefix, MaxKeys, ContinuationToken="0", StartAfter=None):
        if StartAfter is not None:
            return {"Name": Bucket, "Columns": [[], [], [], []]}
        start, stop = int(ContinuationToken), min(int(ContinuationToken) + 1000, KEYS)
        keys = [(f"{Prefix}{key(i)}", 5000 + i % 997, f'"{i:032x}"', "STANDARD") for i in range(start, stop)]
        return {"Name": Bucket, "Columns": [*zip(*keys)], "IsTruncated": stop < KEYS, "NextContinuationToken": str(stop)}

aws.s3_client = lambda storage, attempts: Client()
began = time.perf_counter()
source = Input(uri="s3://fruits/in")
photos = listing.list_photos(source, Storage(region="eu-west-3", residency="declared", place="nowhere"))
listed = manifest.build(photos)
manifest.write(listed, LocalStore(out))
seconds = time.perf_counter() - began
print(json.dumps({"images": listed.images, "labels": listed.labels, "seconds": seconds, "mb": peak_rss_mb()}))
"""


@pytest.mark.slow
def test_a_million_keys_need_little_memory(s3_cli: Cli, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    done = subprocess.run(
        [sys.executable, "-c", LIST, str(KEYS), str(tmp_path)],
        env=s3_cli.environment,
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
        timeout=500,
    )
    told = json.loads(done.stdout)
    with capsys.disabled():
        sys.stdout.write(f"\n{told['images']:,} keys: {told['seconds']:.1f} s, {told['mb']:.0f} MB at most\n")
    assert (told["images"], told["labels"]) == (KEYS, 100)
    manifest = pq.read_metadata(tmp_path / "manifest.parquet")
    assert manifest.num_rows == KEYS
    assert told["mb"] <= MOST_MB
