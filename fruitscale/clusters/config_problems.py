"""Finds what keeps a config from being launched and can be checked without AWS: missing keys, impossible values."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator

from fruitscale.clusters import identifier_problems, wheels
from fruitscale.clusters.check_results import ConfigProblem
from fruitscale.clusters.executor_sizes import largest_gb, worker_gb
from fruitscale.clusters.identifier_problems import machines_region
from fruitscale.config.cluster_section import Ec2Dask, Emr, EmrServerless
from fruitscale.config.schema import Config
from fruitscale.errors import UsageError
from fruitscale.storage import residency
from fruitscale.uris import is_inside, is_s3

ENGINES = {"emr": "spark", "emr-serverless": "spark", "ec2-dask": "dask"}
OLDEST = {"emr-": (7, 0, 0), "emr-spark-": (8, 0, 0)}
"""The first releases on Amazon Linux 2023, for which the locked packages are made, with Python 3.11."""
RELEASE = re.compile(r"(emr-spark-|emr-)(\d+)\.(\d+)\.(\d+)")
ROLE = re.compile(r"arn:[\w-]+:iam::\d{12}:role/[\w+=,.@/-]+")
PROFILE = re.compile(r"arn:[\w-]+:iam::\d{12}:instance-profile/[\w+=,.@/-]+")
NAME = re.compile(r"[\w+=,.@-]+")
IMAGE = re.compile(r"\d{12}\.dkr\.ecr\.([\w-]+)\.[\w.]+/[\w./-]+(:[\w.-]+|@sha256:[0-9a-f]{64})?")
START_MINUTES = {"emr": 15, "emr-serverless": 5, "ec2-dask": 5}
"""The shortest lifetimes that leave time for work: EMR takes about ten minutes to start a cluster.

Dask's driver also waits up to cluster.boot_minutes for its workers.
"""
SIZES = {
    "spark.executor.cores": "executor_cores",
    "spark.executor.memory": "executor_memory_mb",
    "spark.executor.memoryOverhead": "python_mb",
}
"""Spark's settings of an executor's size, and the keys of the cluster section from which the launch makes them."""
MOST_TYPES = 30
"""EMR's limit of machine types per instance fleet."""
TAG = re.compile(r"[\w\s.:/=+@-]*")
SERVERLESS_TAG = re.compile(r"[A-Za-z0-9 /_.:=+@-]*")
"""What tags may contain: letters of any language, except in EMR Serverless."""
MOST_TAGS = 40
"""AWS allows 50 tags per resource; ours and EMR's own take the rest."""


def check(config: Config) -> None:
    """Raise UsageError with everything that keeps a config with a cluster from being launched."""
    problems = list(find(config))
    if len(problems) == 1:
        raise UsageError(problems[0].found, problems[0].remedy)
    if problems:
        lines = "".join(f"\n  {problem.found} {problem.remedy}" for problem in problems)
        raise UsageError(f"{len(problems)} settings keep this config from being launched:{lines}")


def find(config: Config) -> Iterator[ConfigProblem]:
    """Yield what is missing first, then what can't work."""
    cluster = config.cluster
    assert cluster is not None
    yield from _missing(config)
    yield from _places(config)
    yield from _contradictions(config)
    yield from identifier_problems.find(config)
    yield from _contents(config)
    yield from _common(config)
    yield from _lock(cluster.requirements)
    if isinstance(cluster, Emr):
        yield from _emr(cluster)
    elif isinstance(cluster, EmrServerless):
        yield from _serverless(cluster, machines_region(config))
    else:
        yield from _dask(cluster)


def uris(config: Config) -> dict[str, str]:
    """Return the URIs that the machines read and write, by config key, without those that are not set."""
    found = {
        "input.uri": config.input.uri,
        "output.uri": config.output.uri,
        "storage.staging_uri": config.storage.staging_uri,
    }
    found |= {"input.list": config.input.list, "pca.run": config.pca.run}
    found |= {f"input.new_since[{index}]": run for index, run in enumerate(config.input.new_since)}
    return {key: uri for key, uri in found.items() if uri}


def _missing(config: Config) -> Iterator[ConfigProblem]:
    cluster, storage = config.cluster, config.storage
    for key, uri in (("input", config.input.uri), ("output", config.output.uri)):
        if not uri:
            yield ConfigProblem(
                f"{key}.uri is not set.", f"Set it in the config, or with --set {key}.uri=s3://bucket/prefix."
            )
    if storage.staging_uri is None:
        yield ConfigProblem(
            "storage.staging_uri is not set: the machines of a cluster install from there.",
            "Set it to s3://bucket/prefix.",
        )
    try:
        residency.settle(storage)
    except UsageError as error:
        yield ConfigProblem(error.message, error.hint or "")
    if not isinstance(cluster, EmrServerless) and not (cluster and cluster.subnets):
        yield ConfigProblem("cluster.subnets is not set.", "List private subnets that can reach S3.")
    if isinstance(cluster, EmrServerless) and not cluster.execution_role:
        yield ConfigProblem("cluster.execution_role is not set.", "Set it to the ARN of the role of the run.")
    if isinstance(cluster, EmrServerless) and bool(cluster.subnets) != bool(cluster.security_groups):
        yield ConfigProblem("Only one of cluster.subnets and cluster.security_groups is set.", "Set both, or neither.")


