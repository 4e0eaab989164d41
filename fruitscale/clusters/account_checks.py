"""Checks the parts of an account that a launch uses: buckets, roles, keys, and the release."""

from __future__ import annotations

from collections.abc import Iterator

from fruitscale.clusters import launch as launches
from fruitscale.clusters.check_results import LaunchCheck, attempt, failed, passed, unknown
from fruitscale.clusters.launch import Launch
from fruitscale.config.cluster_section import Ec2Dask, Emr, EmrServerless
from fruitscale.storage import aws, residency
from fruitscale.uris import parse_s3

ENDED = "TERMINATED"


def find(launch: Launch) -> Iterator[LaunchCheck]:
    """Yield the checks of buckets, keys, roles, and other resources that the config names."""
    cluster = launch.cluster
    yield from _buckets(launch)
    for name, key in (("disk key", cluster.disk_key), ("storage key", launch.config.storage.kms_key)):
        if key is not None:
            yield attempt(name, lambda name=name, key=key: _key(launch, name, key), key)  # type: ignore[misc]
    if isinstance(cluster, EmrServerless):
        yield from _serverless(launch, cluster)
        return
    yield attempt("instance profile", lambda: _profile(launch, cluster), cluster.instance_profile)
    if isinstance(cluster, Emr):
        yield attempt("service role", lambda: _role(launch, "service role", cluster.service_role), cluster.service_role)
        if cluster.security_configuration is None and cluster.disk_key is None:
            yield attempt("disk encryption", lambda: _disks(launch), "disk encryption")
        if cluster.security_configuration is not None:
            yield attempt("security configuration", lambda: _configuration(launch), cluster.security_configuration)
        yield attempt("release", lambda: _release(launch, cluster), cluster.release)


def _serverless(launch: Launch, cluster: EmrServerless) -> Iterator[LaunchCheck]:
    yield attempt(
        "role", lambda: _role(launch, "role", cluster.execution_role), cluster.execution_role.rpartition("/")[2]
    )
    if cluster.application is not None:
        yield attempt("application", lambda: _application(launch, cluster), cluster.application)
    else:
        yield attempt("release", lambda: _release(launch, cluster), cluster.release)


def _buckets(launch: Launch) -> Iterator[LaunchCheck]:
    config, log_uri = launch.config, launch.cluster.log_uri
    uris = [config.input.uri, config.output.uri, launches.staging_uri(config), *([log_uri] if log_uri else [])]
    for bucket in dict.fromkeys(parse_s3(uri).bucket for uri in uris):
        name = f"bucket {bucket}"
        if config.storage.residency == "declared":
            yield unknown(name, f"declared: {config.storage.place}")
            continue
        (verdict,) = residency.verdicts(config.storage, [f"s3://{bucket}"])
        if verdict.problem is not None:
            yield failed(name, verdict.problem, verdict.remedy)
        else:
            yield passed(name, f"in {verdict.region}")


def _key(launch: Launch, name: str, key: str) -> LaunchCheck:
    """Check that a KMS key exists, is enabled, and encrypts."""
    found = aws.ask(aws.client("kms", launch.config.storage), "describe_key", KeyId=key)["KeyMetadata"]
    if found.get("KeyState", "Enabled") != "Enabled":
        return failed(name, f"{key} is {found['KeyState']}", "Enable it, or use another key.")
    kind = found.get("KeySpec", "SYMMETRIC_DEFAULT")
    if kind != "SYMMETRIC_DEFAULT":
        return failed(
            name, f"{key} has the key spec {kind}, which can't encrypt disks or objects", "Use a symmetric key."
        )
    return passed(name, f"{key} is enabled")


def _disks(launch: Launch) -> LaunchCheck:
    """Check that the account encrypts new disks, if nothing else encrypts those of EMR."""
    ec2 = aws.client("ec2", launch.config.storage)
    if aws.ask(ec2, "get_ebs_encryption_by_default")["EbsEncryptionByDefault"]:
        return passed("disk encryption", "the account encrypts new disks by default")
    return failed(
        "disk encryption",
        "cluster.disk_key is not set, and the account does not encrypt new disks by default",
        "Set it to the ARN of a KMS key, or run: aws ec2 enable-ebs-encryption-by-default",
    )


def _role(launch: Launch, check: str, name: str) -> LaunchCheck:
    found = aws.ask(aws.client("iam", launch.config.storage), "get_role", RoleName=name.rpartition("/")[2])["Role"]
    return _elsewhere(check, name, found["Arn"]) or passed(check, found["Arn"])


def _elsewhere(check: str, given: str, found: str) -> LaunchCheck | None:
    """Return the failed check of an ARN in another account than that of the same name in the launch's account."""
    account = found.split(":")[4]
    if not given.startswith("arn:") or given.split(":")[4] == account:
        return None
    return failed(check, f"{given} is in another account than the launch, {account}", f"Use one in {account}.")


def _profile(launch: Launch, cluster: Emr | Ec2Dask) -> LaunchCheck:
    name, check = cluster.instance_profile.rpartition("/")[2], "instance profile"
    iam = aws.client("iam", launch.config.storage)
    profile = aws.ask(iam, "get_instance_profile", InstanceProfileName=name)["InstanceProfile"]
    if elsewhere := _elsewhere(check, cluster.instance_profile, profile["Arn"]):
        return elsewhere
    roles = profile["Roles"]
    if not roles:
        return failed(check, f"{name} has no role", "Add one: aws iam add-role-to-instance-profile …")
    return passed(check, f"{name} with the role {roles[0]['RoleName']}")


def _configuration(launch: Launch) -> LaunchCheck:
    assert isinstance(launch.cluster, Emr)
    emr = aws.client("emr", launch.config.storage)
    aws.ask(emr, "describe_security_configuration", Name=launch.cluster.security_configuration)
    return passed("security configuration", f"{launch.cluster.security_configuration} exists")


def _release(launch: Launch, cluster: Emr | EmrServerless) -> LaunchCheck:
    """Check that the region has a release; EMR Serverless has the same releases as EMR."""
    emr, label = aws.client("emr", launch.config.storage), cluster.release
    labels: list[str] = []
    answer = aws.ask(emr, "list_release_labels", Filters={"Prefix": label})
    labels += answer.get("ReleaseLabels", [])
    while answer.get("NextToken"):
        answer = aws.ask(emr, "list_release_labels", Filters={"Prefix": label}, NextToken=answer["NextToken"])
        labels += answer.get("ReleaseLabels", [])
    if label not in labels:
        return failed(
            "release",
            f"{launch.region} has no release {label}",
            f"See: aws emr list-release-labels --region {launch.region}",
        )
    return passed("release", label)


def _application(launch: Launch, cluster: EmrServerless) -> LaunchCheck:
    """Check that an application of your own runs Spark, on the CPU architecture that the packages are built for."""
    serverless = aws.client("emr-serverless", launch.config.storage)
    found = aws.ask(serverless, "get_application", applicationId=cluster.application)["application"]
    wanted = "ARM64" if cluster.architecture == "aarch64" else "X86_64"
    problems = [
        *([f"is {found['state'].lower()}"] if found["state"] == ENDED else []),
        *([f"runs {found['type']}, not Spark"] if found["type"].upper() != "SPARK" else []),
        *([f"is {found['architecture']}, but cluster.architecture is {cluster.architecture}"]
          if found.get("architecture", wanted) != wanted else []),
    ]  # fmt: skip
    if problems:
        return failed(
            "application", f"{cluster.application} {', and '.join(problems)}", "Use another application, or null."
        )
    return passed("application", f"{cluster.application}, {found['releaseLabel']}")
