"""Builds and uploads the bundle that machines install, named by its hash so that it is uploaded once.

Folders in `storage.staging_uri`: `bundles/` (program, wheel, lock, boot script), `wheels/` (locked packages, for machines
without a package index), `models/`, `archives/`, and `runs/` (one folder per launch).
"""

from __future__ import annotations

import hashlib
import tarfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from fruitscale.clusters import wheels
from fruitscale.clusters.launch import staging_uri
from fruitscale.config.cache_folder import cache_folder
from fruitscale.config.cluster_section import EmrServerless
from fruitscale.config.schema import Config
from fruitscale.pipeline import run_model
from fruitscale.storage.s3 import S3Store
from fruitscale.storage.scratch import ScratchFolder

SUMS, BOOT, MAIN, REQUIREMENTS = "SHA256SUMS", "boot.sh", "main.py", "requirements.txt"
EXTRAS: Mapping[str, tuple[str, ...]] = MappingProxyType({"emr": (), "emr-serverless": (), "ec2-dask": ("dask",)})
"""The extras that machines install, by cluster kind; EMR has its own Spark. Runs with a page also need `report`."""
HERE = Path(__file__).parent
SHORT = 32
UPLOAD_SECONDS = 600.0
"""Timeout for uploading a large wheel over a slow connection."""
LAUNCHER = """#!/bin/sh
# Python with the packages of this archive, wherever it is unpacked.
home=$(cd "$(dirname "$0")/.." && pwd)
export PYTHONPATH="$home/lib${PYTHONPATH:+:$PYTHONPATH}"
for python in /usr/bin/python3.11 python3.11; do
  if command -v "$python" >/dev/null; then exec "$python" "$@"; fi
done
echo "fruitscale: this image has no python3.11; see cluster.image" >&2
exit 127
"""


@dataclass(frozen=True)
class UploadedBundle:
    """URIs of a bundle in the staging area, and the hash with which machines verify the boot script."""

    uri: str
    boot_sha256: str
    wheels_uri: str | None
    archive_uri: str | None
    model_uri: str


PLANNED = UploadedBundle("<bundle>", "0" * 64, "<wheels>", "<archive>", "<model>")
"""Placeholder in plans, which upload nothing."""


def upload(config: Config, report: Callable[[str], None]) -> UploadedBundle:
    """Build a config's bundle and upload its missing files; `report` receives each step. Raises FruitscaleError."""
    cluster = config.cluster
    assert cluster is not None
    timeout = max(config.storage.timeout_seconds, UPLOAD_SECONDS)
    store = S3Store(staging_uri(config), config.storage.model_copy(update={"timeout_seconds": timeout}))
    with ScratchFolder("bundle") as scratch:
        report("exporting the model")
        exported = run_model.export_for(config, scratch)
        model_name = f"models/{exported.sha256}.model"
        _put_once(store, model_name, lambda: exported.payload)
        files = build(config, scratch, report)
        sums = "".join(f"{_sha256(content)}  {file}\n" for file, content in sorted(files.items())).encode()
        folder = f"bundles/{_sha256(sums)[:SHORT]}"
        if not store.exists(f"{folder}/{SUMS}"):
            report("uploading the bundle")
            for file, content in files.items():
                store.write(f"{folder}/{file}", content)
            store.write(f"{folder}/{SUMS}", sums)  # last: it marks the bundle as complete
        wheels_name = (
            _upload_wheels(store, files[REQUIREMENTS], config, scratch, report) if cluster.vendor_wheels else None
        )
        archive = None
        if isinstance(cluster, EmrServerless):
            archive = f"archives/{_sha256(sums)[:SHORT]}-{cluster.architecture}.tar.gz"
            _put_once(store, archive, lambda: _archive(scratch, files[REQUIREMENTS], config, report))
    return UploadedBundle(
        f"{store.uri}/{folder}",
        _sha256(files[BOOT]),
        wheels_name and f"{store.uri}/{wheels_name}",
        archive and f"{store.uri}/{archive}",
        f"{store.uri}/{model_name}",
    )


