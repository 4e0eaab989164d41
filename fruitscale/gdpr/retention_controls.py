"""Controls on how long a bucket keeps data: old versions, delete markers, Object Lock and logs."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, TypeAlias

from fruitscale.gdpr.buckets import LOGS, PHOTOS, Bucket, Control, fails, passes, rules
from fruitscale.gdpr.findings import ControlResult

Rule: TypeAlias = dict[str, Any]
ERASED_WITHIN_DAYS = 30
"""Erasure requests must be answered within one month (article 12(3)); old versions must be gone by then."""
LOGS_DAYS = 90
"""Retention of logs in the rule that the audit proposes."""
NO_LIFECYCLE = "NoSuchLifecycleConfiguration"
NO_LOCK = "ObjectLockConfigurationNotFoundError"
ERASURE_RULE, LOGS_RULE = "fruitscale-erasure", "fruitscale-logs"
"""Ids of the rules that the audit proposes, one rule per prefix in the config."""


def old_versions(bucket: Bucket) -> ControlResult:
    """Check that overwritten and deleted objects expire within a month."""
    status = _versioning(bucket)
    if status is None:
        return passes("the bucket keeps no versions")
    lifecycle, prefixes = _lifecycle(bucket), bucket.prefixes(PHOTOS | LOGS)
    if all(_by_prefix(prefixes, lifecycle, ends_old_versions)):
        return passes(f"versioning is {status.lower()}, old versions expire within {ERASED_WITHIN_DAYS} days")
    return fails(
        f"versioning is {status.lower()}, and no rule expires all old versions within {ERASED_WITHIN_DAYS} days: "
        "deleted photos can be restored",
        _with_rules(bucket, lifecycle, ERASURE_RULE, erasure_rule(), prefixes),
    )


def delete_markers(bucket: Bucket) -> ControlResult:
    """Check that delete markers, which hold the object's name, are removed."""
    if _versioning(bucket) is None:
        return passes("the bucket keeps no versions")
    lifecycle, prefixes = _lifecycle(bucket), bucket.prefixes(PHOTOS)
    if all(_by_prefix(prefixes, lifecycle, ends_markers)):
        return passes("markers are removed with the last version")
    return fails(
        "delete markers stay, and they contain the photos' names",
        _with_rules(bucket, lifecycle, ERASURE_RULE, erasure_rule(), prefixes),
    )


def object_lock(bucket: Bucket) -> ControlResult:
    """Check that new objects are not locked against erasure."""
    answer = bucket.ask("get_object_lock_configuration", NO_LOCK) or {}
    default = answer.get("ObjectLockConfiguration", {}).get("Rule", {}).get("DefaultRetention")
    if not default:
        return passes("new objects are not locked")
    how_long = f"{default['Days']} days" if "Days" in default else f"{default.get('Years')} years"
    remedy = bucket.aws("put-object-lock-configuration", object_lock_configuration={"ObjectLockEnabled": "Enabled"})
    return fails(
        f"new objects are locked for {how_long} ({default.get('Mode', '').lower()}), which blocks erasure", remedy
    )


def logs_end(bucket: Bucket) -> ControlResult:
    """Check that logs, which can name photos and people, expire."""
    lifecycle, prefixes = _lifecycle(bucket), bucket.prefixes(LOGS)
    found = _by_prefix(prefixes, lifecycle, ends_by_age)
    if all(found):
        return passes(f"they expire after {max(min(map(_days, rules_of)) for rules_of in found)} days")
    rule = {
        "Expiration": {"Days": LOGS_DAYS},
        "NoncurrentVersionExpiration": {"NoncurrentDays": ERASED_WITHIN_DAYS},
    }
    return fails("no rule expires the logs", _with_rules(bucket, lifecycle, LOGS_RULE, rule, prefixes))


def _versioning(bucket: Bucket) -> str | None:
    status = (bucket.ask("get_bucket_versioning") or {}).get("Status")
    return None if status is None else str(status)


