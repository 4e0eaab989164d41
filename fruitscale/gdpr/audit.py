"""Audit a config against the GDPR, read-only: its buckets, the role of the run, its settings and its cluster."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace

from fruitscale.config.cluster_section import ClusterFacts
from fruitscale.config.schema import Config
from fruitscale.config.version import __version__
from fruitscale.errors import UsageError
from fruitscale.gdpr import cluster_controls, config_controls, roles
from fruitscale.gdpr.access_controls import ACCESS, log_target
from fruitscale.gdpr.buckets import Bucket, Control, as_json, fails, passes, unknown
from fruitscale.gdpr.findings import Audit, AuditedPlace, AuditFinding, AuditVerdict, ControlResult, command
from fruitscale.gdpr.retention_controls import RETENTION
from fruitscale.gdpr.services import Services, UnansweredError
from fruitscale.storage import residency
from fruitscale.uris import is_s3, parse_s3

CONTROLS: tuple[Control, ...] = (*ACCESS, *RETENTION)
ACCESS_LOGS = "access logs"
USES = ("input", "list", "output", "staging", "logs", ACCESS_LOGS)
UNCONSTRAINED = "us-east-1"
"""The region where buckets are created without a location constraint."""
REGION, REGION_ARTICLES = "region", ("44", "5(2)")


def audit(config: Config) -> Audit:
    """Check everything that a run of this config touches.

    What can't be inspected gets the verdict "could not be checked". Raises UsageError if input.uri or output.uri is
    not set.
    """
    facts = config.cluster.facts() if config.cluster is not None else None
    uris = _uris(config, facts)
    used, folders = _used(uris), [AuditedPlace(uri, (use,)) for use, uri in uris if not is_s3(uri)]
    services = Services(residency.settle(config.storage)) if used or facts else None
    places, findings = list(folders), [_folder(place) for place in folders]
    if services is not None:
        for located in _locate_buckets(services, used):
            findings += _check_bucket(located)
            places.append(located.place)
        findings += roles.find(services, facts, used)
    findings += config_controls.find(config, services)
    if facts is not None and services is not None:
        findings += cluster_controls.find(facts, services)
    made = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    return Audit(made, __version__, config.gdpr.enforce, tuple(places), tuple(findings))


def _uris(config: Config, facts: ClusterFacts | None) -> list[tuple[str, str]]:
    """Return (use, URI) pairs. Raises UsageError if input.uri or output.uri is not set."""
    for use, uri in (("input", config.input.uri), ("output", config.output.uri)):
        if not uri:
            raise UsageError(f"{use}.uri is not set.", f"Set what to audit: --set {use}.uri=s3://bucket/prefix")
    staging = config.storage.staging_uri
    named = [
        ("input", config.input.uri),
        ("list", config.input.list),
        ("output", config.output.uri),
        ("staging", staging),
    ]
    if facts is not None:
        named += [("logs", uri) for uri in _log_uris(facts, staging)]
    return [(use, uri) for use, uri in named if uri]


def _log_uris(facts: ClusterFacts, staging: str | None) -> list[str]:
    """Return the URIs of the cluster's logs and of the launches' logs; by default both are in the staging area."""
    if staging is None:
        return [facts.log_uri] if facts.log_uri else []
    area = staging.rstrip("/")
    return [facts.log_uri or f"{area}/logs", f"{area}/runs"]


def _used(uris: list[tuple[str, str]]) -> dict[str, set[tuple[str, str]]]:
    """Return the (use, key prefix) pairs of each bucket in the URIs."""
    found: dict[str, set[tuple[str, str]]] = {}
    for use, uri in uris:
        if is_s3(uri):
            bucket, prefix = parse_s3(uri)
            under = prefix if use == "list" or not prefix else f"{prefix}/"  # a list is one object
            found.setdefault(bucket, set()).add((use, under))
    return found


@dataclass(frozen=True)
class _LocatedBucket:
    """A bucket and the region that the store reports for it."""

    bucket: Bucket
    verdict: residency.BucketVerdict

    @property
    def is_reachable(self) -> bool:
        """Whether the bucket exists and the store answered."""
        return self.verdict.status not in (None, 404)

    @property
    def place(self) -> AuditedPlace:
        """The bucket as listed in the audit."""
        uses = tuple(use for use in USES if use in self.bucket.uses)
        return AuditedPlace(self.bucket.uri, uses, self.bucket.region, _tags(self.bucket) if self.is_reachable else {})


def _locate_buckets(services: Services, used: Mapping[str, set[tuple[str, str]]]) -> list[_LocatedBucket]:
    """Return each bucket, including those that receive access logs."""
    logs = next((name for name, places in used.items() if "logs" in dict(places)), None)

    def locate(names: Iterable[str]) -> dict[str, _LocatedBucket]:
        found_regions = residency.verdicts(services.storage, [f"s3://{name}" for name in names])
        return {
            each.bucket: _LocatedBucket(
                Bucket(each.bucket, frozenset(used.get(each.bucket, ())), each.region, services, logs), each
            )
            for each in found_regions
        }

    found = locate(used)
    for target, prefix in filter(None, map(_target, list(found.values()))):
        log_bucket = found.get(target) or locate([target])[target]
        places = log_bucket.bucket.places | {(ACCESS_LOGS, prefix)}
        found[target] = replace(log_bucket, bucket=replace(log_bucket.bucket, places=places))
    return list(found.values())


def _tags(bucket: Bucket) -> dict[str, str]:
    with suppress(UnansweredError):
        answer = bucket.ask("get_bucket_tagging", "NoSuchTagSet") or {}
        return {tag["Key"]: tag["Value"] for tag in answer.get("TagSet", ())}
    return {}


def _target(located: _LocatedBucket) -> tuple[str, str] | None:
    if located.is_reachable:
        with suppress(UnansweredError):
            return log_target(located.bucket)
    return None


def _check_bucket(located: _LocatedBucket) -> Iterator[AuditFinding]:
    """Yield the findings on one bucket; for a missing bucket only the region."""
    answer = _region(located.bucket, located.verdict)
    yield AuditFinding(located.bucket.uri, REGION, answer.verdict, answer.found, REGION_ARTICLES, (), answer.remedy)
    for control in CONTROLS:
        if not control.applies(located.bucket) or located.verdict.status == 404:
            continue
        yield control.find(located.bucket) if located.is_reachable else control.unreachable(located.bucket)


def _region(bucket: Bucket, verdict: residency.BucketVerdict) -> ControlResult:
    """Check a bucket's region as the store reports it, not as the config claims."""
    storage, region = bucket.services.storage, verdict.region
    if verdict.status == 404:
        return fails("the bucket does not exist", _new_bucket(bucket.name, storage.region))
    if storage.residency == "declared" and not bucket.services.is_aws:
        return unknown(f"declared, not checked: {storage.place}")
    if region is None:
        return unknown(verdict.problem or "the store did not report a region", bucket.aws("head-bucket"))
    if region not in storage.allowed_regions:
        target = next((r for r in (storage.region, *storage.allowed_regions) if r in storage.allowed_regions), None)
        return fails(f"it is in {region}, which is not allowed", _new_bucket(f"{bucket.name}-{target}", target))
    if verdict.problem is not None and storage.residency == "checked":
        return fails(verdict.problem, f"--set storage.region={region}")
    return passes(region)


def _new_bucket(name: str, region: str | None) -> str:
    where = region or UNCONSTRAINED
    place = ["--create-bucket-configuration", as_json({"LocationConstraint": where})] if where != UNCONSTRAINED else []
    return command("s3api", "create-bucket", "--bucket", name, "--region", where, *place)


def _folder(place: AuditedPlace) -> AuditFinding:
    found = "a folder on this machine: its location and its readers can't be checked through AWS"
    return AuditFinding(place.uri, REGION, AuditVerdict.UNKNOWN, found, REGION_ARTICLES)