def build(config: Config, scratch: Path, report: Callable[[str], None] = lambda _: None) -> dict[str, bytes]:
    """Return the files of a bundle by name; they depend only on the config and on the packages installed here."""
    wheel = wheels.build_wheel()
    (scratch / wheels.wheel_name()).write_bytes(wheel)
    return {
        MAIN: (HERE / "machines" / MAIN).read_bytes(),
        BOOT: (HERE / BOOT).read_bytes(),
        REQUIREMENTS: _requirements(config, scratch, report).encode(),
        wheels.wheel_name(): wheel,
    }


def _requirements(config: Config, scratch: Path, report: Callable[[str], None]) -> str:
    """Return the lock: cluster.requirements, a cached lock of the same packages, or a new one."""
    cluster = config.cluster
    assert cluster is not None
    if cluster.requirements is not None:
        return wheels.read_lock(cluster.requirements)
    extra = ",".join([*EXTRAS[cluster.kind], *(["report"] if config.report else [])])
    inputs = [extra, cluster.architecture, wheels.PYTHON, *wheels.dependencies(), *wheels.pins(cluster.architecture)]
    cached = cache_folder() / f"lock-{_sha256(repr(inputs).encode())[:SHORT]}.txt"
    if cached.is_file():
        return cached.read_text()
    report("locking packages for the machines")
    text = wheels.lock(scratch / wheels.wheel_name(), extra, cluster.architecture)
    _cache_lock(cached, text)
    return text


def _upload_wheels(
    store: S3Store, requirements: bytes, config: Config, scratch: Path, report: Callable[[str], None]
) -> str:
    """Upload the wheels of a lock and return their folder; the lock is written last and marks it as complete."""
    cluster = config.cluster
    assert cluster is not None
    folder = f"wheels/{_sha256(requirements + cluster.architecture.encode())[:SHORT]}"
    if not store.exists(f"{folder}/{REQUIREMENTS}"):
        found = _fetch_wheels(requirements, config, scratch, report)
        report("uploading packages for the machines")
        for path in found:
            _put_once(store, f"{folder}/{path.name}", path.read_bytes)
        store.write(f"{folder}/{REQUIREMENTS}", requirements)
    return folder


def _fetch_wheels(requirements: bytes, config: Config, scratch: Path, report: Callable[[str], None]) -> list[Path]:
    """Return the paths of the wheels of a lock, downloaded on the first call."""
    cluster = config.cluster
    assert cluster is not None
    folder = scratch / "wheels"
    if not folder.is_dir():
        report("downloading packages for the machines")
        (scratch / REQUIREMENTS).write_bytes(requirements)
        wheels.download(scratch / REQUIREMENTS, folder, cluster.architecture)
    return sorted(folder.iterdir())


def _archive(scratch: Path, requirements: bytes, config: Config, report: Callable[[str], None]) -> bytes:
    """Return an archive with unpacked wheels and a Python launcher, for machines without a boot script."""
    cluster = config.cluster
    assert cluster is not None
    found = _fetch_wheels(requirements, config, scratch, report)
    report("building the environment archive")
    home = scratch / "environment"
    wheels.unpack([*found, scratch / wheels.wheel_name()], home / "lib", cluster.architecture)
    (home / "bin").mkdir()
    (home / "bin" / "python").write_text(LAUNCHER)
    (home / "bin" / "python").chmod(0o755)
    with tarfile.open(scratch / "environment.tar.gz", "w:gz", compresslevel=3) as archive:
        archive.add(home / "bin", "bin")
        archive.add(home / "lib", "lib")
    return (scratch / "environment.tar.gz").read_bytes()


def _put_once(store: S3Store, name: str, content: Callable[[], bytes]) -> None:
    if not store.exists(name):
        store.write(name, content())


def _cache_lock(path: Path, text: str) -> None:
    """Cache a lock for the next launch, if the folder is writable."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    except OSError:
        return


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
