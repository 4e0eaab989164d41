"""Checks that a config can be launched on a cluster."""

from __future__ import annotations

from fruitscale.clusters import config_problems, cost_limit
from fruitscale.config.cluster_section import Ec2Dask, Emr, EmrServerless
from fruitscale.config.schema import Config
from fruitscale.errors import ClusterError, UsageError
from fruitscale.gdpr.audit import audit
from fruitscale.gdpr.findings import AuditVerdict
from fruitscale.pipeline.input_listing import check_uris
from fruitscale.storage import residency


def section(config: Config) -> Emr | EmrServerless | Ec2Dask:
    """Return the cluster section of a config. Raises UsageError if it has none."""
    if config.cluster is None:
        raise UsageError("This config has no cluster section.", "See configs/emr.yaml and configs/ec2-dask.yaml.")
    return config.cluster


def settle(config: Config) -> Config:
    """Check a config's settings, cost limit and bucket regions; return it with its storage settled. Raises FruitscaleError."""
    cluster = section(config)
    config_problems.check(config)
    check_uris(config)
    cost_limit.check(cluster, config.storage.kms_key)
    storage = residency.settle(config.storage)
    residency.check(storage, [*config_problems.uris(config).values(), *([cluster.log_uri] if cluster.log_uri else [])])
    return config.model_copy(update={"storage": storage})


def audit_failure(config: Config) -> ClusterError | None:
    """Return why the GDPR audit of a settled config refuses a launch; None if it passes or gdpr.enforce is false."""
    failed = audit(config).of(AuditVerdict.FAIL) if config.gdpr.enforce else ()
    if not failed:
        return None
    return ClusterError(
        f"The audit fails, so nothing is launched: {'; '.join(f'{f.subject}: {f.setting}' for f in failed)}.",
        "Remediations: fruitscale gdpr audit --config …. To launch anyway, set gdpr.enforce: false.",
    )
