"""What a launch costs: line by line as by hand, at most and at best, and the time that max_cost pays for."""

from __future__ import annotations

import json
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from fruitscale.clusters import cost_limit, job_files, prices, run_estimate
from fruitscale.clusters.launch import Launch
from fruitscale.clusters.launcher import BilledUse, Machine
from fruitscale.clusters.run_estimate import MeasuredSpeed
from fruitscale.config.loading import from_mapping, load
from fruitscale.config.schema import Config
from fruitscale.display import formatting
from fruitscale.errors import UsageError
from fruitscale.pipeline import accounting

ROOT = Path(__file__).parents[2]
KEY = "arn:aws:kms:eu-west-3:123456789012:key/1"
TABLE = {
    "machine_hour": {"m6i.xlarge": 0.2, "c6i.2xlarge": 0.4}, "emr_hour": {"m6i.xlarge": 0.05, "c6i.2xlarge": 0.1},
    "spot_fraction": 0.5,
}  # fmt: skip
WHOLE = {**TABLE, "disk_gb_month": 0.09, "key_month": 0.72, "s3_get_1000": 0.0004, "kms_10000": 0.03}


def emr_default(*sets: str) -> Config:
    """The config as it is shipped, with the key that it requires."""
    return load(ROOT / "configs" / "emr.yaml", [f"cluster.disk_key={KEY}", *sets]).config


def config(kind: str, **cluster: Any) -> Config:
    types = {"worker_types": ["c6i.2xlarge"]} if kind != "emr-serverless" else {}
    return from_mapping(
        {"cluster": {"kind": kind, "prices": WHOLE, **types, **cluster}, "storage": {"region": "eu-west-3"}}
    )


def lines(given: Config) -> list[prices.PriceLine]:
    assert given.cluster is not None
    return prices.lines(given.cluster, given.storage.kms_key)


def test_the_default_emr_config_by_hand() -> None:
    by_hand = [  # count, price per hour
        (1, 0.224),  # primary, m6i.xlarge
        (2, 0.404),  # core, c6i.2xlarge
        (6, 0.404),  # spot, but EMR may switch to on-demand
        (1, 0.048),  # EMR's fee
        (8, 0.085),
        (9 * 2 * 64, 0.0928 / 720),  # 9 machines with two disks of 64 GB
        (1, 1.0 / 720),  # the key of the disks
    ]
    found = lines(emr_default())
    assert [(line.count, line.hour) for line in found] == by_hand
    assert sum(count * hour for count, hour in by_hand[:5]) == pytest.approx(4.184)
    assert prices.at_most(found) == pytest.approx(4.3339, abs=1e-4)
    assert prices.at_best(found) == pytest.approx(4.3339 - 6 * 0.202, abs=1e-4)


def test_spot_machines_of_dask_may_cost_what_on_demand_ones_do() -> None:
    found = lines(config("ec2-dask", workers=3, market="spot", disk_gb=10))
    assert [(line.what, line.count, line.hour, line.low) for line in found] == [
        ("scheduler m6i.xlarge", 1, 0.2, 0.2),
        ("spot c6i.2xlarge, or on-demand", 3, 0.4, 0.2),
        ("GB of disk (gp3)", 40, 0.09 / 720, 0.09 / 720),
    ]


def test_serverless_is_priced_by_vcpu_memory_and_the_disk_that_is_not_free() -> None:
    table = {"vcpu_hour": 0.06, "gb_hour": 0.007, "storage_gb_hour": 0.0001, "key_month": 0.72}
    found = lines(config("emr-serverless", executors=8, prices=table, disk_gb=50, disk_key=KEY))
    assert [(line.count, line.hour) for line in found] == [(36, 0.06), (9 * 8, 0.007), (9 * 30, 0.0001), (1, 0.001)]
    free = lines(config("emr-serverless", executors=8, prices={"vcpu_hour": 0.06, "gb_hour": 0.007}))
    assert prices.left_out(free) == []
    leader, worker, most = prices.hourly(config("emr-serverless", executors=8, prices=table).cluster)  # type: ignore[arg-type]
    assert leader == worker == most == pytest.approx(4 * 0.06 + 8 * 0.007)


