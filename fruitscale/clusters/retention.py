"""What a bucket must be like so that erased is erased, and what is kept is not kept for ever."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from fruitscale.clusters.buckets import LOGS, PHOTOS, Bucket, Control, fails, passes, rules
from fruitscale.clusters.findings import Answer

ERASED_WITHIN_DAYS = 30
"""Who asks for erasure is answered within one month (article 12(3)); old versions must be gone by then."""
LOGS_DAYS = 90
"""How long logs stay, where the audit proposes a rule."""
NO_LIFECYCLE = "NoSuchLifecycleConfiguration"
NO_LOCK = "ObjectLockConfigurationNotFoundError"
ERASURE_RULE, LOGS_RULE = "fruitscale-erasure", "fruitscale-logs"


def old_versions(bucket: Bucket) -> Answer:
    """What was overwritten or deleted is really gone, a month later at most."""
    status = _versioning(bucket)
    if status is None:
        return passes("the bucket keeps no versions")
    lifecycle = _lifecycle(bucket)
    if _each_prefix(bucket, lifecycle, _ends_old_versions):
        return passes(f"versioning is {status.lower()}, old versions end within {ERASED_WITHIN_DAYS} days")
    return fails(
        f"versioning is {status.lower()}, and no rule ends all old versions within {ERASED_WITHIN_DAYS} days: "
        "deleted photos can be had back",
        _with_rule(bucket, lifecycle, _erasure_rule()),
    )


def delete_markers(bucket: Bucket) -> Answer:
    """What is left of a deleted object, its name, goes too."""
    if _versioning(bucket) is None:
        return passes("the bucket keeps no versions")
    lifecycle = _lifecycle(bucket)
    if _each_prefix(bucket, lifecycle, _ends_markers):
        return passes("markers go with the last version")
    return fails(
        "the markers of deleted objects stay, and they have the photos' names",
        _with_rule(bucket, lifecycle, _erasure_rule()),
    )


def object_lock(bucket: Bucket) -> Answer:
    """Nothing is locked against erasure."""
    answer = bucket.ask("get_object_lock_configuration", NO_LOCK) or {}
    default = answer.get("ObjectLockConfiguration", {}).get("Rule", {}).get("DefaultRetention")
    if not default:
        return passes("new objects are not locked")
    how_long = f"{default['Days']} days" if "Days" in default else f"{default.get('Years')} years"
    mend = bucket.aws("put-object-lock-configuration", object_lock_configuration={"ObjectLockEnabled": "Enabled"})
    return fails(f"new objects are locked for {how_long} ({default.get('Mode', '').lower()}), erasure or not", mend)


def logs_end(bucket: Bucket) -> Answer:
    """Logs, which name photos and people, are not kept for ever."""
    lifecycle = _lifecycle(bucket)
    if _each_prefix(bucket, lifecycle, lambda rule: "Days" in rule.get("Expiration", {})):
        days = [rule["Expiration"]["Days"] for rule in lifecycle if "Days" in rule.get("Expiration", {})]
        return passes(f"they end after {max(days)} days at most")
    rule = {
        "ID": LOGS_RULE,
        "Status": "Enabled",
        "Filter": {"Prefix": ""},
        "Expiration": {"Days": LOGS_DAYS},
        "NoncurrentVersionExpiration": {"NoncurrentDays": ERASED_WITHIN_DAYS},
    }
    return fails("no rule ends the logs", _with_rule(bucket, lifecycle, rule))


def _versioning(bucket: Bucket) -> str | None:
    status = (bucket.ask("get_bucket_versioning") or {}).get("Status")
    return None if status is None else str(status)


def _lifecycle(bucket: Bucket) -> list[dict[str, Any]]:
    return rules(bucket.ask("get_bucket_lifecycle_configuration", NO_LIFECYCLE))


def _each_prefix(bucket: Bucket, lifecycle: list[dict[str, Any]], does: Callable[[dict[str, Any]], bool]) -> bool:
    """Tell whether for every prefix that the config uses there is a rule that is on, covers it, and does this."""
    working = [rule for rule in lifecycle if rule.get("Status") == "Enabled" and does(rule)]
    return all(any(_covers(rule, prefix) for rule in working) for prefix in bucket.prefixes)


def _covers(rule: dict[str, Any], prefix: str) -> bool:
    """Tell whether a rule is for all objects under a prefix; tags and sizes leave some out."""
    chosen = rule.get("Filter", {})
    if any(key in chosen for key in ("And", "Tag", "ObjectSizeGreaterThan", "ObjectSizeLessThan")):
        return False
    under = f"{prefix}/" if prefix else ""
    return under.startswith(chosen.get("Prefix", rule.get("Prefix", "")))


def _ends_old_versions(rule: dict[str, Any]) -> bool:
    old = rule.get("NoncurrentVersionExpiration", {})
    return old.get("NoncurrentDays", ERASED_WITHIN_DAYS + 1) <= ERASED_WITHIN_DAYS and not old.get(
        "NewerNoncurrentVersions"
    )


def _ends_markers(rule: dict[str, Any]) -> bool:
    """Tell whether a rule removes markers: it says so, or it ends objects by age, which does it as well."""
    ends = rule.get("Expiration", {})
    return bool(ends.get("ExpiredObjectDeleteMarker")) or "Days" in ends


def _erasure_rule() -> dict[str, Any]:
    return {
        "ID": ERASURE_RULE,
        "Status": "Enabled",
        "Filter": {"Prefix": ""},
        "NoncurrentVersionExpiration": {"NoncurrentDays": ERASED_WITHIN_DAYS},
        "Expiration": {"ExpiredObjectDeleteMarker": True},
    }


def _with_rule(bucket: Bucket, lifecycle: list[dict[str, Any]], rule: dict[str, Any]) -> str:
    """Write the command that adds a rule; the CLI replaces them all, so those that are there are in it."""
    kept = [each for each in lifecycle if each.get("ID") != rule["ID"]]
    return bucket.aws("put-bucket-lifecycle-configuration", lifecycle_configuration={"Rules": [*kept, rule]})


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
