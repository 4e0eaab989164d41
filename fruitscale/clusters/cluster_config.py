"""Checks that a config can be launched on a cluster."""

from __future__ import annotations

from fruitscale.clusters import cost_limit
from fruitscale.config.cluster_section import Ec2Dask, Emr, EmrServerless
from fruitscale.config.schema import Config
from fruitscale.errors import ClusterError, UsageError
from fruitscale.gdpr.audit import audit
from fruitscale.gdpr.findings import AuditVerdict
from fruitscale.pipeline.input_listing import check_uris
from fruitscale.storage import residency
from fruitscale.uris import is_s3

ENGINES = {"emr": "spark", "emr-serverless": "spark", "ec2-dask": "dask"}


def section(config: Config) -> Emr | EmrServerless | Ec2Dask:
    """Return the cluster section of a config. Raises UsageError if it has none."""
    if config.cluster is None:
        raise UsageError("This config has no cluster.", "See configs/emr.yaml and configs/ec2-dask.yaml.")
    return config.cluster


def settle(config: Config) -> Config:
    """Check a config's URIs, engine and bucket regions; return it with its storage settled. Raises FruitscaleError."""
    cluster = section(config)
    check_uris(config)
    uris = _uris(config)
    for key, uri in uris.items():
        if not is_s3(uri):
            raise UsageError(
                f"{key} is {uri}, which the machines of a cluster cannot reach.", "Set it to s3://bucket/prefix."
            )
    if config.engine != ENGINES[cluster.kind]:
        raise UsageError(
            f"engine is {config.engine}, and {cluster.kind} runs {ENGINES[cluster.kind]}.",
            f"Set engine: {ENGINES[cluster.kind]}, or choose another cluster.kind.",
        )
    if config.output.paths == "hashed":
        raise UsageError(
            "output.paths: hashed needs a key that only this machine has.",
            "Run without a cluster, or set output.paths: plain.",
        )
    cost_limit.check(cluster, config.storage.kms_key)
    storage = residency.settle(config.storage)
    residency.check(storage, [*uris.values(), *([cluster.log_uri] if cluster.log_uri else [])])
    return config.model_copy(update={"storage": storage})


def check_audit(config: Config) -> None:
    """Raise ClusterError if the GDPR audit of a settled config fails and gdpr.enforce is true."""
    failed = audit(config).of(AuditVerdict.FAIL) if config.gdpr.enforce else ()
    if failed:
        raise ClusterError(
            f"The audit fails, so nothing is launched: {'; '.join(f'{f.subject}: {f.setting}' for f in failed)}.",
            "Remediations: fruitscale gdpr audit --config …. To launch anyway, set gdpr.enforce: false.",
        )


def _uris(config: Config) -> dict[str, str]:
    """Return the URIs that the machines read and write, by config key."""
    staging = config.storage.staging_uri
    if staging is None:
        raise UsageError(
            "storage.staging_uri is not set: the machines of a cluster install from there.",
            "Set it to s3://bucket/prefix.",
        )
    uris = {"input.uri": config.input.uri, "output.uri": config.output.uri, "storage.staging_uri": staging}
    uris |= {"input.list": config.input.list} if config.input.list else {}
    uris |= {"pca.run": config.pca.run} if config.pca.run else {}
    return uris | {f"input.new_since[{index}]": run for index, run in enumerate(config.input.new_since)}
