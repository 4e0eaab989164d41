"""Builds the EMR and EMR Serverless requests of a launch; sends nothing."""

from __future__ import annotations

import json
import re
from typing import Any

from fruitscale.clusters.bundle import UploadedBundle
from fruitscale.clusters.executor_sizes import overhead_mb, worker_gb
from fruitscale.clusters.launch import KEYS, Launch
from fruitscale.config.cluster_section import Emr, EmrServerless
from fruitscale.storage import aws

HOME = "/opt/fruitscale"
PYTHON = f"{HOME}/bin/python"
MANAGED_POLICY_TAG = {"for-use-with-amazon-emr-managed-policies": "true"}
"""EMR_DefaultRole_V2 may only use resources with this tag."""
SPOT_MINUTES = 10


def security_configuration(launch: Launch) -> dict[str, Any]:
    """Return the request for a security configuration: encrypted disks and traffic, IMDSv2."""
    storage, cluster = launch.config.storage, launch.cluster
    at_rest: dict[str, Any] = {"EncryptionMode": "SSE-S3"}
    if storage.encryption == "sse-kms" and storage.kms_key:
        at_rest = {"EncryptionMode": "SSE-KMS", "AwsKmsKey": storage.kms_key}
    encryption: dict[str, Any] = {
        "EnableInTransitEncryption": True,
        "EnableAtRestEncryption": True,
        "InTransitEncryptionConfiguration": {
            "TLSCertificateConfiguration": {
                "CertificateProviderType": "PEM",
                "S3Object": f"{launch.uri}/{KEYS}/certificates.zip",
            }
        },
        "AtRestEncryptionConfiguration": {"S3EncryptionConfiguration": at_rest},
    }
    if cluster.disk_key is not None:  # otherwise the account encrypts all new disks
        disks = {"EncryptionKeyProviderType": "AwsKms", "AwsKmsKey": cluster.disk_key, "EnableEbsEncryption": True}
        encryption["AtRestEncryptionConfiguration"]["LocalDiskEncryptionConfiguration"] = disks
    metadata = {"MinimumInstanceMetadataServiceVersion": 2, "HttpPutResponseHopLimit": 1}
    configuration = {"EncryptionConfiguration": encryption, "InstanceMetadataServiceConfiguration": metadata}
    return {"Name": launch.name, "SecurityConfiguration": json.dumps(configuration)}


def job_flow(launch: Launch, cluster: Emr, bundle: UploadedBundle) -> dict[str, Any]:
    """Return the request for a cluster that runs one step and ends."""
    request: dict[str, Any] = {
        "Name": launch.name,
        "ReleaseLabel": cluster.release,
        "LogUri": f"{launch.log_uri}/",
        "Applications": [{"Name": "Spark"}],
        "Instances": _instances(cluster),
        "BootstrapActions": [bootstrap(launch, bundle)],
        "Steps": [step(launch, cluster)],
        "StepConcurrencyLevel": 1,
        "ServiceRole": cluster.service_role,
        "JobFlowRole": cluster.instance_profile,
        "SecurityConfiguration": cluster.security_configuration or launch.name,
        "ManagedScalingPolicy": {"ComputeLimits": _limits(cluster)},
        "AutoTerminationPolicy": {"IdleTimeout": cluster.idle_minutes * 60},
        "ScaleDownBehavior": "TERMINATE_AT_TASK_COMPLETION",
        "EbsRootVolumeSize": cluster.disk_gb,
        "VisibleToAllUsers": True,
        "Tags": aws.tag_list({**launch.tags, **MANAGED_POLICY_TAG}),
    }
    if launch.config.storage.kms_key:
        request["LogEncryptionKmsKeyId"] = launch.config.storage.kms_key
    return request


def bootstrap(launch: Launch, bundle: UploadedBundle) -> dict[str, Any]:
    """Return the bootstrap action, which every machine runs before Spark starts."""
    arguments = [launch.region, bundle.uri, *([bundle.wheels_uri] if bundle.wheels_uri else [])]
    return {"Name": "fruitscale", "ScriptBootstrapAction": {"Path": f"{bundle.uri}/boot.sh", "Args": arguments}}


def step(launch: Launch, cluster: Emr) -> dict[str, Any]:
    """Return the step that runs the driver on the primary machine."""
    return {
        "Name": "fruitscale run",
        "ActionOnFailure": "TERMINATE_CLUSTER",
        "HadoopJarStep": {"Jar": "command-runner.jar", "Args": spark_submit(launch, cluster)},
    }