def _places(config: Config) -> Iterator[ConfigProblem]:
    cluster = config.cluster
    assert cluster is not None
    for key, uri in {**uris(config), "cluster.log_uri": cluster.log_uri or "s3://-"}.items():
        if not is_s3(uri):
            yield ConfigProblem(
                f"{key} is {uri}, which the machines of a cluster cannot reach.", "Set it to s3://bucket/prefix."
            )
    if config.engine != ENGINES[cluster.kind]:
        yield ConfigProblem(
            f"engine is {config.engine}, but {cluster.kind} runs {ENGINES[cluster.kind]}.",
            f"Set engine: {ENGINES[cluster.kind]}, or choose another cluster.kind.",
        )
    if config.output.paths == "hashed":
        yield ConfigProblem(
            "output.paths: hashed needs a key that only this machine has.",
            "Run without a cluster, or set output.paths: plain.",
        )


def _contradictions(config: Config) -> Iterator[ConfigProblem]:
    """Yield the settings of another cluster, or of Spark, that would replace the launch's own on its machines."""
    cluster, conf = config.cluster, config.spark.conf
    if isinstance(cluster, Ec2Dask):
        if config.dask.scheduler:
            yield ConfigProblem(
                f"dask.scheduler is {config.dask.scheduler}, but the launch starts a scheduler of its own.",
                "Remove dask.scheduler, or the cluster section.",
            )
        return
    master = config.spark.master or conf.get("spark.master")
    if master:
        yield ConfigProblem(
            f"spark.master is {master}, but the launch starts a cluster of its own.",
            "Remove spark.master, or the cluster section.",
        )
    for name, key in SIZES.items():
        if name in conf:
            yield ConfigProblem(
                f"spark.conf sets {name}, which would replace what cluster.{key} asks for.",
                f"Remove it, and set cluster.{key}.",
            )


def _contents(config: Config) -> Iterator[ConfigProblem]:
    """Yield what is named twice, contradicts itself, or would mix what the launch uploads with photos or results."""
    cluster, storage = config.cluster, config.storage
    assert cluster is not None
    lists = {name: getattr(cluster, name, ()) for name in ("subnets", "security_groups", "worker_types")}
    for name, values in lists.items():
        if twice := sorted({value for value in values if values.count(value) > 1}):
            yield ConfigProblem(f"cluster.{name} has {twice[0]} twice.", "List each once.")
    if storage.encryption == "sse-s3" and storage.kms_key:
        yield ConfigProblem(
            "storage.kms_key is set, but storage.encryption is sse-s3, which uses no key of yours.",
            "Set storage.encryption: sse-kms, or remove the key.",
        )
    staging = storage.staging_uri or ""
    for key, uri, contains in (("input.uri", config.input.uri, False), ("output.uri", config.output.uri, True)):
        if staging and uri and (is_inside(uri, staging) or (contains and is_inside(staging, uri))):
            yield ConfigProblem(
                f"storage.staging_uri is {staging}, which overlaps {key}.",
                "Give it a prefix of its own: s3://bucket/prefix.",
            )
    if config.slots != "auto":
        yield ConfigProblem(
            f"slots is {config.slots}, but the machines of a cluster run one task per core.",
            "Set slots: auto, and choose cores by the number and type of the machines.",
        )
    idle, hours = getattr(cluster, "idle_minutes", 0), cluster.max_hours
    if idle > hours * 60:
        yield ConfigProblem(
            f"cluster.idle_minutes is {idle}, longer than cluster.max_hours ({hours:g} h): no cluster ends early.",
            f"Set it to less than {hours * 60:g}.",
        )