def _lifecycle(bucket: Bucket) -> list[Rule]:
    return rules(bucket.ask("get_bucket_lifecycle_configuration", NO_LIFECYCLE))


def _by_prefix(prefixes: Iterable[str], lifecycle: list[Rule], does: Callable[[Rule], bool]) -> list[list[Rule]]:
    """Return for each prefix the enabled rules that cover it and for which `does` holds."""
    working = [rule for rule in lifecycle if rule.get("Status") == "Enabled" and does(rule)]
    return [[rule for rule in working if covers(rule, prefix)] for prefix in prefixes]


def covers(rule: Rule, prefix: str) -> bool:
    """Return whether a rule covers all objects under a prefix; filters on tags or sizes exclude some."""
    chosen = rule.get("Filter", {})
    if any(key in chosen for key in ("And", "Tag", "ObjectSizeGreaterThan", "ObjectSizeLessThan")):
        return False
    return prefix.startswith(chosen.get("Prefix", rule.get("Prefix", "")))


def ends_old_versions(rule: Rule) -> bool:
    """Return whether a rule expires every old version in time; one that keeps the newest few does not."""
    old = rule.get("NoncurrentVersionExpiration", {})
    return old.get("NoncurrentDays", ERASED_WITHIN_DAYS + 1) <= ERASED_WITHIN_DAYS and not old.get(
        "NewerNoncurrentVersions"
    )


def ends_markers(rule: Rule) -> bool:
    """Return whether a rule removes delete markers, explicitly or by expiring objects by age."""
    return bool(rule.get("Expiration", {}).get("ExpiredObjectDeleteMarker")) or ends_by_age(rule)


def ends_by_age(rule: Rule) -> bool:
    """Return whether a rule expires objects by age."""
    return "Days" in rule.get("Expiration", {})


def _days(rule: Rule) -> int:
    return int(rule["Expiration"]["Days"])


def erasure_rule() -> Rule:
    """Return the actions that expire old versions and then their markers."""
    return {
        "NoncurrentVersionExpiration": {"NoncurrentDays": ERASED_WITHIN_DAYS},
        "Expiration": {"ExpiredObjectDeleteMarker": True},
    }


def _with_rules(bucket: Bucket, lifecycle: list[Rule], name: str, actions: Rule, prefixes: Iterable[str]) -> str:
    """Return the command that adds a rule per prefix; it replaces all rules, so it repeats the existing ones."""
    added = [
        {"ID": f"{name}-{i}", "Status": "Enabled", "Filter": {"Prefix": prefix}} | actions
        for i, prefix in enumerate(prefixes, 1)
    ]
    ours = {rule["ID"] for rule in added}
    kept = [rule for rule in lifecycle if rule.get("ID") not in ours]
    return bucket.aws("put-bucket-lifecycle-configuration", lifecycle_configuration={"Rules": [*kept, *added]})


RETENTION: tuple[Control, ...] = (
    Control(
        "old versions", ("17", "5(1)(e)", "12(3)"), ("S3.10",),
        "s3:GetBucketVersioning and s3:GetLifecycleConfiguration", "get-bucket-lifecycle-configuration", old_versions,
        PHOTOS | LOGS,
    ),
    Control(
        "delete markers", ("17", "5(1)(c)"), (), "s3:GetBucketVersioning and s3:GetLifecycleConfiguration",
        "get-bucket-lifecycle-configuration", delete_markers, PHOTOS,
    ),
    Control(
        "object lock", ("17",), (), "s3:GetBucketObjectLockConfiguration", "get-object-lock-configuration",
        object_lock, PHOTOS,
    ),
    Control(
        "retention of logs", ("5(1)(e)",), ("S3.13",), "s3:GetLifecycleConfiguration",
        "get-bucket-lifecycle-configuration", logs_end, LOGS,
    ),
)  # fmt: skip