def spark_submit(launch: Launch, cluster: Emr) -> list[str]:
    """Return the command line of the step."""
    conf = {
        "spark.pyspark.python": PYTHON,
        "spark.pyspark.driver.python": PYTHON,
        **executor_conf(launch, cluster),
        **_all_at_once(_most_executors(cluster)),
    }
    options = [word for key, value in conf.items() for word in ("--conf", f"{key}={value}")]
    return [
        "spark-submit",
        "--deploy-mode",
        "client",
        "--name",
        launch.name,
        *options,
        f"{HOME}/main.py",
        *arguments(launch),
    ]


def executor_conf(launch: Launch, cluster: Emr | EmrServerless) -> dict[str, str]:
    """Return the Spark settings of executors: a small heap, and memory outside it for the Python workers."""
    return {
        "spark.executor.cores": str(cluster.executor_cores),
        "spark.executor.memory": f"{cluster.executor_memory_mb}m",
        "spark.executor.memoryOverhead": f"{overhead_mb(cluster)}m",
        "spark.hadoop.fs.s3a.endpoint.region": launch.region,
    }


def arguments(launch: Launch) -> list[str]:
    """Return the driver's arguments; its job is in the launch's folder."""
    return ["--run", launch.uri, "--region", launch.region]


def application(launch: Launch, cluster: EmrServerless) -> dict[str, Any]:
    """Return the request for an EMR Serverless application."""
    cores = cluster.executor_cores * (cluster.executors + 1)
    gb = (cluster.executors + 1) * worker_gb(cluster)
    request: dict[str, Any] = {
        "name": launch.name,
        "releaseLabel": cluster.release,
        "type": "SPARK",
        "clientToken": launch.token("application"),
        "architecture": "ARM64" if cluster.architecture == "aarch64" else "X86_64",
        "maximumCapacity": {
            "cpu": f"{cores} vCPU",
            "memory": f"{gb} GB",
            "disk": f"{(cluster.executors + 1) * cluster.disk_gb} GB",
        },
        "autoStartConfiguration": {"enabled": True},
        "autoStopConfiguration": {"enabled": True, "idleTimeoutMinutes": 1},
        "tags": launch.tags,
    }
    if cluster.subnets and cluster.security_groups:
        groups = {"subnetIds": list(cluster.subnets), "securityGroupIds": list(cluster.security_groups)}
        request["networkConfiguration"] = groups
    if cluster.disk_key:
        request["diskEncryptionConfiguration"] = {"encryptionKeyArn": cluster.disk_key}
    if cluster.image:
        request["imageConfiguration"] = {"imageUri": cluster.image}
    return request


def job_run(launch: Launch, cluster: EmrServerless, bundle: UploadedBundle, application_id: str) -> dict[str, Any]:
    """Return the request for the job, which EMR Serverless ends after the launch's lifetime."""
    python = "./environment/bin/python"
    conf = {
        "spark.archives": f"{bundle.archive_uri}#environment",
        "spark.emr-serverless.driverEnv.PYSPARK_DRIVER_PYTHON": python,
        "spark.emr-serverless.driverEnv.PYSPARK_PYTHON": python,
        "spark.executorEnv.PYSPARK_PYTHON": python,
        "spark.driver.cores": str(cluster.executor_cores),
        "spark.driver.memory": f"{cluster.executor_memory_mb}m",
        "spark.driver.memoryOverhead": f"{overhead_mb(cluster)}m",
        **_all_at_once(cluster.executors),
        "spark.emr-serverless.driver.disk": f"{cluster.disk_gb}G",
        "spark.emr-serverless.executor.disk": f"{cluster.disk_gb}G",
        **executor_conf(launch, cluster),
    }
    logs: dict[str, Any] = {"logUri": f"{launch.log_uri}/"}
    if launch.config.storage.kms_key:
        logs["encryptionKeyArn"] = launch.config.storage.kms_key
    overrides: dict[str, Any] = {
        "monitoringConfiguration": {
            "s3MonitoringConfiguration": logs,
            "managedPersistenceMonitoringConfiguration": {"enabled": False},  # AWS's own copy of the logs
        }
    }
    if cluster.disk_key:
        overrides["diskEncryptionConfiguration"] = {"encryptionKeyArn": cluster.disk_key}
    return {
        "applicationId": application_id,
        "clientToken": launch.token("job"),
        "executionRoleArn": cluster.execution_role,
        "name": launch.name,
        "jobDriver": {
            "sparkSubmit": {
                "entryPoint": f"{bundle.uri}/main.py",
                "entryPointArguments": arguments(launch),
                "sparkSubmitParameters": " ".join(f"--conf {key}={value}" for key, value in conf.items()),
            }
        },
        "configurationOverrides": overrides,
        "executionTimeoutMinutes": max(5, round(launch.lifetime_seconds / 60)),
        "tags": launch.tags,
    }


