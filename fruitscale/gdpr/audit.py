"""Audits a config: every bucket it names, the role of its run, its own settings and its cluster's. Changes nothing."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace

from fruitscale.config.schema import Config
from fruitscale.config.version import __version__
from fruitscale.errors import UsageError
from fruitscale.gdpr import cluster_controls, config_controls, roles
from fruitscale.gdpr.access_controls import ACCESS, log_target
from fruitscale.gdpr.buckets import Bucket, Control, as_json, fails, passes, unknown
from fruitscale.gdpr.cluster_controls import ClusterFacts
from fruitscale.gdpr.findings import Audit, AuditedPlace, AuditFinding, AuditVerdict, ControlResult, command
from fruitscale.gdpr.retention_controls import RETENTION
from fruitscale.gdpr.services import Services, UnansweredError
from fruitscale.storage import residency
from fruitscale.storage.aws import GLOBAL_REGION
from fruitscale.uris import is_s3, parse_s3

CONTROLS: tuple[Control, ...] = (*ACCESS, *RETENTION)
ACCESS_LOGS = "access logs"
USES = ("input", "list", "output", "staging", "logs", ACCESS_LOGS)
REGION, REGION_ARTICLES = "region", ("44", "5(2)")


def audit(config: Config) -> Audit:
    """Look at everything that a run of this config touches, and judge it.

    What can't be looked at is a finding too, of the verdict "could not be checked". Raises UsageError when the config
    doesn't say what to look at.
    """
    described = cluster_controls.facts_of(config.cluster)
    uris = _uris(config, described)
    used, folders = _used(uris), [AuditedPlace(uri, (use,)) for use, uri in uris if not is_s3(uri)]
    services = Services(residency.settle(config.storage)) if used or described else None
    places, findings = list(folders), [_folder(place) for place in folders]
    if services is not None:
        for looked in _look(services, used):
            findings += _judge(looked)
            places.append(looked.place)
        findings += roles.find(services, described, used)
    findings += config_controls.find(config, services)
    if described is not None and services is not None:
        findings += cluster_controls.find(described, services)
    made = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    return Audit(made, __version__, config.gdpr.enforce, tuple(places), tuple(findings))


def _uris(config: Config, described: ClusterFacts | None) -> list[tuple[str, str]]:
    """Return each use with its URI. Raises UsageError when the input or the output isn't set."""
    for use, uri in (("input", config.input.uri), ("output", config.output.uri)):
        if not uri:
            raise UsageError(f"{use}.uri is not set.", f"Say what is audited: --set {use}.uri=s3://bucket/prefix")
    staging = config.storage.staging_uri
    named = [
        ("input", config.input.uri),
        ("list", config.input.list),
        ("output", config.output.uri),
        ("staging", staging),
    ]
    if described is not None:
        named += [("logs", uri) for uri in _log_uris(described, staging)]
    return [(use, uri) for use, uri in named if uri]


def _log_uris(described: ClusterFacts, staging: str | None) -> list[str]:
    """Return where a cluster's logs go, and those of each launch; by default both are in the staging area."""
    if staging is None:
        return [described.log_uri] if described.log_uri else []
    area = staging.rstrip("/")
    return [described.log_uri or f"{area}/logs", f"{area}/runs"]


def _used(uris: list[tuple[str, str]]) -> dict[str, set[tuple[str, str]]]:
    """Return the buckets of the URIs, each with its uses and what their keys begin with."""
    found: dict[str, set[tuple[str, str]]] = {}
    for use, uri in uris:
        if is_s3(uri):
            bucket, prefix = parse_s3(uri)
            under = prefix if use == "list" or not prefix else f"{prefix}/"  # a list is one object
            found.setdefault(bucket, set()).add((use, under))
    return found


