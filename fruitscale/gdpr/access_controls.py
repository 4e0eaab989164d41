"""Controls on who can read a bucket: public access, encryption, policies, logging and replication."""

from __future__ import annotations

import json
from typing import Any

from fruitscale.gdpr import iam_policies
from fruitscale.gdpr.buckets import LOGS, PHOTOS, Bucket, Control, fails, passes, rules, unknown
from fruitscale.gdpr.findings import ControlResult, command
from fruitscale.gdpr.services import ask
from fruitscale.storage import residency

BLOCKS = ("BlockPublicAcls", "IgnorePublicAcls", "BlockPublicPolicy", "RestrictPublicBuckets")
NO_POLICY = "NoSuchBucketPolicy"
NO_ENCRYPTION = "ServerSideEncryptionConfigurationNotFoundError"
LOG_BUCKET = "YOUR-LOG-BUCKET"


def public_access(bucket: Bucket) -> ControlResult:
    """Check that ACLs and policies can't make the bucket public."""
    answer = bucket.ask("get_public_access_block", "NoSuchPublicAccessBlockConfiguration") or {}
    settings = answer.get("PublicAccessBlockConfiguration", {})
    open_ones = [name for name in BLOCKS if not settings.get(name)]
    if not open_ones:
        return passes("all four settings are on")
    remedy = bucket.aws("put-public-access-block", public_access_block_configuration=dict.fromkeys(BLOCKS, True))
    return fails(f"not on: {', '.join(open_ones)}", remedy)


def ownership(bucket: Bucket) -> ControlResult:
    """Check that ACLs are disabled: they can grant access per object."""
    answer = bucket.ask("get_bucket_ownership_controls", "OwnershipControlsNotFoundError") or {}
    owner = [rule.get("ObjectOwnership") for rule in answer.get("OwnershipControls", {}).get("Rules", ())]
    if owner == ["BucketOwnerEnforced"]:
        return passes("ACLs are off")
    enforced = {"Rules": [{"ObjectOwnership": "BucketOwnerEnforced"}]}
    remedy = bucket.aws("put-bucket-ownership-controls", ownership_controls=enforced)
    return fails(f"objects can have ACLs of their own ({', '.join(map(str, owner)) or 'nothing is set'})", remedy)


def default_encryption(bucket: Bucket) -> ControlResult:
    """Check that new objects are encrypted by default."""
    default = _encryption(bucket)
    if default is None or not default.get("SSEAlgorithm"):
        return fails("there is no default encryption", _encrypt(bucket))
    return passes({"AES256": "SSE-S3", "aws:kms": "SSE-KMS"}.get(default["SSEAlgorithm"], default["SSEAlgorithm"]))


def encryption_key(bucket: Bucket) -> ControlResult:
    """Check that the key and its replicas are in allowed regions, and that it is enabled."""
    default = _encryption(bucket)
    if default is None or not default.get("SSEAlgorithm"):
        return fails("there is no key", _encrypt(bucket))
    key = default.get("KMSMasterKeyID")
    if default["SSEAlgorithm"] == "AES256" or key is None:
        return passes("AWS's own key, which stays in the bucket's region")
    named = _region_of(key)
    if named is not None and named not in bucket.services.storage.allowed_regions:
        return fails(f"{key} is in {named}, which is not allowed", _encrypt(bucket))
    client = bucket.services.other("kms", named or bucket.region)
    described = ask(client.describe_key, KeyId=key)
    assert described is not None
    return check_key(described["KeyMetadata"], bucket.services.storage.allowed_regions, _encrypt(bucket))


def check_key(key: dict[str, Any], allowed: tuple[str, ...], replace: str) -> ControlResult:
    """Check a key's KMS metadata; `replace` is the command that selects another key."""
    arn, multi = key["Arn"], key.get("MultiRegionConfiguration", {})
    region = _region_of(arn) or ""
    copies = [multi.get("PrimaryKey", {}), *multi.get("ReplicaKeys", ())] if key.get("MultiRegion") else []
    elsewhere = sorted(({region} | {copy["Region"] for copy in copies if copy.get("Region")}) - set(allowed))
    if elsewhere:
        return fails(f"{arn} is in {', '.join(elsewhere)} too, which is not allowed", replace)
    if key.get("KeyState", "Enabled") != "Enabled":
        remedy = command("kms", "enable-key", "--key-id", key["KeyId"], "--region", region)
        return fails(f"{arn} is {key['KeyState']}, so nothing can be read", remedy)
    return passes(f"{arn} in {region}")


def tls_only(bucket: Bucket) -> ControlResult:
    """Check that the policy denies every request without TLS."""
    document = _policy(bucket)
    if document is not None and iam_policies.requires_tls(document, bucket.arn):
        return passes("the bucket's policy denies requests without TLS")
    lacking = "the bucket has no policy" if document is None else "the bucket's policy allows requests without TLS"
    return fails(lacking, bucket.aws("put-bucket-policy", policy=iam_policies.with_tls(document, bucket.arn)))


def outside_access(bucket: Bucket) -> ControlResult:
    """Check that the policy grants no access outside the account."""
    document = _policy(bucket)
    if document is None or not iam_policies.outsiders(document, ""):
        return passes("no bucket policy grants access")
    identity = ask(bucket.services.other("sts").get_caller_identity)
    assert identity is not None
    found = iam_policies.outsiders(document, identity["Account"])
    if not found:
        return passes("the bucket's policy grants access to this account only")
    names = ", ".join(dict.fromkeys(each.who for each in found))
    left = iam_policies.without_outsiders(document, identity["Account"])
    remedy = bucket.aws("put-bucket-policy", policy=left) if left["Statement"] else bucket.aws("delete-bucket-policy")
    if any(each.is_everybody and not each.narrowed for each in found):
        return fails(f"the bucket's policy grants access to: {names}", remedy)
    return unknown(f"the bucket's policy grants access to: {names}; a person must check that this is agreed", remedy)