def test_the_dearest_of_the_worker_types_counts() -> None:
    table = {**WHOLE, "machine_hour": {"m6i.xlarge": 0.2, "c6i.2xlarge": 0.4, "c5.2xlarge": 0.5}}
    given = config("ec2-dask", worker_types=["c6i.2xlarge", "c5.2xlarge"], prices=table, market="spot", disk_gb=8)
    assert (lines(given)[1].hour, lines(given)[1].low) == (0.5, 0.25)
    assert prices.hourly(given.cluster)[1:] == pytest.approx((0.2 + 0.001, 0.5 + 0.001))  # type: ignore[arg-type]


def test_a_worker_type_without_a_price_is_named() -> None:
    given = config("emr", worker_types=["c6i.2xlarge", "c5.2xlarge"], max_cost=50.0)
    assert prices.at_most(lines(given)) is not None
    assert prices.left_out(lines(given)) == ["c5.2xlarge, another worker type"]
    assert given.cluster is not None
    with pytest.raises(UsageError, match=r"prices that are not set: cluster\.prices\.machine_hour\.c5\.2xlarge"):
        cost_limit.check(given.cluster, None)
    unknown = config("emr", worker_types=["c5.2xlarge"])
    assert (prices.at_most(lines(unknown)), prices.hourly(unknown.cluster)[1:]) == (None, (None, None))  # type: ignore[arg-type]


def test_disks_and_keys_without_a_price_are_left_out_and_named() -> None:
    found = lines(config("emr", core=2, spot=6, disk_key=KEY, prices=TABLE))
    assert prices.left_out(found) == ["GB of disk (gp3)", "KMS key"]
    assert prices.at_most(found) == pytest.approx(0.25 + 8 * 0.5)
    assert prices.at_best(found) == pytest.approx(0.25 + 2 * 0.5 + 6 * 0.3)


def test_the_driver_knows_the_price_of_a_worker_at_best_and_at_most() -> None:
    given = config("emr", core=2, spot=6, disk_gb=40)
    leader, worker, most = prices.hourly(given.cluster)  # type: ignore[arg-type]
    assert leader == pytest.approx(0.25 + 0.01)
    assert worker == pytest.approx((2 * 0.5 + 6 * 0.3) / 8 + 0.01)
    assert most == pytest.approx(0.5 + 0.01)


def test_what_machines_cost_so_far_has_their_market_and_disks() -> None:
    machines = [
        Machine("1", "m6i.xlarge", "on-demand", "running", 2.0),
        Machine("2", "c6i.2xlarge", "spot", "ended", 1.0),
    ]
    hours, amount = prices.spent(config("emr", disk_gb=40).cluster, machines)  # type: ignore[arg-type]
    assert hours == 3.0
    assert amount == pytest.approx(2 * 0.25 + 0.3 + 3 * 0.01)


def test_a_serverless_job_costs_what_was_billed_and_before_that_at_most_all_workers() -> None:
    table = {"vcpu_hour": 0.06, "gb_hour": 0.007, "storage_gb_hour": 0.0001}
    cluster = config("emr-serverless", executors=8, prices=table).cluster
    assert cluster is not None
    running = Machine("1", "emr-serverless", "on-demand", "running", 0.5)
    assert prices.spent(cluster, [running])[1] == pytest.approx(0.5 * (36 * 0.06 + 72 * 0.007))
    ended = replace(running, billed=BilledUse(10.0, 20.0, 30.0))
    assert prices.spent(cluster, [ended])[1] == pytest.approx(10 * 0.06 + 20 * 0.007 + 30 * 0.0001)
    assert (prices.is_limit(cluster, [running]), prices.is_limit(cluster, [ended])) == (True, False)
    assert prices.spent(config("emr-serverless", prices={}).cluster, [running, ended])[1] is None  # type: ignore[arg-type]


def launch(max_cost: float | None, images: int | None = None, max_hours: float = 12.0) -> Launch:
    given = config("emr", core=2, spot=6, disk_gb=40, max_cost=max_cost, max_hours=max_hours)  # 4.34 per hour
    return Launch("1", given, 1000.0, "me", images)


