"""What a cluster's settings tell an audit. What they don't say can't be checked."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, fields
from typing import Any, Protocol, runtime_checkable

from fruitscale.gdpr.findings import AuditFinding, AuditVerdict, ControlResult, command
from fruitscale.gdpr.services import Services, UnansweredError, ask

MOST_HOURS = 24 * 7
"""A machine that may live longer is not one for a run."""


@dataclass(frozen=True)
class ClusterFacts:
    """A cluster as an audit sees it; None where its settings don't say.

    `roles` are the names or ARNs of those that touch photos, `instance_profiles` what has such roles in it;
    `public_addresses` tells whether machines have any, `inbound` whether anything outside may connect to them.
    """

    kind: str | None = None
    region: str | None = None
    log_uri: str | None = None
    roles: tuple[str, ...] = ()
    instance_profiles: tuple[str, ...] = ()
    subnets: tuple[str, ...] = ()
    disks_encrypted: bool | None = None
    transit_encrypted: bool | None = None
    public_addresses: bool | None = None
    inbound: bool | None = None
    imdsv2: bool | None = None
    max_hours: float | None = None


@runtime_checkable
class Auditable(Protocol):
    """Settings of a cluster that know what an audit asks."""

    def audit_facts(self) -> ClusterFacts:
        """Return what they say."""
        ...


def facts_of(cluster: object) -> ClusterFacts | None:
    """Return what a config's `cluster` tells: its own account, or its keys of the names of Facts; None for none."""
    if cluster is None:
        return None
    if isinstance(cluster, Auditable):
        return cluster.audit_facts()
    told: dict[str, Any] = {each.name: _read(cluster, each.name) for each in fields(ClusterFacts)}
    for name in ("roles", "instance_profiles", "subnets"):
        told[name] = (told[name],) if isinstance(told[name], str) else tuple(told[name] or ())
    return ClusterFacts(**told)


def _read(cluster: object, name: str) -> Any:  # noqa: ANN401  it is whatever the settings have
    return cluster.get(name) if isinstance(cluster, Mapping) else getattr(cluster, name, None)


@dataclass(frozen=True)
class _ExpectedFact:
    """How one fact should be."""

    name: str
    setting: str
    is_good: Callable[[object], bool]
    good: str
    bad: str
    articles: tuple[str, ...]
    references: tuple[str, ...]


def _is(wanted: object) -> Callable[[object], bool]:
    return lambda value: value is wanted