def _instances(cluster: Emr) -> dict[str, Any]:
    workers = [
        {"InstanceType": each, "WeightedCapacity": 1, "EbsConfiguration": _disk(cluster)}
        for each in cluster.worker_types
    ]
    primary = {"InstanceType": cluster.primary_type, "EbsConfiguration": _disk(cluster)}
    on_demand = {"OnDemandSpecification": {"AllocationStrategy": "lowest-price"}}
    spot = {
        "SpotSpecification": {
            "AllocationStrategy": "price-capacity-optimized",
            "TimeoutDurationMinutes": SPOT_MINUTES,
            "TimeoutAction": "SWITCH_TO_ON_DEMAND",
        }
    }
    fleets = [
        _fleet("MASTER", 1, 0, [primary], on_demand),
        _fleet("CORE", cluster.core, 0, workers, on_demand),
        *([_fleet("TASK", 0, cluster.spot, workers, spot)] if cluster.spot else []),
    ]
    groups = {
        "EmrManagedMasterSecurityGroup": cluster.primary_group,
        "EmrManagedSlaveSecurityGroup": cluster.worker_group,
        "ServiceAccessSecurityGroup": cluster.service_group,
    }
    return {
        "InstanceFleets": fleets,
        "Ec2SubnetIds": list(cluster.subnets),
        "KeepJobFlowAliveWhenNoSteps": False,
        "TerminationProtected": False,
        **{key: value for key, value in groups.items() if value},
    }


def _fleet(kind: str, on_demand: int, spot: int, types: list[dict[str, Any]], launch: dict[str, Any]) -> dict[str, Any]:
    fleet: dict[str, Any] = {
        "Name": kind.lower(),
        "InstanceFleetType": kind,
        "InstanceTypeConfigs": types,
        "LaunchSpecifications": launch,
    }
    return fleet | ({"TargetOnDemandCapacity": on_demand} if on_demand else {"TargetSpotCapacity": spot})


def _disk(cluster: Emr) -> dict[str, Any]:
    volume = {"VolumeType": "gp3", "SizeInGB": cluster.disk_gb}
    return {"EbsBlockDeviceConfigs": [{"VolumeSpecification": volume, "VolumesPerInstance": 1}]}


def _limits(cluster: Emr) -> dict[str, Any]:
    return {
        "UnitType": "InstanceFleetUnits",
        "MinimumCapacityUnits": cluster.core,
        "MaximumCapacityUnits": cluster.core + cluster.spot,
        "MaximumOnDemandCapacityUnits": cluster.core,
        "MaximumCoreCapacityUnits": cluster.core,
    }


def _most_executors(cluster: Emr) -> int | None:
    """Return the number of executors on all workers; None if the vCPUs of a worker type are not in its name."""
    cores = [vcpus(each) for each in cluster.worker_types]
    known = [each for each in cores if each]
    if not known or len(known) < len(cores):
        return None
    return (cluster.core + cluster.spot) * max(max(known) // cluster.executor_cores, 1)


def vcpus(machine_type: str) -> int | None:
    """Return a machine type's number of vCPUs by its name, such as 8 for c6i.2xlarge; None for bare metal and the like."""
    size = re.fullmatch(r"[\w-]+\.(?:(medium|large)|(\d*)xlarge)", machine_type)
    if size is None:
        return None
    return {"medium": 1, "large": 2}[size[1]] if size[1] else 4 * int(size[2] or 1)


def _all_at_once(executors: int | None) -> dict[str, str]:
    """Return the settings that request all executors at the start: Spark starts with few, and fruitscale cuts tasks for all."""
    if executors is None:
        return {}
    settings = ("spark.dynamicAllocation.maxExecutors", "spark.dynamicAllocation.initialExecutors")
    return dict.fromkeys(settings, str(executors))
