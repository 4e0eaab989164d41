"""Check a cluster section's facts: region, encryption, network, IMDSv2 and lifetime."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from fruitscale.config.cluster_section import ClusterFacts
from fruitscale.gdpr.findings import AuditFinding, AuditVerdict, ControlResult, command
from fruitscale.gdpr.services import Services, UnansweredError, ask

MOST_HOURS = 24 * 7
"""The longest lifetime that passes: machines of a run are temporary."""


@dataclass(frozen=True)
class _ClusterControl:
    """One control: `value` reads the fact; `inspect` queries AWS where the section does not determine it."""

    setting: str
    value: Callable[[ClusterFacts], bool | float | None]
    is_good: Callable[[bool | float], bool]
    good: str
    bad: str
    articles: tuple[str, ...]
    references: tuple[str, ...] = ()
    inspect: Callable[[ClusterFacts, Services], ControlResult | None] | None = None


def _is(expected: bool) -> Callable[[object], bool]:
    return lambda value: value is expected


def _is_short(hours: float) -> bool:
    return 0 < hours <= MOST_HOURS


def find(facts: ClusterFacts, services: Services) -> Iterator[AuditFinding]:
    """Yield a finding per control; EC2 and EMR are queried for network settings that the section leaves open."""
    subject = f"cluster ({facts.kind})"
    yield _region(subject, services)
    for control in _CONTROLS:
        result = _check(control, facts)
        if result.verdict is AuditVerdict.UNKNOWN and control.inspect is not None:
            result = control.inspect(facts, services) or result
        yield AuditFinding(
            subject, control.setting, result.verdict, result.found, control.articles, control.references, result.remedy
        )


def _region(subject: str, services: Services) -> AuditFinding:
    """Check the region that the launchers use: the storage's."""
    region, verdict = services.storage.region, AuditVerdict.UNKNOWN
    if region is not None:
        verdict = AuditVerdict.PASS if region in services.storage.allowed_regions else AuditVerdict.FAIL
    return AuditFinding(subject, "region", verdict, region or "storage.region is not set", ("44",))


def _check(control: _ClusterControl, facts: ClusterFacts) -> ControlResult:
    value = control.value(facts)
    if value is None:
        return ControlResult(AuditVerdict.UNKNOWN, "the cluster section does not determine this")
    if control.is_good(value):
        return ControlResult(AuditVerdict.PASS, control.good)
    return ControlResult(AuditVerdict.FAIL, control.bad)


def _inspect_default_encryption(facts: ClusterFacts, services: Services) -> ControlResult | None:
    """Check whether the account encrypts all new disks, if nothing else encrypts those of the cluster."""
    if not facts.disks_by_default:
        return None
    try:
        response = ask(services.other("ec2").get_ebs_encryption_by_default) or {}
    except UnansweredError as reason:
        text = f"{reason}; ec2:GetEbsEncryptionByDefault is needed"
        return ControlResult(AuditVerdict.UNKNOWN, text, command("ec2", "get-ebs-encryption-by-default"))
    if response.get("EbsEncryptionByDefault"):
        return ControlResult(AuditVerdict.PASS, "the account encrypts all new disks, with a key that AWS manages")
    remedy = command("ec2", "enable-ebs-encryption-by-default")
    return ControlResult(AuditVerdict.FAIL, "not encrypted: cluster.disk_key is not set", remedy)


def _inspect_subnets(facts: ClusterFacts, services: Services) -> ControlResult | None:
    """Check whether the subnets assign public addresses to machines; None without subnets."""
    if not facts.subnets:
        return None
    inspect_command = command("ec2", "describe-subnets", "--subnet-ids", *facts.subnets)
    try:
        response = ask(services.other("ec2").describe_subnets, SubnetIds=list(facts.subnets))
    except UnansweredError as reason:
        return ControlResult(AuditVerdict.UNKNOWN, f"{reason}; ec2:DescribeSubnets is needed", inspect_command)
    public = [each["SubnetId"] for each in (response or {})["Subnets"] if each.get("MapPublicIpOnLaunch")]
    if not public:
        return ControlResult(AuditVerdict.PASS, f"the subnets assign none: {', '.join(facts.subnets)}")
    remedy = command("ec2", "modify-subnet-attribute", "--subnet-id", public[0], "--no-map-public-ip-on-launch")
    return ControlResult(AuditVerdict.FAIL, f"public ones are assigned in {', '.join(public)}", remedy)


def _inspect_public_access_block(facts: ClusterFacts, services: Services) -> ControlResult | None:
    """Check whether EMR refuses clusters whose security groups are open to the internet; None for other kinds."""
    if facts.kind != "emr":
        return None
    try:
        response = ask(services.other("emr").get_block_public_access_configuration) or {}
    except UnansweredError as reason:
        inspect_command = command("emr", "get-block-public-access-configuration")
        return ControlResult(
            AuditVerdict.UNKNOWN,
            f"{reason}; elasticmapreduce:GetBlockPublicAccessConfiguration is needed",
            inspect_command,
        )
    return check_block(response.get("BlockPublicAccessConfiguration", {}))


def check_block(block: Mapping[str, Any]) -> ControlResult | None:
    """Check EMR's block of public access; None if it is not configured."""
    blocked = json.dumps({BLOCKED: True, RANGES: []})
    remedy = command("emr", "put-block-public-access-configuration", "--block-public-access-configuration", blocked)
    if BLOCKED not in block:
        return None
    if not block[BLOCKED]:
        return ControlResult(AuditVerdict.FAIL, "EMR's block of public access is off in this account", remedy)
    ports = [f"{each['MinRange']}-{each.get('MaxRange', each['MinRange'])}" for each in block.get(RANGES, ())]
    if ports:
        return ControlResult(
            AuditVerdict.UNKNOWN, f"EMR's block of public access excludes ports {', '.join(ports)}", remedy
        )
    return ControlResult(
        AuditVerdict.PASS, "EMR refuses clusters that are open to the internet (block of public access)"
    )


BLOCKED, RANGES = "BlockPublicSecurityGroupRules", "PermittedPublicSecurityGroupRuleRanges"

_CONTROLS = (
    _ClusterControl(
        "disks", lambda facts: facts.disks_encrypted, _is(True), "encrypted", "not encrypted",
        ("32(1)(a)",), ("EMR.3", "EC2.3"), _inspect_default_encryption,
    ),
    _ClusterControl(
        "between machines", lambda facts: facts.transit_encrypted, _is(True), "TLS", "traffic is not encrypted",
        ("32(1)(a)",), ("EMR.4",),
    ),
    _ClusterControl(
        "addresses", lambda facts: facts.public_addresses, _is(False), "private only", "machines have public ones",
        ("32(1)(b)",), ("EMR.1", "EC2.9"), _inspect_subnets,
    ),
    _ClusterControl(
        "connections from outside", lambda facts: facts.inbound, _is(False), "none are allowed", "some are allowed",
        ("32(1)(b)",), ("EMR.2", "EC2.18"), _inspect_public_access_block,
    ),
    _ClusterControl(
        "instance metadata", lambda facts: facts.imdsv2, _is(True), "IMDSv2 is required", "IMDSv1 is enabled",
        ("32(1)(b)",), ("EC2.8",),
    ),
    _ClusterControl(
        "lifetime", lambda facts: facts.max_hours, _is_short, "terminated automatically",
        f"not limited to {MOST_HOURS} hours", ("5(1)(e)",),
    ),
)  # fmt: skip