def _is_short(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 < value <= MOST_HOURS


_WANTED = (
    _ExpectedFact(
        "disks_encrypted", "disks", _is(True), "encrypted", "not encrypted", ("32(1)(a)",), ("EMR.3", "EC2.3"),
    ),
    _ExpectedFact(
        "transit_encrypted", "between machines", _is(True), "TLS", "nothing is encrypted", ("32(1)(a)",), ("EMR.4",),
    ),
    _ExpectedFact(
        "public_addresses", "addresses", _is(False), "private ones only", "machines have public ones",
        ("32(1)(b)",), ("EMR.1", "EC2.9"),
    ),
    _ExpectedFact(
        "inbound", "connections from outside", _is(False), "none are let in", "some are let in", ("32(1)(b)",),
        ("EMR.2", "EC2.18"),
    ),
    _ExpectedFact(
        "imdsv2", "instance metadata", _is(True), "IMDSv2 is required", "version 1 answers too", ("32(1)(b)",),
        ("EC2.8",),
    ),
    _ExpectedFact(
        "max_hours", "lifetime", _is_short, "it ends by itself", f"no end, or one after more than {MOST_HOURS} hours",
        ("5(1)(e)",), (),
    ),
)  # fmt: skip


def find(facts: ClusterFacts, services: Services) -> Iterator[AuditFinding]:
    """Judge a cluster's settings; what they don't say of the network, EC2 and EMR are asked."""
    subject, storage = f"cluster ({facts.kind or 'of no kind'})", services.storage
    where = facts.region or storage.region
    placed = (
        AuditVerdict.UNKNOWN
        if where is None
        else AuditVerdict.PASS
        if where in storage.allowed_regions
        else AuditVerdict.FAIL
    )
    yield AuditFinding(subject, "region", placed, where or "not said", ("44",))
    for wanted in _WANTED:
        answer = _judge(wanted, getattr(facts, wanted.name))
        if answer.verdict is AuditVerdict.UNKNOWN and wanted.name in _ASKED:
            answer = _ASKED[wanted.name](facts, services) or answer
        told = (answer.verdict, answer.found, wanted.articles, wanted.references, answer.mend)
        yield AuditFinding(subject, wanted.setting, *told)


def _judge(wanted: _ExpectedFact, value: object) -> ControlResult:
    if value is None:
        return ControlResult(AuditVerdict.UNKNOWN, f"the cluster's settings don't say ({wanted.name})")
    if wanted.is_good(value):
        return ControlResult(AuditVerdict.PASS, wanted.good)
    return ControlResult(AuditVerdict.FAIL, wanted.bad)


def _addresses(facts: ClusterFacts, services: Services) -> ControlResult | None:
    """Ask the subnets whether they give machines public addresses."""
    if not facts.subnets:
        return None
    look = command("ec2", "describe-subnets", "--subnet-ids", *facts.subnets)
    try:
        told = ask(services.other("ec2", facts.region).describe_subnets, SubnetIds=list(facts.subnets))
    except UnansweredError as reason:
        return ControlResult(AuditVerdict.UNKNOWN, f"{reason}; ec2:DescribeSubnets is needed", look)
    public = [each["SubnetId"] for each in (told or {})["Subnets"] if each.get("MapPublicIpOnLaunch")]
    if not public:
        return ControlResult(AuditVerdict.PASS, f"the subnets give out none: {', '.join(facts.subnets)}")
    mend = command("ec2", "modify-subnet-attribute", "--subnet-id", public[0], "--no-map-public-ip-on-launch")
    return ControlResult(AuditVerdict.FAIL, f"machines get public ones in {', '.join(public)}", mend)


def _block(facts: ClusterFacts, services: Services) -> ControlResult | None:
    """Ask EMR whether the account refuses clusters whose security groups let the world in."""
    if facts.kind != "emr":
        return None
    try:
        told = ask(services.other("emr", facts.region).get_block_public_access_configuration) or {}
    except UnansweredError as reason:
        look = command("emr", "get-block-public-access-configuration")
        return ControlResult(
            AuditVerdict.UNKNOWN, f"{reason}; elasticmapreduce:GetBlockPublicAccessConfiguration is needed", look
        )
    return judge_block(told.get("BlockPublicAccessConfiguration", {}))


def judge_block(block: Mapping[str, Any]) -> ControlResult | None:
    """Judge EMR's block of public access; None when it says nothing."""
    wanted = json.dumps({BLOCKED: True, RANGES: []})
    mend = command("emr", "put-block-public-access-configuration", "--block-public-access-configuration", wanted)
    if BLOCKED not in block:
        return None
    if not block[BLOCKED]:
        return ControlResult(AuditVerdict.FAIL, "EMR's block of public access is off in this account", mend)
    ports = [f"{each['MinRange']}-{each.get('MaxRange', each['MinRange'])}" for each in block.get(RANGES, ())]
    if ports:
        return ControlResult(
            AuditVerdict.UNKNOWN, f"EMR's block of public access leaves out ports {', '.join(ports)}", mend
        )
    return ControlResult(AuditVerdict.PASS, "EMR refuses clusters that let any in (block of public access)")


BLOCKED, RANGES = "BlockPublicSecurityGroupRules", "PermittedPublicSecurityGroupRuleRanges"
_ASKED: Mapping[str, Callable[[ClusterFacts, Services], ControlResult | None]] = {
    "public_addresses": _addresses,
    "inbound": _block,
}
