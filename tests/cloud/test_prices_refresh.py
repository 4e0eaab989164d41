"""List prices: asked for at the price list (answers after AWS's documented form), and written into the config file."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml

from fruitscale.clusters import price_list, price_table
from fruitscale.config.cluster_section import Prices
from fruitscale.config.loading import load
from fruitscale.config.schema import Storage
from fruitscale.errors import ClusterError, UsageError
from fruitscale.storage import aws
from tests.cloud.cloud import Refusal
from tests.cloud.simulated_account import Account
from tests.conftest import ROOT, Cli

SPOT = [("c6i.2xlarge", "0.1616"), ("c6i.2xlarge", "0.202"), ("other.large", "9")]


@pytest.fixture
def spot(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """Spot prices: moto's are the same for every machine. Returns what was asked for."""
    real, asked = aws.pages, []

    def pages(service: Any, operation: str, items: str, **parameters: Any) -> Any:
        if operation != "describe_spot_price_history":
            return real(service, operation, items, **parameters)
        asked.append(parameters)
        return iter([{"InstanceType": each, "SpotPrice": price} for each, price in SPOT])

    monkeypatch.setattr(aws, "pages", pages)
    return asked


def test_the_prices_of_emr(account: Account, spot: list[dict[str, Any]]) -> None:
    found = price_list.refreshed(account.config("emr"))
    assert found.model_dump() == {
        "date": datetime.now(UTC).date().isoformat(), "currency": "USD", "spot_fraction": 0.5,
        "machine_hour": {"m6i.xlarge": 0.224, "c6i.2xlarge": 0.404},  # the list has no c5.2xlarge: no guess
        "emr_hour": {"m6i.xlarge": 0.048, "c6i.2xlarge": 0.085},
        "vcpu_hour": None, "gb_hour": None, "storage_gb_hour": None,
        "disk_gb_month": 0.0928, "key_month": 1.0, "s3_get_1000": 0.00042, "kms_10000": 0.03,
    }  # fmt: skip
    asked = account.proxy.of("GetProducts")
    assert {each.region for each in asked} == {"eu-central-1"}
    assert all(
        {"Type": "TERM_MATCH", "Field": "regionCode", "Value": "eu-west-3"} in each.said["Filters"] for each in asked
    )
    assert spot[0]["InstanceTypes"] == ["c6i.2xlarge", "c5.2xlarge"]
    assert datetime.now(UTC) - spot[0]["StartTime"] < timedelta(days=2)


@pytest.mark.parametrize(("architecture", "vcpu", "gb"), [("x86_64", 0.06318, 0.00689), ("aarch64", 0.0505, 0.0055)])
def test_the_prices_of_serverless(account: Account, architecture: str, vcpu: float, gb: float) -> None:
    found = price_list.refreshed(account.config("emr-serverless", architecture=architecture))
    assert (found.vcpu_hour, found.gb_hour, found.storage_gb_hour, found.machine_hour) == (vcpu, gb, 0.000129, {})


def test_spot_prices_that_moto_answers_are_read(account: Account) -> None:
    assert 0 < price_list.refreshed(account.config("ec2-dask")).spot_fraction <= 1


@pytest.mark.parametrize(
    ("region", "endpoint"),
    [("eu-west-3", "eu-central-1"), ("us-east-1", "eu-central-1"), ("cn-north-1", "cn-northwest-1"),
     ("eusc-de-east-1", "eusc-de-east-1")],
)  # fmt: skip
def test_the_endpoint_is_of_the_same_partition(region: str, endpoint: str) -> None:
    assert price_list.endpoint_region(Storage(region=region)) == endpoint
    with pytest.raises(ClusterError, match="AWS has no price list for us-gov-west-1"):
        price_list.endpoint_region(Storage(region="us-gov-west-1"))


@pytest.mark.slow
def test_a_price_list_that_may_not_be_asked_changes_nothing(cloud_cli: Cli, account: Account, tmp_path: Path) -> None:
    path = tmp_path / "my-emr.yaml"
    path.write_text((ROOT / "configs" / "emr.yaml").read_text())
    account.proxy.rule = lambda asked: Refusal("AccessDeniedException") if asked.operation == "GetProducts" else None
    shown = cloud_cli("cluster", "prices", "--refresh", "--config", path)
    assert shown.code == 1
    assert "get_products was refused (AccessDeniedException)" in shown.err
    assert path.read_text() == (ROOT / "configs" / "emr.yaml").read_text()


def test_refreshed_prices_are_in_the_config_file(cloud_cli: Cli, account: Account, tmp_path: Path) -> None:
    path = tmp_path / "my-emr.yaml"
    path.write_text((ROOT / "configs" / "emr.yaml").read_text().replace("[c6i.2xlarge, c5.2xlarge]", "[c6i.2xlarge]"))
    shown = cloud_cli("cluster", "prices", "--refresh", "--config", path)
    assert shown.code == 0, shown.err
    today = datetime.now(UTC).date().isoformat()
    assert f"Prices in USD, of {today}" in shown.out
    found = load(path).config.cluster
    assert found is not None
    assert (found.prices.date, found.prices.machine_hour["c6i.2xlarge"]) == (today, 0.404)
    again = cloud_cli("cluster", "prices", "--config", path)
    assert f"of {today}" in again.out


PRICES = Prices(date="2026-02-01", machine_hour={"m6i.xlarge": 0.3}, disk_gb_month=0.1)


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("cluster:\n  kind: emr\n", id="no-prices"),
        pytest.param("cluster:\n  kind: emr", id="no-newline"),
        pytest.param(
            "cluster:\n  prices: {currency: EUR}   # old\n  kind: emr  # its kind\nreport: false\n", id="flow"
        ),
        pytest.param("cluster:\n    kind: emr\n    prices:\n        date: null\n\n# about\nreport: false\n", id="wide"),
        pytest.param("cluster:\n  prices:\n    date: null\n  tags:\n    a: b\n# end\n", id="first"),
        pytest.param("cluster:\n  kind: emr\n  prices:\n", id="empty"),
        pytest.param(
            "report: false\ncluster:\n  kind: emr\n  purpose: >\n    two\n    lines\n\nengine: spark\n", id="folded"
        ),
        pytest.param((ROOT / "configs" / "emr.yaml").read_text(), id="emr.yaml"),
        pytest.param((ROOT / "configs" / "ec2-dask.yaml").read_text(), id="ec2-dask.yaml"),
    ],
)
def test_only_the_prices_of_a_file_change(text: str, tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    path.write_text(text)
    path.chmod(0o640)
    price_table.write(path, PRICES)
    before, after = yaml.safe_load(text), yaml.safe_load(path.read_text())
    assert after["cluster"].pop("prices") == PRICES.model_dump(mode="json")
    before["cluster"].pop("prices", None)
    assert after == before
    kept = [line for line in text.splitlines() if line.startswith(("#", "engine", "report", "input"))]
    assert [line for line in path.read_text().splitlines() if line in kept] == kept
    assert path.stat().st_mode & 0o777 == 0o640
    assert [each.name for each in tmp_path.iterdir()] == ["config.yaml"]


@pytest.mark.parametrize(
    "text",
    [
        "report: false\n",
        "cluster: {kind: emr}\n",
        "x: &c {kind: emr}\ncluster: *c\n",
        "cluster:\n  tags: &t {date: a}\n  prices: *t\n  owner: me\n",
    ],
)
def test_a_file_without_a_section_to_write_into_stays(text: str, tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    path.write_text(text)
    with pytest.raises(UsageError, match=r"config\.yaml"):
        price_table.write(path, PRICES)
    assert path.read_text() == text
