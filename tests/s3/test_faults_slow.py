"""The long versions: many kills, a long outage, stalls of 20 seconds."""

from __future__ import annotations

import json
import threading
from pathlib import Path
from random import Random

import pytest

from tests.conftest import QUICK, Cli, part_bytes, processes_of, take
from tests.s3 import servers
from tests.s3.bucket import Bucket
from tests.s3.proxy import Faults, Proxy
from tests.s3.runs import arguments, check_clean, finish, kill, n_parts, wait_for

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]

LABELS, EACH = 6, 40
SHARD = ["--set", "shards.images=4"]
N_SHARDS = LABELS * EACH // 4
LATENCY = 0.04
"""How long a request waits, so that a run lasts long enough to be killed anywhere."""


@pytest.fixture(scope="module")
def source(photos: Path, weed: str, tmp_path_factory: pytest.TempPathFactory) -> Bucket:
    """240 photos at SeaweedFS."""
    place = Bucket(weed, "fruits", "slow/in", servers.client(weed))
    place.put_folder(take(photos, tmp_path_factory.mktemp("slow") / "in", LABELS, EACH))
    return place


@pytest.fixture(scope="module")
def expected_parts(s3_cli: Cli, photos: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """The parts of the same run on disk."""
    run = tmp_path_factory.mktemp("whole") / "run"
    assert s3_cli("run", "-e", "local", *QUICK, *SHARD, "-i", photos, "-o", run).code == 0
    return part_bytes(run)


@pytest.mark.parametrize(("engine", "kills"), [("spark", 10), ("local", 3), ("dask", 3)])
def test_a_run_that_is_killed_many_times_ends_the_same(
    s3_cli: Cli, source: Bucket, bucket: Bucket, proxy: Proxy, expected_parts: dict[str, bytes], engine: str, kills: int
) -> None:
    proxy.faults = Faults(latency_seconds=LATENCY)
    command = [*arguments(engine, source, bucket, proxy.url), *SHARD]
    random, n_killed = Random(42), 0
    made = sorted(random.sample(range(1, 2 * N_SHARDS), kills))  # by features parts, then by reduced ones
    for after in made:
        process = s3_cli.start(*command)
        assert wait_for(lambda: process.poll() is not None or n_made(bucket) >= after, 240)  # noqa: B023
        if process.poll() is None:
            n_killed += 1
            kill(process)
            if n_killed > 1:  # that a dead run is waited for needs to be seen once
                bucket.client.delete_object(Bucket=bucket.name, Key=f"{bucket.prefix}/_run/lock")
        else:
            code, _, err = finish(process)
            assert code == 0, err
    assert n_killed >= kills // 2
    assert s3_cli(*command, "--json").record["images"]["featurized"] == LABELS * EACH
    assert bucket.parts() == expected_parts
    check_clean(bucket)


def n_made(place: Bucket) -> int:
    return n_parts(place) + n_parts(place, "reduced")


@pytest.mark.parametrize("seconds", [60])
def test_a_long_outage_is_waited_out(
    s3_cli: Cli,
    engine_name: str,
    source: Bucket,
    bucket: Bucket,
    proxy: Proxy,
    expected_parts: dict[str, bytes],
    seconds: int,
) -> None:
    proxy.faults = Faults(latency_seconds=LATENCY)
    process = s3_cli.start(*arguments(engine_name, source, bucket, proxy.url), *SHARD, "--json")
    assert wait_for(lambda: process.poll() is not None or n_parts(bucket) >= 3)
    proxy.down = True
    threading.Event().wait(seconds)  # the outage itself
    assert process.poll() is None
    proxy.down = False
    code, out, err = finish(process)
    assert code == 0, err
    retries = json.loads(out)["retries"]
    assert retries["reads"] + retries["writes"] > 0
    assert f"s3://{bucket.name} does not answer; retrying for up to" in err
    assert bucket.parts() == expected_parts
    check_clean(bucket)
    assert not list(processes_of(process.pid))


def test_a_very_bad_network_changes_nothing(
    s3_cli: Cli, engine_name: str, source: Bucket, bucket: Bucket, proxy: Proxy, expected_parts: dict[str, bytes]
) -> None:
    proxy.faults = Faults(reset=0.05, busy=0.05, stall=0.01, stall_seconds=20.0, latency_seconds=0.01)
    command = [*arguments(engine_name, source, bucket, proxy.url, timeout_seconds=5.0), *SHARD, "--json"]
    ran = s3_cli(*command, timeout=900)
    assert ran.record["retries"]["reads"] > 0
    assert ran.record["retries"]["writes"] > 0
    assert {"reset", "busy", "stall"} <= set(proxy.counts), proxy.counts
    assert bucket.parts() == expected_parts
    assert bucket.uploads() == []
