"""Reads list prices from AWS's Price List API, and spot prices from EC2."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

from fruitscale.clusters import cluster_config
from fruitscale.clusters.prices import leader_type
from fruitscale.config.cluster_section import Emr, EmrServerless, Prices
from fruitscale.config.schema import Config, Storage
from fruitscale.errors import ClusterError
from fruitscale.storage import aws, credentials, residency

EC2, EMR, KMS, S3 = "AmazonEC2", "ElasticMapReduce", "awskms", "AmazonS3"
PREFERRED = "eu-central-1"
"""The Price List API has few endpoints; each has the prices of all regions of its partition."""
SPOT_DAYS = 1
ON_DEMAND = {"operatingSystem": "Linux", "tenancy": "Shared", "preInstalledSw": "NA", "capacitystatus": "Used"}
UNITS = {"x86_64": "", "aarch64": "ARM"}


def refreshed(config: Config) -> Prices:
    """Return today's list prices of what a config launches, in its region; the spot price as of the last day.

    Prices that the list lacks are left out. Raises ClusterError if there are none, or they are in several currencies.
    """
    cluster = cluster_config.section(config)
    storage = residency.settle(config.storage)
    prices = _PriceList(storage)
    values = _of_all(prices) | (_serverless(prices, cluster) if isinstance(cluster, EmrServerless) else {})
    if not isinstance(cluster, EmrServerless):
        types = list(dict.fromkeys([leader_type(cluster), *cluster.worker_types]))
        values |= _machines(prices, types, is_emr=isinstance(cluster, Emr))
        values |= _spot(storage, cluster.worker_types, values["machine_hour"])
    if not prices.currencies:
        raise ClusterError(f"AWS's price list has no prices for {storage.region}.", "Set cluster.prices yourself.")
    if len(prices.currencies) > 1:
        raise ClusterError(f"The prices are in several currencies: {', '.join(sorted(prices.currencies))}.", None)
    (currency,) = prices.currencies
    return Prices.model_validate({**values, "currency": currency, "date": datetime.now(UTC).date().isoformat()})


class _PriceList:
    """The price list of one region."""

    def __init__(self, storage: Storage) -> None:
        self._client = aws.client("pricing", storage.model_copy(update={"region": endpoint_region(storage)}))
        self._region = storage.region
        self.currencies: set[str] = set()

    def price(self, service: str, usage: str = "", **attributes: str) -> float | None:
        """Return the price of the one product with these attributes, whose usage type matches `usage`; None if there is none.

        Of tiered prices, the highest counts: the first tier may be free. Raises ClusterError if products differ in price.
        """
        filters = [{"Type": "TERM_MATCH", "Field": key, "Value": value} for key, value in attributes.items()]
        filters.append({"Type": "TERM_MATCH", "Field": "regionCode", "Value": str(self._region)})
        listed = aws.pages(self._client, "get_products", "PriceList", ServiceCode=service, Filters=filters)
        products = [json.loads(each) if isinstance(each, str) else each for each in listed]
        fitting = [each for each in products if re.search(usage, each["product"]["attributes"].get("usagetype", ""))]
        found = {max(self._steps(each), default=0.0) for each in fitting} - {0.0}
        if len(found) > 1:
            raise ClusterError(f"AWS's price list has several prices for {service} {attributes or usage}.", None)
        return found.pop() if found else None

    def _steps(self, product: dict[str, Any]) -> Iterator[float]:
        for term in product.get("terms", {}).get("OnDemand", {}).values():
            for dimension in term["priceDimensions"].values():
                for currency, amount in dimension["pricePerUnit"].items():
                    self.currencies.add(currency)
                    yield float(amount)


def endpoint_region(storage: Storage) -> str:
    """Return the region whose endpoint has the prices of the storage's region: one of the same partition."""
    session = credentials.session()
    found = session.get_available_regions("pricing", session.get_partition_for_region(storage.region))
    if not found:
        raise ClusterError(f"AWS has no price list for {storage.region}.", "Set cluster.prices yourself.")
    return PREFERRED if PREFERRED in found else str(found[0])


def _of_all(prices: _PriceList) -> dict[str, Any]:
    requests = prices.price(S3, "Requests-Tier2$", group="S3-API-Tier2")
    kms = prices.price(KMS, "KMS-Requests$")
    return {
        "disk_gb_month": prices.price(EC2, r"EBS:VolumeUsage\.gp3$", productFamily="Storage", volumeApiName="gp3"),
        "key_month": prices.price(KMS, "KMS-Keys$"),
        "s3_get_1000": requests and round(requests * 1_000, 9),
        "kms_10000": kms and round(kms * 10_000, 9),
    }


def _machines(prices: _PriceList, types: list[str], *, is_emr: bool) -> dict[str, Any]:
    instance, software = "Elastic Map Reduce Instance", "EMR"
    machines = {
        each: prices.price(EC2, f"BoxUsage:{re.escape(each)}$", instanceType=each, **ON_DEMAND) for each in types
    }
    fees = {
        each: prices.price(EMR, instanceType=each, productFamily=instance, softwareType=software)
        for each in (types if is_emr else ())
    }
    return {
        "machine_hour": {each: price for each, price in machines.items() if price is not None},
        "emr_hour": {each: price for each, price in fees.items() if price is not None},
    }


def _serverless(prices: _PriceList, cluster: EmrServerless) -> dict[str, Any]:
    cpu = UNITS[cluster.architecture]
    units = {"vcpu_hour": f"{cpu}CPUHours", "gb_hour": f"{cpu}GBHours", "storage_gb_hour": "StorageGBHours"}
    return {key: prices.price(EMR, "SERVERLESS", meterunit=unit) for key, unit in units.items()}


def _spot(storage: Storage, types: tuple[str, ...], on_demand: dict[str, float]) -> dict[str, Any]:
    """Return the highest price of a spot machine in the last day, as a fraction of the on-demand price."""
    ec2 = aws.client("ec2", storage)
    found = aws.pages(
        ec2, "describe_spot_price_history", "SpotPriceHistory", InstanceTypes=list(types),
        ProductDescriptions=["Linux/UNIX"], StartTime=datetime.now(UTC) - timedelta(days=SPOT_DAYS),
    )  # fmt: skip
    fractions = [float(each["SpotPrice"]) / on_demand[each["InstanceType"]] for each in found
                 if each["InstanceType"] in on_demand]  # fmt: skip
    return {"spot_fraction": min(1.0, max(0.001, round(max(fractions), 3)))} if fractions else {}