def test_max_cost_is_a_time_at_the_highest_price_and_its_end_is_paid_too() -> None:
    limited = launch(4.34)
    assert limited.expires == pytest.approx(1000 + 3600 - cost_limit.END_SECONDS)
    assert limited.limit == "cluster.max_cost (4.34 USD)"
    assert launch(4.34, images=1_000_000).lifetime_seconds == pytest.approx(3600 * (1 - 0.4 / 4.34) - 360)
    for unlimited in (launch(None), launch(1000.0)):
        assert unlimited.lifetime_seconds == 12 * 3600
        assert unlimited.limit == "cluster.max_hours (12)"


def test_max_cost_that_pays_for_nothing_or_has_no_prices_is_refused() -> None:
    small, unpriced = launch(1.0).cluster, config("emr", max_cost=9.0, prices=TABLE).cluster
    with pytest.raises(
        UsageError, match=r"max_cost \(1 USD\) is too small: .* 4\.34 USD per hour, .* at least 1\.16 USD"
    ):
        cost_limit.check(small, None)
    assert unpriced is not None
    with pytest.raises(
        UsageError, match=r"needs prices that are not set: cluster\.prices\.disk_gb_month, .*s3_get_1000"
    ):
        cost_limit.check(unpriced, None)
    cost_limit.check(launch(1.2).cluster, None)


def test_these_photos_by_hand() -> None:
    given = emr_default()
    found = run_estimate.estimate(given, 67_692, 64, MeasuredSpeed(15.6, "here"))
    minutes = 10 + 67_692 * 0.0156 / 64 / 0.9 / 60
    assert found.minutes == pytest.approx(minutes)
    reading = 67.692 * 0.00042
    assert found.low == pytest.approx(3.1219 * minutes / 60 + reading, abs=1e-3)
    assert found.high == pytest.approx(4.3339 * minutes / 60 + reading, abs=1e-3)


def test_a_network_without_a_measured_speed_has_no_estimate() -> None:
    found = run_estimate.try_estimate(emr_default("model.architecture=resnet50"), 1000)
    assert found == "the speed of resnet50 is not known: name a run of this model with --measured"


def test_the_record_has_what_was_expected_and_what_it_cost(monkeypatch: pytest.MonkeyPatch) -> None:
    given = config("emr", core=2, spot=6, disk_gb=40)
    expected = run_estimate.estimate(given, 1000, 64, MeasuredSpeed(15.6, "here"))
    monkeypatch.setattr(run_estimate, "try_estimate", lambda *_: expected)
    machines = job_files.machine_prices(Launch("1", given, 0.0, "me", 1000))
    half_an_hour_ago = {**machines, "began": time.time() - 1800}
    monkeypatch.setenv(accounting.MACHINES, json.dumps(half_an_hour_ago))
    cost = accounting.machine_cost(8, 1000)
    assert cost is not None
    leader, worker, most = prices.hourly(given.cluster)  # type: ignore[arg-type]
    assert leader is not None
    assert worker is not None
    assert most is not None
    assert cost.amount == pytest.approx((leader + 8 * worker) / 2 + 0.0004, abs=1e-3)
    assert cost.amount_at_most == pytest.approx((leader + 8 * most) / 2 + 0.0004, abs=1e-3)
    assert cost.minutes == pytest.approx(30, abs=0.1)
    assert cost.expected is not None
    assert (cost.expected.images, cost.expected.low, cost.expected.measured) == (1000, expected.low, "here")
    assert formatting.cost(cost).startswith(
        "1.57 to 2.17 USD for 4.50 machine hours; expected were 0.52 to 0.72 USD in 10 min, and it took 30 min"
    )
    monkeypatch.delenv(accounting.MACHINES)
    assert accounting.machine_cost(8, 1000) is None


def test_a_launch_of_an_earlier_version_has_a_cost(monkeypatch: pytest.MonkeyPatch) -> None:
    old = {"began": time.time(), "leader_hour": None, "worker_hour": None, "currency": "EUR"}
    monkeypatch.setenv(accounting.MACHINES, json.dumps(old))
    cost = accounting.machine_cost(8, 1000)
    assert cost is not None
    assert (cost.amount, cost.amount_at_most, cost.expected) == (None, None, None)