def _common(config: Config) -> Iterator[ConfigProblem]:
    cluster = config.cluster
    assert cluster is not None
    minutes, least = cluster.max_hours * 60, START_MINUTES[cluster.kind]
    if isinstance(cluster, Ec2Dask):
        least += cluster.boot_minutes
    if minutes < least:
        yield ConfigProblem(
            f"cluster.max_hours is {cluster.max_hours:g} ({minutes:.3g} minutes): machines would end before the run starts.",
            f"Set at least {math.ceil(least / 0.6) / 100:g} ({least} minutes)."
            + (" With a smaller cluster.boot_minutes, less is enough." if isinstance(cluster, Ec2Dask) else ""),
        )
    allowed = SERVERLESS_TAG if isinstance(cluster, EmrServerless) else TAG
    wrong = [
        f"{k}={v}"
        for k, v in cluster.tags.items()
        if not 0 < len(k) <= 128 or len(v) > 256 or k.lower().startswith("aws:") or not allowed.fullmatch(k + v)
    ]
    if wrong or len(cluster.tags) > MOST_TAGS:
        yield ConfigProblem(
            f"cluster.tags has tags that AWS refuses: {', '.join(wrong) or f'{len(cluster.tags)} of them'}.",
            f"Use at most {MOST_TAGS} tags, names of up to 128 characters that don't begin with aws:, and values of up to 256; "
            f"of {'ASCII letters' if isinstance(cluster, EmrServerless) else 'letters'}, digits, spaces and _.:/=+@- only.",
        )
    if not isinstance(cluster, EmrServerless):
        profile = cluster.instance_profile
        if not (PROFILE if profile.startswith("arn:") else NAME).fullmatch(profile):
            yield ConfigProblem(
                f"cluster.instance_profile is {profile}, which is neither the name nor the ARN of an instance profile.",
                "Set it to the profile's name.",
            )


def _emr(cluster: Emr) -> Iterator[ConfigProblem]:
    yield from _release(cluster.release)
    role = cluster.service_role
    if not (ROLE if role.startswith("arn:") else NAME).fullmatch(role):
        yield ConfigProblem(
            f"cluster.service_role is {role}, which is neither a name nor the ARN of a role.",
            "Set it to the role's name.",
        )
    groups = (cluster.primary_group, cluster.worker_group, cluster.service_group)
    if any(groups) and not all(groups):
        yield ConfigProblem(
            "Only some of cluster.primary_group, worker_group and service_group are set: EMR can't mix yours with its own.",
            "Set all three, or none.",
        )
    if len(cluster.worker_types) > MOST_TYPES:
        yield ConfigProblem(
            f"cluster.worker_types has {len(cluster.worker_types)} types.", f"List at most {MOST_TYPES}."
        )


def _serverless(cluster: EmrServerless, region: str | None) -> Iterator[ConfigProblem]:
    yield from _release(cluster.release)
    if cluster.execution_role and not ROLE.fullmatch(cluster.execution_role):
        yield ConfigProblem(
            f"cluster.execution_role is {cluster.execution_role}, which is not the ARN of a role.",
            "It has the form arn:…:iam::ACCOUNT:role/NAME.",
        )
    cores, gb = cluster.executor_cores, worker_gb(cluster)
    if gb > largest_gb(cores):
        yield ConfigProblem(
            f"A worker of {cores} vCPU needs {gb} GB, but EMR Serverless offers at most {largest_gb(cores)} GB.",
            "Use a smaller cluster.python_mb or executor_memory_mb, or more executor_cores.",
        )
    matched = IMAGE.fullmatch(cluster.image) if cluster.image else None
    if cluster.image and matched is None:
        yield ConfigProblem(f"cluster.image is {cluster.image}, which is not an image in ECR.",
                            "It has the form ACCOUNT.dkr.ecr.REGION.…/NAME:TAG.")  # fmt: skip
    if matched and region and matched[1] != region:
        yield ConfigProblem(
            f"cluster.image is in {matched[1]}, but the workers are in {region}.", f"Push the image to ECR in {region}."
        )


def _dask(cluster: Ec2Dask) -> Iterator[ConfigProblem]:
    if cluster.image is not None and not re.fullmatch(r"ami-[0-9a-f]+", cluster.image):
        yield ConfigProblem(
            f"cluster.image is {cluster.image}, which is not the id of an AMI.",
            "It has the form ami-0123456789abcdef0.",
        )


def _release(label: str) -> Iterator[ConfigProblem]:
    """Yield the problem of a release label whose form is wrong, or whose release is too old."""
    matched = RELEASE.fullmatch(label)
    if matched is None:
        yield ConfigProblem(
            f"cluster.release is {label}, which is not a release of EMR.",
            "Use a label such as emr-7.13.0 or emr-spark-8.0.0.",
        )
        return
    line, version = matched[1], tuple(map(int, matched.groups()[1:]))
    if version < OLDEST[line]:
        oldest = line + ".".join(map(str, OLDEST[line]))
        yield ConfigProblem(
            f"cluster.release is {label}, which is too old: the packages need Amazon Linux 2023 and Python 3.11.",
            f"Use {oldest} or later.",
        )


def _lock(path: str | None) -> Iterator[ConfigProblem]:
    if path is not None:
        try:
            wheels.read_lock(path)
        except UsageError as error:
            yield ConfigProblem(error.message, error.hint or "")
