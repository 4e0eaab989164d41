"""Whole runs on SeaweedFS: the same parts as on disk, through kills, rivals, a bad network and outages."""

from __future__ import annotations

import io
import json
import os
import re
import signal
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from fruitscale import api
from tests.conftest import QUICK, Cli, part_bytes
from tests.s3.bucket import Bucket
from tests.s3.conftest import N_PHOTOS
from tests.s3.proxy import Faults, Proxy
from tests.s3.runs import SHARD, Watched, arguments, check_clean, finish, kill, n_parts, wait_for


@pytest.fixture(scope="module")
def expected_parts(s3_cli: Cli, few: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """The parts of the same run on disk."""
    run = tmp_path_factory.mktemp("whole") / "run"
    assert s3_cli("run", "-e", "local", *QUICK, *SHARD, "-i", few, "-o", run).code == 0
    return part_bytes(run)


def test_the_parts_are_those_of_the_disk(watched: Watched, expected_parts: dict[str, bytes]) -> None:
    record, place = watched.record, watched.place
    assert record["images"] == {"featurized": N_PHOTOS, "rejected": 0, "resumed": 0}
    assert record["residency"]["rule"] == "declared"
    assert place.parts() == expected_parts
    versions = pq.read_table(io.BytesIO(place.get("manifest.parquet")))["version"].to_pylist()
    assert all(version.startswith('"') for version in versions)  # ETags, which no part knows of
    assert not any(version.strip('"').encode() in part for version in versions for part in expected_parts.values())
    assert json.loads(place.get("run.json")) == record
    check_clean(place)


def test_an_export_to_s3_is_the_one_to_the_disk(s3_cli: Cli, watched: Watched, bucket: Bucket, tmp_path: Path) -> None:
    command = ["export", watched.place.uri, "--to", "csv", *bucket.flags()]
    assert s3_cli(*command, "-o", tmp_path / "here.csv").code == 0
    bucket.put("mine.csv", b"mine")
    refused = s3_cli(*command, "-o", f"{bucket.uri}/mine.csv")
    assert (refused.code, bucket.get("mine.csv")) == (1, b"mine")
    assert "exists already" in refused.err
    made = s3_cli(*command, "-o", f"{bucket.uri}/new.csv")
    assert made.code == 0, made.err
    assert bucket.get("new.csv") == (tmp_path / "here.csv").read_bytes()
    folder = s3_cli("export", watched.place.uri, "--to", "tensorboard", *bucket.flags(), "-o", f"{bucket.uri}/board")
    assert "reads files from a disk" in folder.err


@pytest.mark.slow
def test_the_page_of_a_run_is_on_s3_with_photos_of_s3(s3_cli: Cli, few_on_s3: Bucket, bucket: Bucket) -> None:
    ran = s3_cli(
        *arguments("local", few_on_s3, bucket), "--set", "report=true", "--set", "model.architecture=patch_mean"
    )
    assert ran.code == 0, ran.err
    assert "Warning" not in ran.err
    found = re.search(rb'<script type="application/json" id="data">(.*?)</script>', bucket.get("report.html"))
    assert found is not None
    assert len(json.loads(found[1])["thumbs"]) == N_PHOTOS
    check_clean(bucket)
    assert api.report(bucket.uri, bucket.storage()) == f"{bucket.uri}/report.html"
    check_clean(bucket)


def test_photos_of_the_disk_and_a_run_on_s3(
    s3_cli: Cli, few: Path, bucket: Bucket, expected_parts: dict[str, bytes]
) -> None:
    ran = s3_cli("run", "-e", "local", *QUICK, *SHARD, *bucket.flags(), "-i", few, "-o", bucket.uri)
    assert ran.code == 0, ran.err
    assert bucket.parts() == expected_parts


@pytest.mark.parametrize("kind", ["csv", pytest.param("parquet", marks=pytest.mark.slow)])
def test_a_list_on_s3_takes_what_it_names(
    s3_cli: Cli, few: Path, few_on_s3: Bucket, bucket: Bucket, tmp_path: Path, kind: str
) -> None:
    paths = sorted(path.relative_to(few).as_posix() for path in few.rglob("*.jpg"))[::5]
    table = pa.table({"path": paths, "label": ["fruit"] * len(paths)})
    sink = io.BytesIO()
    if kind == "csv":
        sink.write("".join(f"{row}\n" for row in ["path,label", *(f"{path},fruit" for path in paths)]).encode())
    else:
        pq.write_table(table, sink)
    bucket.put(f"list.{kind}", sink.getvalue())
    out = tmp_path / "run"  # photos and list on S3, the run on disk
    ran = s3_cli(
        "run", "-e", "local", *QUICK, *SHARD, *bucket.flags(), "-i", few_on_s3.uri, "-o", out, "--json",
        "--set", f"input.list={bucket.uri}/list.{kind}", "--set", "pca.components=4",
    )  # fmt: skip
    assert ran.record["images"]["featurized"] == len(paths)
    manifest = pq.read_table(out / "manifest.parquet")
    assert manifest["path"].to_pylist() == paths
    assert set(manifest["label"].to_pylist()) == {"fruit"}
    assert all(manifest["version"].to_pylist())


def test_a_list_on_s3_that_names_what_is_not_there(s3_cli: Cli, few_on_s3: Bucket, bucket: Bucket) -> None:
    bucket.put("list.csv", b"path\nnowhere/1.jpg\n")
    ran = s3_cli(*arguments("local", few_on_s3, bucket.at("out")), "--set", f"input.list={bucket.uri}/list.csv")
    assert ran.code == 1
    assert "names nowhere/1.jpg" in ran.err
    assert "Traceback" not in ran.err


@pytest.mark.slow
def test_a_killed_run_is_waited_for_and_resumed(
    s3_cli: Cli, few_on_s3: Bucket, bucket: Bucket, proxy: Proxy, expected_parts: dict[str, bytes]
) -> None:
    proxy.faults = Faults(latency_seconds=0.1)
    first = s3_cli.start(*arguments("local", few_on_s3, bucket, proxy.url))
    assert wait_for(lambda: first.poll() is not None or n_parts(bucket) >= 2)
    kill(first)
    assert "run.json" not in bucket.names()
    assert json.loads(bucket.get("_run/lock"))["pid"] == first.pid
    ran = s3_cli(*arguments("local", few_on_s3, bucket), "--json")
    assert 0 < ran.record["images"]["resumed"] < ran.record["images"]["featurized"] == N_PHOTOS
    assert f"process {first.pid}" in ran.err  # whom it waited for
    assert bucket.parts() == expected_parts
    check_clean(bucket)


def test_a_second_run_is_refused_while_the_first_one_writes(
    s3_cli: Cli, few_on_s3: Bucket, bucket: Bucket, proxy: Proxy, expected_parts: dict[str, bytes]
) -> None:
    proxy.rule = lambda seen: "busy" if len(proxy.seen) > 60 and "/few/" in seen.target else None
    first = s3_cli.start(*arguments("local", few_on_s3, bucket, proxy.url))
    assert wait_for(lambda: first.poll() is not None or proxy.counts["busy"] > 0)  # it gets no photos, so it lasts
    second = s3_cli(*arguments("local", few_on_s3, bucket))
    proxy.rule = lambda _: None
    code, _, err = finish(first)
    assert second.code == 1
    assert f"Another run is writing {bucket.uri}: process {first.pid}" in second.err
    assert code == 0, err
    assert bucket.parts() == expected_parts


def test_a_bad_network_changes_nothing(
    s3_cli: Cli, few_on_s3: Bucket, bucket: Bucket, proxy: Proxy, expected_parts: dict[str, bytes]
) -> None:
    proxy.faults = Faults(reset=0.05, busy=0.05, stall=0.01, stall_seconds=3.0)
    ran = s3_cli(*arguments("local", few_on_s3, bucket, proxy.url, timeout_seconds=1.0), "--json")
    assert ran.record["retries"]["reads"] > 0
    assert ran.record["retries"]["tasks"] == 0
    assert {"reset", "busy"} <= set(proxy.counts), proxy.counts
    assert bucket.parts() == expected_parts
    assert bucket.uploads() == []


@pytest.mark.slow
def test_an_outage_is_waited_out(
    s3_cli: Cli, few_on_s3: Bucket, bucket: Bucket, proxy: Proxy, expected_parts: dict[str, bytes]
) -> None:
    proxy.faults = Faults(latency_seconds=0.05)
    process = s3_cli.start(*arguments("local", few_on_s3, bucket, proxy.url), "--json")
    assert wait_for(lambda: process.poll() is not None or n_parts(bucket) >= 2)
    proxy.down = True
    proxy.closed.wait(5)
    proxy.down = False
    code, out, err = finish(process)
    assert code == 0, err
    assert proxy.counts["down"] > 0
    retries = json.loads(out)["retries"]
    assert retries["reads"] + retries["writes"] > 0
    assert bucket.parts() == expected_parts
    check_clean(bucket)


@pytest.mark.slow
def test_a_store_that_stays_away_ends_the_run_and_it_resumes(
    s3_cli: Cli, few_on_s3: Bucket, bucket: Bucket, proxy: Proxy, expected_parts: dict[str, bytes]
) -> None:
    proxy.faults = Faults(latency_seconds=0.05)
    process = s3_cli.start(*arguments("local", few_on_s3, bucket, proxy.url, retry_seconds=3.0))
    assert wait_for(lambda: process.poll() is not None or n_parts(bucket) >= 2)
    proxy.down = True
    code, _, err = finish(process)
    assert code == 1
    assert "Error: s3://fruits/" in err
    assert "can't be" in err
    assert "run the same command again" in err
    assert "Traceback" not in err
    bucket.client.delete_object(Bucket=bucket.name, Key=f"{bucket.prefix}/_run/lock")  # the wait is another test's
    record = s3_cli(*arguments("local", few_on_s3, bucket), "--json").record
    assert 0 < record["images"]["resumed"] < record["images"]["featurized"] == N_PHOTOS
    assert bucket.parts() == expected_parts


def test_a_store_that_is_away_from_the_start_is_told(
    s3_cli: Cli, few_on_s3: Bucket, bucket: Bucket, proxy: Proxy
) -> None:
    proxy.down = True
    ran = s3_cli(*arguments("local", few_on_s3, bucket, proxy.url, retry_seconds=6.0))
    assert ran.code == 1
    waits, error = ran.err.find("s3://fruits does not answer; retrying for up to"), ran.err.find("Error: s3://fruits/")
    assert 0 <= waits < error, ran.err
    assert "Traceback" not in ran.err


@pytest.mark.parametrize("down", [False, pytest.param(True, id="outage", marks=pytest.mark.slow)])
def test_ctrl_c_ends_a_run(s3_cli: Cli, few_on_s3: Bucket, bucket: Bucket, proxy: Proxy, down: bool) -> None:
    proxy.faults = Faults(latency_seconds=0.05)
    process = s3_cli.start(*arguments("local", few_on_s3, bucket, proxy.url))
    assert wait_for(lambda: process.poll() is not None or n_parts(bucket) >= 1)
    proxy.down = down
    assert not down or wait_for(lambda: proxy.counts["down"] > 5)
    os.kill(process.pid, signal.SIGINT)
    code, _, err = finish(process)  # also in an outage, which it would wait out for ten minutes
    assert code == 130
    assert "Run the same command again" in err
    assert "Traceback" not in err
    assert ("_run/lock" in bucket.names()) == down  # it is given back, where that can be said
