"""What a cluster's settings tell an audit. What they don't say can't be checked."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, fields
from typing import Any, Protocol, runtime_checkable

from fruitscale.clusters.findings import Finding, Verdict

MOST_HOURS = 24 * 7
"""A machine that may live longer is not one for a run."""


@dataclass(frozen=True)
class Facts:
    """A cluster as an audit sees it; None where its settings don't say.

    `roles` are the names or ARNs of those that touch photos, `instance_profiles` what has such roles in it;
    `public_addresses` tells whether machines have any, `inbound` whether anything outside may connect to them.
    """

    kind: str | None = None
    region: str | None = None
    log_uri: str | None = None
    roles: tuple[str, ...] = ()
    instance_profiles: tuple[str, ...] = ()
    disks_encrypted: bool | None = None
    transit_encrypted: bool | None = None
    public_addresses: bool | None = None
    inbound: bool | None = None
    imdsv2: bool | None = None
    max_hours: float | None = None


@runtime_checkable
class Auditable(Protocol):
    """Settings of a cluster that know what an audit asks."""

    def audit_facts(self) -> Facts:
        """Return what they say."""
        ...


def facts_of(cluster: object) -> Facts | None:
    """Return what a config's `cluster` tells: its own account, or its keys of the names of Facts; None for none."""
    if cluster is None:
        return None
    if isinstance(cluster, Auditable):
        return cluster.audit_facts()
    told: dict[str, Any] = {each.name: _read(cluster, each.name) for each in fields(Facts)}
    for name in ("roles", "instance_profiles"):
        told[name] = (told[name],) if isinstance(told[name], str) else tuple(told[name] or ())
    return Facts(**told)


def _read(cluster: object, name: str) -> Any:  # noqa: ANN401  it is whatever the settings have
    return cluster.get(name) if isinstance(cluster, Mapping) else getattr(cluster, name, None)


@dataclass(frozen=True)
class _Wanted:
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
    _Wanted(
        "disks_encrypted", "disks", _is(True), "encrypted", "not encrypted", ("32(1)(a)",), ("EMR.3", "EC2.3"),
    ),
    _Wanted(
        "transit_encrypted", "between machines", _is(True), "TLS", "nothing is encrypted", ("32(1)(a)",), ("EMR.4",),
    ),
    _Wanted(
        "public_addresses", "addresses", _is(False), "private ones only", "machines have public ones",
        ("32(1)(b)",), ("EMR.1", "EC2.9"),
    ),
    _Wanted(
        "inbound", "connections from outside", _is(False), "none are let in", "some are let in", ("32(1)(b)",),
        ("EMR.2", "EC2.18"),
    ),
    _Wanted(
        "imdsv2", "instance metadata", _is(True), "IMDSv2 is required", "version 1 answers too", ("32(1)(b)",),
        ("EC2.8",),
    ),
    _Wanted(
        "max_hours", "lifetime", _is_short, "it ends by itself", f"no end, or one after more than {MOST_HOURS} hours",
        ("5(1)(e)",), (),
    ),
)  # fmt: skip


def find(facts: Facts, allowed_regions: tuple[str, ...], region: str | None) -> Iterator[Finding]:
    """Judge a cluster's settings; `region` is the storage's, and that of a cluster which says none."""
    subject = f"cluster ({facts.kind or 'of no kind'})"
    where = facts.region or region
    placed = Verdict.UNKNOWN if where is None else Verdict.PASS if where in allowed_regions else Verdict.FAIL
    mend = "" if placed is Verdict.PASS else f"--set storage.region={allowed_regions[0] if allowed_regions else '…'}"
    yield Finding(subject, "region", placed, where or "not said", ("44",), (), mend)
    for wanted in _WANTED:
        value = getattr(facts, wanted.name)
        verdict, found = Verdict.PASS, wanted.good
        if value is None:
            verdict, found = Verdict.UNKNOWN, f"the cluster's settings don't say ({wanted.name})"
        elif not wanted.is_good(value):
            verdict, found = Verdict.FAIL, wanted.bad
        yield Finding(subject, wanted.setting, verdict, found, wanted.articles, wanted.references)