@dataclass(frozen=True)
class _LocatedBucket:
    """A bucket, and where the store says that it is."""

    bucket: Bucket
    verdict: residency.BucketVerdict

    @property
    def can_be_asked(self) -> bool:
        """Whether there is a bucket, and it answered at all."""
        return self.verdict.status not in (None, 404)

    @property
    def place(self) -> AuditedPlace:
        """How the audit tells of it."""
        uses = tuple(use for use in USES if use in self.bucket.uses)
        return AuditedPlace(self.bucket.uri, uses, self.bucket.region, _tags(self.bucket) if self.can_be_asked else {})


def _look(services: Services, used: Mapping[str, set[tuple[str, str]]]) -> list[_LocatedBucket]:
    """Return each bucket, those too that access logs go to."""
    logs = next((name for name, places in used.items() if "logs" in dict(places)), None)

    def look(names: Iterable[str]) -> dict[str, _LocatedBucket]:
        told = residency.verdicts(services.storage, [f"s3://{name}" for name in names])
        return {
            each.bucket: _LocatedBucket(
                Bucket(each.bucket, frozenset(used.get(each.bucket, ())), each.region, services, logs), each
            )
            for each in told
        }

    found = look(used)
    for target, prefix in filter(None, map(_target, list(found.values()))):
        there = found.get(target) or look([target])[target]
        places = there.bucket.places | {(ACCESS_LOGS, prefix)}
        found[target] = replace(there, bucket=replace(there.bucket, places=places))
    return list(found.values())


def _tags(bucket: Bucket) -> dict[str, str]:
    with suppress(UnansweredError):
        answer = bucket.ask("get_bucket_tagging", "NoSuchTagSet") or {}
        return {tag["Key"]: tag["Value"] for tag in answer.get("TagSet", ())}
    return {}


def _target(looked: _LocatedBucket) -> tuple[str, str] | None:
    if looked.can_be_asked:
        with suppress(UnansweredError):
            return log_target(looked.bucket)
    return None


def _judge(looked: _LocatedBucket) -> Iterator[AuditFinding]:
    """Yield the findings on one bucket; of one that isn't there, or doesn't answer, that alone."""
    answer = _region(looked.bucket, looked.verdict)
    yield AuditFinding(looked.bucket.uri, REGION, answer.verdict, answer.found, REGION_ARTICLES, (), answer.mend)
    for control in CONTROLS:
        if not control.applies(looked.bucket) or looked.verdict.status == 404:
            continue
        yield control.find(looked.bucket) if looked.can_be_asked else control.unasked(looked.bucket)


def _region(bucket: Bucket, verdict: residency.BucketVerdict) -> ControlResult:
    """Judge where a bucket is by what the store says of it, not by what the config says."""
    storage, region = bucket.services.storage, verdict.region
    if verdict.status == 404:
        return fails("there is no such bucket", _new_bucket(bucket.name, storage.region))
    if storage.residency == "declared" and not bucket.services.is_aws:
        return unknown(f"declared, not checked: {storage.place}")
    if region is None:
        return unknown(verdict.problem or "not said", bucket.aws("head-bucket"))
    if region not in storage.allowed_regions:
        there = next((r for r in (storage.region, *storage.allowed_regions) if r in storage.allowed_regions), None)
        return fails(f"it is in {region}, which is not allowed", _new_bucket(f"{bucket.name}-{there}", there))
    if verdict.problem is not None and storage.residency == "checked":
        return fails(verdict.problem, f"--set storage.region={region}")
    return passes(region)


def _new_bucket(name: str, region: str | None) -> str:
    where = region or GLOBAL_REGION
    place = ["--create-bucket-configuration", as_json({"LocationConstraint": where})] if where != GLOBAL_REGION else []
    return command("s3api", "create-bucket", "--bucket", name, "--region", where, *place)


def _folder(place: AuditedPlace) -> AuditFinding:
    found = "a folder on this machine: where that is, and who reads it, AWS can't tell"
    return AuditFinding(place.uri, REGION, AuditVerdict.UNKNOWN, found, REGION_ARTICLES)
