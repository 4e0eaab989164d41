"""What a launch may cost: nothing on a quiet night, no more than max_cost, and a page that the driver made."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from fruitscale.clusters import cluster_config, cluster_run, job_files, launch_plan, monitoring
from fruitscale.clusters.bundle import UploadedBundle
from fruitscale.clusters.check_results import CheckVerdict
from fruitscale.clusters.launch import LOG, Launch
from fruitscale.clusters.launcher import ClusterStatus
from fruitscale.clusters.launcher_registry import launcher_of
from fruitscale.clusters.machines import driver
from fruitscale.config.loading import from_mapping
from fruitscale.config.schema import Config
from fruitscale.display.events import Event
from fruitscale.errors import NothingNewError, UsageError
from tests.cloud.cloud import Asked, Refusal
from tests.cloud.simulated_account import Account, write
from tests.cloud.test_launches import MAKES
from tests.conftest import Cli

BUNDLE = UploadedBundle("s3://photos/staging/bundles/abc", "0" * 64, None, None, "s3://photos/staging/models/m")
PRICES = {
    "machine_hour": {"m6i.xlarge": 0.2, "c6i.2xlarge": 0.4, "c5.2xlarge": 0.4}, "disk_gb_month": 0.09, "key_month": 1.0,
    "s3_get_1000": 0.0004, "kms_10000": 0.03,
}  # fmt: skip


@pytest.fixture
def nightly(account: Account, local_run: Path) -> Config:
    """A config of the photos that the run of last night does not have."""
    config = account.config("ec2-dask", workers=1)
    last_night = f"last-night-{account.number}"
    for path in local_run.rglob("*"):
        if path.is_file():
            name = f"{last_night}/{path.relative_to(local_run).as_posix()}"
            account.client("s3").put_object(Bucket="photos", Key=name, Body=path.read_bytes())
    account.proxy.clear()
    values = config.model_dump(mode="json")
    values["input"]["new_since"] = [f"s3://photos/{last_night}"]
    return from_mapping(values)


def test_a_quiet_night_launches_nothing(account: Account, nightly: Config) -> None:
    with pytest.raises(NothingNewError, match="There is nothing new: earlier runs have all 24 photos"):
        cluster_run.run(nightly)
    (photos,) = [check for check in launch_plan.plan(nightly).checks if check.name == "photos"]
    assert (photos.verdict, photos.found[:20]) == (CheckVerdict.PASS, "There is nothing new")
    assert [asked.operation for asked in account.proxy.asked if asked.operation in MAKES] == []
    assert [asked.path for asked in account.proxy.asked if asked.method in ("PUT", "POST") and asked.is_s3] == []


@pytest.mark.slow
def test_a_quiet_night_is_no_failure(cloud_cli: Cli, account: Account, nightly: Config, tmp_path: Path) -> None:
    for json_flag, shown in (((), "There is nothing new: earlier runs have all 24 photos."), (("--json",), "null")):
        ran = cloud_cli("run", "--config", write(nightly, tmp_path), "--quiet", *json_flag)
        assert (ran.code, ran.out.strip()) == (0, shown), ran.err


@pytest.mark.slow
def test_new_photos_are_launched_for(account: Account, nightly: Config, left: Callable[[], list[str]]) -> None:
    s3, keys = account.client("s3"), [f"in/new/{n}.jpg" for n in range(3)]
    photo = s3.list_objects_v2(Bucket="photos", Prefix="in/")["Contents"][0]["Key"]
    for key in keys:
        s3.put_object(Bucket="photos", Key=key, Body=s3.get_object(Bucket="photos", Key=photo)["Body"].read())
    try:
        launch = cluster_run.run(nightly, detach=True).launch
        assert launch.images == 3
        assert json.loads(launch.store().read("launch.json"))["images"] == 3
        cluster_run.tear_down(launcher_of(launch), lambda _: None)
    finally:
        for key in keys:
            s3.delete_object(Bucket="photos", Key=key)
    assert left() == []


def test_photos_that_only_the_machines_may_list_are_launched_for_with_a_warning(
    account: Account, left: Callable[[], list[str]]
) -> None:
    def rule(asked: Asked) -> Refusal | None:
        lists_photos = asked.is_s3 and asked.method == "GET" and "prefix=in" in asked.path
        return Refusal("AccessDenied", 403) if lists_photos else None

    events: list[Event] = []
    account.proxy.rule = rule
    launch = cluster_run.run(account.config("ec2-dask", workers=1), events.append, detach=True).launch
    assert launch.images is None
    (warning,) = [event.warning for event in events if event.warning]
    assert "The photos were not counted before the launch" in warning
    assert "denied" in warning
    cluster_run.tear_down(launcher_of(launch), lambda _: None)
    assert left() == []


def test_an_input_without_photos_launches_nothing(account: Account) -> None:
    values = account.config("emr").model_dump(mode="json")
    values["input"]["uri"] = "s3://photos/nowhere"
    with pytest.raises(Exception, match="There are no photos in s3://photos/nowhere"):
        cluster_run.run(from_mapping(values))
    assert [asked.operation for asked in account.proxy.asked if asked.operation in MAKES] == []


def test_a_launch_that_max_cost_does_not_pay_for_is_refused(account: Account) -> None:
    with pytest.raises(UsageError, match=r"cluster\.max_cost \(0\.5 USD\) is too small"):
        cluster_run.run(account.config("ec2-dask", prices=PRICES, max_cost=0.5))
    with pytest.raises(UsageError, match=r"needs prices that are not set: cluster\.prices\.machine_hour"):
        cluster_run.run(account.config("ec2-dask", max_cost=50.0))
    assert [asked.operation for asked in account.proxy.asked if asked.operation in MAKES] == []


def launched(account: Account, **cluster: object) -> Launch:
    """Store a launch, as `run` does before its machines are requested."""
    config = cluster_config.settle(account.config("ec2-dask", prices=PRICES, **cluster))
    launch = Launch("20260101T000000Z-abcdef", config, time.time(), "tests")
    launch.save()
    job_files.put_job(launch, BUNDLE)
    return launch


def test_the_driver_ends_a_run_before_max_cost_is_exceeded(account: Account, local_run: Path) -> None:
    launch = launched(account, max_cost=2.0)
    store = launch.store()
    job = json.loads(store.read("job.json"))
    most = 0.2 + 8 * 0.4 + 9 * 30 * 0.09 / 720 + 1 / 720  # per hour
    assert job["until"] == pytest.approx(launch.created + 2.0 / most * 3600 - 360)
    assert job["limit"] == "cluster.max_cost (2 USD)"
    account.client("s3").put_object(Bucket="photos", Key="staging/models/m", Body=b"")
    store.write("job.json", json.dumps({**job, "until": time.time() + 1.5}).encode())
    assert driver.drive(store) == driver.TOO_LONG
    ended = job_files.status(launch)
    assert ended is not None
    assert (ended["code"], ended["error"], ended["page"]) == (124, "Ended by cluster.max_cost (2 USD).", False)
    assert b"Ended by cluster.max_cost (2 USD)." in store.read(LOG)


class Running:
    """A launcher whose machines run, whatever the time."""

    def status(self) -> ClusterStatus:
        return ClusterStatus("running")


@pytest.mark.parametrize(
    ("cluster", "late_seconds", "limit"),
    [
        pytest.param({"max_cost": 2.0}, monitoring.COST_GRACE_SECONDS + 1, r"cluster\.max_cost \(2 USD\)", id="cost"),
        pytest.param({"max_hours": 3}, monitoring.GRACE_SECONDS + 1, r"cluster\.max_hours \(3\)", id="hours"),
    ],
)
def test_who_watches_ends_machines_that_outlive_their_limit(
    account: Account, cluster: dict[str, object], late_seconds: float, limit: str
) -> None:
    launch = launched(account, **cluster)
    late = replace(launch, created=time.time() - launch.lifetime_seconds - late_seconds)
    ended = monitoring.watch(late, Running(), lambda _: None, 0.1)  # type: ignore[arg-type]
    assert (ended.outcome, bool(re.search(limit, ended.problem or ""))) == ("failed", True)


def test_machines_install_what_draws_the_page(
    account: Account, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    from fruitscale.clusters import bundle, wheels

    extras: list[str] = []

    def lock(_wheel: Path, extra: str, _architecture: str) -> str:
        extras.append(extra)
        return ""

    monkeypatch.setattr(wheels, "lock", lock)
    monkeypatch.setattr(bundle, "cache_folder", lambda: tmp_path / str(len(extras)))
    for config in (account.config("ec2-dask", requirements=None), account.config("emr", requirements=None)):
        bundle.build(config, tmp_path)
    bundle.build(config.model_copy(update={"report": False}), tmp_path)
    assert extras == ["dask,report", "report", ""]
