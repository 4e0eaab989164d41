"""`fruitscale erase` on S3, killed again and again while it rewrites a run, and repeated."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from random import Random

import pytest

from tests.conftest import QUICK, Cli, take
from tests.integration.erased import naming
from tests.s3.bucket import Bucket
from tests.s3.proxy import Faults, Proxy
from tests.s3.runs import check_clean, finish, kill, wait_for

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

LABELS, EACH, KILLS = 6, 40, 10
SHARD = ["--set", "shards.images=4"]
LATENCY = 0.04
"""How long a request waits, so that an erasure lasts long enough to be killed anywhere."""


def test_an_erasure_that_is_killed_many_times_ends_the_same(
    s3_cli: Cli, photos: Path, bucket: Bucket, proxy: Proxy, tmp_path: Path
) -> None:
    source = bucket.at("in")
    source.put_folder(take(photos, tmp_path / "in", LABELS, EACH))
    run, undisturbed = bucket.at("run"), bucket.at("undisturbed")
    made = s3_cli("run", "-e", "local", *QUICK, *SHARD, "-i", source.uri, "-o", run.uri, *run.flags())
    assert made.code == 0, made.err
    before = run.files()
    for name, content in before.items():
        undisturbed.put(name, content)
    gone = sorted(source.names())[::7]
    flags = [word for path in gone for word in ("--path", path)]
    assert s3_cli("erase", undisturbed.uri, *flags, *undisturbed.flags()).code == 0
    expected = undisturbed.parts()
    n_changed = sum(before[name] != content for name, content in expected.items())
    assert n_changed > 4 * KILLS
    assert naming(before.items(), gone)

    proxy.faults = Faults(latency_seconds=LATENCY)
    command = ["erase", run.uri, *flags, *run.flags(proxy.url), "--json"]
    for kills, after in enumerate(sorted(Random(42).sample(range(1, n_changed - KILLS), KILLS)), start=1):
        process = s3_cli.start(*command)
        assert wait_for(lambda: process.poll() is not None or changed(run, before) >= after, 240)  # noqa: B023
        assert process.poll() is None, finish(process)
        kill(process)
        if kills > 1:  # that a dead erasure is waited for needs to be seen once
            run.client.delete_object(Bucket=run.name, Key=f"{run.prefix}/_run/lock")
    ended = s3_cli(*command)
    assert ended.code == 0, ended.err
    assert json.loads(ended.out)["remaining"] == LABELS * EACH - len(gone)
    assert run.parts() == expected
    assert naming(run.files().items(), gone) == set()
    assert json.loads(run.get("run.json"))["erased"] == len(gone)
    check_clean(run)


def changed(place: Bucket, before: dict[str, bytes]) -> int:
    """Count the parts that are not what they were."""
    names = [name for name in place.names() if name.startswith(("features/", "reduced/"))]
    with ThreadPoolExecutor(8) as pool:
        return sum(before[name] != content for name, content in zip(names, pool.map(place.get, names), strict=True))
