"""Check the config's own settings: regions, residency, encryption and hashed paths."""

from __future__ import annotations

from collections.abc import Iterator
from urllib.parse import urlsplit

from fruitscale.config.schema import EU_REGIONS, Config, Storage
from fruitscale.gdpr import access_controls
from fruitscale.gdpr.buckets import fails, passes, unknown
from fruitscale.gdpr.findings import AuditFinding, ControlResult
from fruitscale.gdpr.services import Services, UnansweredError, ask

SUBJECT = "config"
LOOPBACK = ("127.0.0.1", "::1", "localhost")


def find(config: Config, services: Services | None) -> Iterator[AuditFinding]:
    """Yield the findings on the config; `services` is None if nothing in it is on S3."""
    if services is not None:
        storage = services.storage
        yield _finding("region", _region(storage), "44")
        yield _finding("allowed regions", _allowed(storage), "44", "45", "46")
        yield _finding("residency", _residency(storage), "44", "5(2)")
        yield _finding("endpoint", _endpoint(storage), "32(1)(a)")
        yield _finding("requested encryption", _encryption(storage, services), "32(1)(a)")
    yield _finding("names of photos", _paths(config), "5(1)(c)", "25", "32(1)(a)")


def _finding(setting: str, answer: ControlResult, *articles: str) -> AuditFinding:
    return AuditFinding(SUBJECT, setting, answer.verdict, answer.found, articles, (), answer.remedy)


def _region(storage: Storage) -> ControlResult:
    if storage.region in storage.allowed_regions:
        return passes(f"storage.region: {storage.region}")
    allowed = ", ".join(storage.allowed_regions)
    return fails(f"storage.region: {storage.region} is not one of {allowed}", f"--set storage.region={EU_REGIONS[0]}")


def _allowed(storage: Storage) -> ControlResult:
    outside = [region for region in storage.allowed_regions if region not in EU_REGIONS]
    if not outside:
        return passes("storage.allowed_regions: all of them are in the EU")
    return unknown(
        f"storage.allowed_regions: {', '.join(outside)} is not in the EU; a person must check for an adequacy "
        "decision (article 45) or safeguards (article 46)",
        f"--set storage.allowed_regions=[{','.join(r for r in storage.allowed_regions if r not in outside)}]",
    )


def _residency(storage: Storage) -> ControlResult:
    if storage.residency == "checked":
        return passes("storage.residency: checked, before anything is read")
    return unknown(f"storage.residency: declared ({storage.place})", "--set storage.residency=checked")


def _endpoint(storage: Storage) -> ControlResult:
    if storage.endpoint is None:
        return passes("AWS's own, with TLS")
    parts = urlsplit(storage.endpoint)
    if parts.scheme == "https":
        return passes(f"{storage.endpoint}, with TLS")
    if parts.hostname in LOOPBACK:
        return passes(f"{storage.endpoint} never leaves this machine")
    return fails(f"{storage.endpoint} is not encrypted", f"--set storage.endpoint=https://{parts.netloc}")


def _encryption(storage: Storage, services: Services) -> ControlResult:
    if storage.encryption is None:
        return unknown(
            "storage.encryption: null, so the buckets' default encryption applies",
            "--set storage.encryption=sse-s3",
        )
    if storage.encryption == "sse-s3" or storage.kms_key is None:
        return passes(f"storage.encryption: {storage.encryption}, with AWS's own key")
    try:
        described = ask(services.other("kms").describe_key, KeyId=storage.kms_key)
    except UnansweredError as reason:
        return unknown(f"storage.kms_key: {storage.kms_key}: {reason}; kms:DescribeKey is needed")
    assert described is not None
    return access_controls.check_key(described["KeyMetadata"], storage.allowed_regions, "--set storage.kms_key=…")


def _paths(config: Config) -> ControlResult:
    if config.output.paths == "hashed":
        return passes("output.paths: hashed")
    return unknown(
        "output.paths: plain repeats the photos' paths in every table; a person must check whether they "
        "identify anyone",
        "--set output.paths=hashed",
    )