def access_logging(bucket: Bucket) -> ControlResult:
    """Check that access logging is on."""
    target = log_target(bucket)
    if target is not None:
        return passes(f"into s3://{'/'.join(target)}")
    status = {"LoggingEnabled": {"TargetBucket": bucket.logs or LOG_BUCKET, "TargetPrefix": f"{bucket.name}/"}}
    return fails("access logging is off", bucket.aws("put-bucket-logging", bucket_logging_status=status))


def log_target(bucket: Bucket) -> tuple[str, str] | None:
    """Return the bucket that the access logs go to and their prefix, or None. Raises UnansweredError."""
    enabled = (bucket.ask("get_bucket_logging") or {}).get("LoggingEnabled")
    return (enabled["TargetBucket"], enabled.get("TargetPrefix", "")) if enabled else None


def replication(bucket: Bucket) -> ControlResult:
    """Check that objects are replicated to allowed regions only."""
    answer = bucket.ask("get_bucket_replication", "ReplicationConfigurationNotFoundError") or {}
    configured = answer.get("ReplicationConfiguration", {})
    working = [rule for rule in rules(configured) if rule.get("Status") == "Enabled"]
    if not working:
        return passes("nothing is replicated")
    names = sorted({_target(rule) for rule in working})
    regions = {each.bucket: each.region for each in _bucket_regions(bucket, names)}
    targets = ", ".join(f"s3://{name} in {regions[name] or 'an unknown region'}" for name in names)
    allowed = bucket.services.storage.allowed_regions
    if any(region is not None and region not in allowed for region in regions.values()):
        kept = [rule for rule in rules(configured) if regions.get(_target(rule)) in allowed]
        return fails(f"replicated to {targets}", _replicate(bucket, configured, kept))
    if None in regions.values():
        return unknown(f"replicated to {targets}", bucket.aws("get-bucket-replication"))
    return passes(f"replicated to {targets}: erase there too")


def _replicate(bucket: Bucket, configured: dict[str, Any], kept: list[dict[str, Any]]) -> str:
    if not kept:
        return bucket.aws("delete-bucket-replication")
    return bucket.aws("put-bucket-replication", replication_configuration={**configured, "Rules": kept})


def _target(rule: dict[str, Any]) -> str:
    return str(rule["Destination"]["Bucket"]).rsplit(":", 1)[-1]


def _bucket_regions(bucket: Bucket, names: list[str]) -> list[residency.BucketVerdict]:
    return residency.verdicts(bucket.services.storage, [f"s3://{name}" for name in names])


def _policy(bucket: Bucket) -> iam_policies.Document | None:
    answer = bucket.ask("get_bucket_policy", NO_POLICY)
    return None if answer is None else dict(json.loads(answer["Policy"]))


def _encryption(bucket: Bucket) -> dict[str, Any] | None:
    answer = bucket.ask("get_bucket_encryption", NO_ENCRYPTION)
    if answer is None:
        return None
    defaults = [r.get("ApplyServerSideEncryptionByDefault") for r in rules(answer["ServerSideEncryptionConfiguration"])]
    return next((dict(default) for default in defaults if default), None)


def _encrypt(bucket: Bucket) -> str:
    storage = bucket.services.storage
    default = {"SSEAlgorithm": "AES256"}
    if storage.encryption == "sse-kms" and not bucket.uses & LOGS:
        key = {} if storage.kms_key is None else {"KMSMasterKeyID": storage.kms_key}
        default = {"SSEAlgorithm": "aws:kms", **key}
    rule = {"ApplyServerSideEncryptionByDefault": default, "BucketKeyEnabled": default["SSEAlgorithm"] == "aws:kms"}
    return bucket.aws("put-bucket-encryption", server_side_encryption_configuration={"Rules": [rule]})


def _region_of(key: str) -> str | None:
    """Return the region of a key's ARN; None for an ID or alias, which is regional to the request."""
    return key.split(":")[3] if key.startswith("arn:") and key.count(":") >= 5 else None


ACCESS: tuple[Control, ...] = (
    Control(
        "public access", ("5(1)(f)", "32(1)(b)"), ("S3.8",), "s3:GetBucketPublicAccessBlock",
        "get-public-access-block", public_access,
    ),
    Control(
        "object ACLs", ("5(1)(f)", "32(1)(b)"), ("S3.12",), "s3:GetBucketOwnershipControls",
        "get-bucket-ownership-controls", ownership,
    ),
    Control(
        "default encryption", ("32(1)(a)",), ("S3.17",), "s3:GetEncryptionConfiguration", "get-bucket-encryption",
        default_encryption,
    ),
    Control(
        "encryption key", ("32(1)(a)", "44"), ("KMS.3",), "s3:GetEncryptionConfiguration and kms:DescribeKey",
        "get-bucket-encryption", encryption_key,
    ),
    Control(
        "outside access", ("28", "32(1)(b)"), ("S3.6",), "s3:GetBucketPolicy", "get-bucket-policy", outside_access,
    ),
    Control("TLS only", ("32(1)(a)",), ("S3.5",), "s3:GetBucketPolicy", "get-bucket-policy", tls_only),
    Control(
        "access logging", ("5(2)", "32(1)(d)", "33"), ("S3.9",), "s3:GetBucketLogging", "get-bucket-logging",
        access_logging, PHOTOS | {"staging"},
    ),
    Control(
        "replication", ("17", "44"), (), "s3:GetReplicationConfiguration", "get-bucket-replication", replication,
    ),
)  # fmt: skip
