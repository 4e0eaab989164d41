"""S3 servers as real processes on loopback; each ends with the process that started it, whatever happens to that.

SeaweedFS is an object store of its own. moto is a stand-in for what only AWS has: the regions of buckets, KMS, and keys
that other stores refuse.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from fruitscale import processes

REGION = "eu-west-3"
KEY_ID, SECRET = "FRUITSTESTKEYID01", "the-tests-own-secret-0123456789abcdef"
START_SECONDS = 90
FOREIGN = ("AWS_", "WEED_")
"""Variables of the user's that no server and no test may see."""


@contextmanager
def seaweedfs(folder: Path) -> Iterator[str]:
    """Start SeaweedFS, which knows the tests' credentials and no other; yield its S3 endpoint."""
    identity = {"name": "tests", "credentials": [{"accessKey": KEY_ID, "secretKey": SECRET}], "actions": ["Admin"]}
    (folder / "identities.json").write_text(json.dumps({"identities": [identity]}))
    (folder / "data").mkdir()
    roles = ("s3", "master", "volume", "filer")
    ports = dict(zip((f"{role}.port{kind}" for role in roles for kind in ("", ".grpc")), free_ports(8), strict=True))
    flags: dict[str, object] = {
        "dir": folder / "data",
        "ip": "127.0.0.1",
        "ip.bind": "127.0.0.1",
        "s3": "true",
        "s3.config": folder / "identities.json",
        "s3.autoCreateBucket": "false",
        "s3.port.iceberg": 0,  # these two have fixed ports otherwise, which collide
        "s3.port.lance": 0,
        "s3.localSocket": "",
        "filer.localSocket": "",
        "master.telemetry": "false",
        "master.volumeSizeLimitMB": 256,
        "volume.max": 30,
        "volume.preStopSeconds": 0,
        **ports,
    }
    weed = str(Path(sys.executable).with_name("weed"))
    command = [weed, "-v=0", "server", *(f"-{name}={value}" for name, value in flags.items())]
    endpoint = f"http://127.0.0.1:{ports['s3.port']}"

    def is_ready() -> bool:
        admin = client(endpoint)
        if "probe" not in [bucket["Name"] for bucket in admin.list_buckets()["Buckets"]]:
            admin.create_bucket(Bucket="probe")
        admin.put_object(Bucket="probe", Key="probe", Body=b"0")  # it lists buckets before it can store anything
        return True

    with _running("tests.s3.servers", command, folder / "weed.log", is_ready):
        yield endpoint


@contextmanager
def moto(folder: Path) -> Iterator[str]:
    """Start moto, which believes any credentials; yield its endpoint."""
    (port,) = free_ports(1)
    endpoint = f"http://127.0.0.1:{port}"

    def is_ready() -> bool:
        client(endpoint).list_buckets()
        return True

    with _running("moto.server", ["-H", "127.0.0.1", "-p", str(port)], folder / "moto.log", is_ready):
        yield endpoint


def client(endpoint: str, region: str = REGION) -> Any:
    """Return a boto3 client with the tests' credentials, which tries each request once."""
    import boto3
    from botocore.config import Config

    return boto3.client(
        "s3",
        endpoint_url=endpoint,
        region_name=region,
        aws_access_key_id=KEY_ID,
        aws_secret_access_key=SECRET,
        config=Config(
            retries={"total_max_attempts": 1}, s3={"addressing_style": "path"}, max_pool_connections=32, read_timeout=20
        ),
    )


def free_ports(count: int) -> list[int]:
    """Return ports that nobody listens on now."""
    sockets = [socket.socket() for _ in range(count)]
    try:
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]
    finally:
        for each in sockets:
            each.close()


@contextmanager
def _running(module: str, arguments: list[str], log_path: Path, is_ready: Callable[[], bool]) -> Iterator[None]:
    from botocore.exceptions import BotoCoreError, ClientError

    foreign = [name for name in os.environ if name.startswith(FOREIGN)]
    kept = {name: os.environ.pop(name) for name in foreign}
    try:
        with log_path.open("wb") as log:
            process = processes.start(
                module, arguments, output=log, environment={"WEED_S3_SSE_KEY": "for the tests only"}
            )
    finally:
        os.environ.update(kept)
    try:
        deadline = time.monotonic() + START_SECONDS
        while True:
            with suppress(BotoCoreError, ClientError):
                if is_ready():
                    break
            if process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"{module} did not start: {log_path.read_text(errors='replace')[-2000:]}")
            time.sleep(0.1)
        yield
    finally:
        processes.stop(process)


if __name__ == "__main__":  # run a command in the process group of this one, which `child` ends
    sys.exit(subprocess.run(sys.argv[1:], check=False).returncode)
