"""A million keys: listed, sorted, hashed and written in bounded memory.

No server holds a million objects here: `S3Store._page` is replaced, and hands out pages that are made up, so this
measures our side of a listing, without the network and without obstore.
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
from fruitscale.config.schema import Input, Storage
from fruitscale.stages import peak_rss_mb
from fruitscale.runs import manifest
from fruitscale.storage import listing, s3
from fruitscale.storage.store import LocalStore

KEYS, out = int(sys.argv[1]), Path(sys.argv[2])

def key(number):
    return f"Training/Apple Red {number // 10_000:03d}/r_{number % 10_000:05d}_100.jpg"

def page(self, prefix, after):
    start = 0 if after is None else int(after.split("/")[1][-3:]) * 10_000 + int(after.split("_")[1]) + 1
    return [s3.Entry(key(i), 5000 + i % 997, f'"{i:032x}"') for i in range(start, min(start + s3.PAGE, KEYS))]

s3.S3Store._page = page
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
