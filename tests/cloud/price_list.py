"""A price list in the form in which AWS documents GetProducts' answers; botocore's own example has the same."""

from __future__ import annotations

import json
from typing import Any

REGION_NAMES = {"eu-west-3": "EU (Paris)", "us-east-1": "US East (N. Virginia)"}
PAGE = 2
"""Products per page: AWS has up to 100."""


def product(service: str, family: str, usage: str, prices: list[str], region: str = "eu-west-3", **more: str) -> str:
    """Return a product; several prices are the steps of one."""
    sku = f"{abs(hash((service, usage, region, *more.values()))):016X}"[:16]
    dimensions = {
        f"{sku}.JRTCKXETXF.{step}": {
            "unit": "Hrs", "beginRange": str(step), "endRange": "Inf", "description": f"${price}", "appliesTo": [],
            "rateCode": f"{sku}.JRTCKXETXF.{step}", "pricePerUnit": {"USD": price},
        }
        for step, price in enumerate(prices)
    }  # fmt: skip
    term = {
        "priceDimensions": dimensions, "sku": sku, "effectiveDate": "2026-01-01T00:00:00Z", "offerTermCode": "JRTCKXETXF",
        "termAttributes": {},
    }  # fmt: skip
    attributes = {
        "servicecode": service, "usagetype": usage, "location": REGION_NAMES[region], "locationType": "AWS Region",
        "regionCode": region, "operation": "", **more,
    }  # fmt: skip
    return json.dumps(
        {
            "product": {"productFamily": family, "attributes": attributes, "sku": sku},
            "serviceCode": service,
            "terms": {"OnDemand": {f"{sku}.JRTCKXETXF": term}},
            "version": "20260101000000",
            "publicationDate": "2026-01-01T00:00:00Z",
        }
    )


def _machine(name: str, price: str, fee: str, region: str = "eu-west-3") -> list[str]:
    compute, prefix = "Compute Instance", "EUW3-" if region == "eu-west-3" else ""
    linux = {"instanceType": name, "operatingSystem": "Linux", "tenancy": "Shared", "preInstalledSw": "NA"}
    return [
        product("AmazonEC2", compute, f"{prefix}BoxUsage:{name}", [price], region, capacitystatus="Used", **linux),
        product("AmazonEC2", compute, f"{prefix}UnusedBox:{name}", [price], region, capacitystatus="Unused", **linux),
        product("AmazonEC2", compute, f"{prefix}BoxUsage:{name}", ["9.9"], region, capacitystatus="Used",
                **{**linux, "operatingSystem": "Windows"}),
        product("ElasticMapReduce", "Elastic Map Reduce Instance", f"{prefix}BoxUsage:{name}", [fee], region,
                instanceType=name, softwareType="EMR"),
        product("ElasticMapReduce", "Elastic Map Reduce Instance", f"{prefix}BoxUsage:{name}", ["8.8"], region,
                instanceType=name, softwareType="EMR with MapR M5"),
    ]  # fmt: skip


PRODUCTS = [
    *_machine("m6i.xlarge", "0.2240000000", "0.0480000000"),
    *_machine("c6i.2xlarge", "0.4040000000", "0.0850000000"),
    *_machine("c6i.2xlarge", "0.3400000000", "0.0850000000", "us-east-1"),
    product("AmazonEC2", "Storage", "EUW3-EBS:VolumeUsage.gp3", ["0.0928"], volumeApiName="gp3"),
    product("AmazonEC2", "Storage", "EUW3-EBS:VolumeUsage.gp2", ["0.116"], volumeApiName="gp2"),
    product("awskms", "Encryption Key", "eu-west-3-KMS-Keys", ["1.0000000000"]),
    product("awskms", "API Request", "eu-west-3-KMS-Requests", ["0.0000000000", "0.0000030000"]),
    product("awskms", "API Request", "eu-west-3-KMS-Requests-Asymmetric", ["0.0000150000"]),
    product("AmazonS3", "API Request", "EUW3-Requests-Tier2", ["0.0000004200"], group="S3-API-Tier2"),
    product("AmazonS3", "API Request", "EUW3-Requests-Tier1", ["0.0000053000"], group="S3-API-Tier1"),
    *(
        product("ElasticMapReduce", "EMR Serverless", f"EUW3-EMR-SERVERLESS-{unit}", [price], meterunit=unit)
        for unit, price in (
            ("CPUHours", "0.06318"), ("GBHours", "0.00689"), ("StorageGBHours", "0.000129"), ("ARMCPUHours", "0.0505"),
            ("ARMGBHours", "0.0055"),
        )
    ),
    product("ElasticMapReduce", "EMR Containers", "EUW3-EMR-EKS-EC2-vCPU-Hrs", ["0.011"], meterunit="CPUHours"),
]  # fmt: skip


def answer(said: dict[str, Any]) -> dict[str, Any]:
    """Return a page of the products that match a request."""
    fitting = [each for each in PRODUCTS if _fits(json.loads(each), said)]
    start = int(said.get("NextToken", "0"))
    more = {"NextToken": str(start + PAGE)} if start + PAGE < len(fitting) else {}
    return {"FormatVersion": "aws_v1", "PriceList": fitting[start : start + PAGE], **more}


def _fits(each: dict[str, Any], said: dict[str, Any]) -> bool:
    values = {**each["product"]["attributes"], "productFamily": each["product"]["productFamily"]}
    wanted = {filter_["Field"]: filter_["Value"] for filter_ in said["Filters"]}
    return each["serviceCode"] == said["ServiceCode"] and all(values.get(k) == v for k, v in wanted.items())
