"""The machine and versions that a benchmark ran on. Holds no host name, user name or path."""

from __future__ import annotations

import hashlib
import os
import subprocess
from dataclasses import dataclass
from pathlib import Path

from fruitscale.config.schema import Config
from fruitscale.config.version import __version__
from fruitscale.runs.environment import environment


@dataclass(frozen=True)
class BenchEnvironment:
    """The machine, the versions, the commit and the configuration. `dirty`: there were uncommitted changes."""

    cpu: str
    cores: int
    memory_gb: float
    platform: str
    python: str
    fruitscale: str
    packages: dict[str, str]
    commit: str | None
    dirty: bool | None
    config_sha256: str


def read_environment(config: Config) -> BenchEnvironment:
    """Return the environment of this process."""
    here, commit, status = environment(), _git("rev-parse", "HEAD"), _git("status", "--porcelain")
    return BenchEnvironment(
        cpu=here.cpu,
        cores=len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1,
        memory_gb=round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9, 1),
        platform=here.platform,
        python=here.python,
        fruitscale=__version__,
        packages=here.packages,
        commit=commit,
        dirty=None if status is None else bool(status),
        config_sha256=config_sha256(config),
    )


def config_sha256(config: Config) -> str:
    """Return the SHA-256 of a configuration, without the locations of its photos and results."""
    settings = config.model_dump_json(exclude={"input": {"uri", "list"}, "output": {"uri"}})
    return hashlib.sha256(settings.encode()).hexdigest()


def _git(*arguments: str) -> str | None:
    """Return git's output for the checkout of fruitscale; None if it is not a checkout or git is missing."""
    root = Path(__file__).resolve().parents[2]
    if not (root / ".git").exists():
        return None
    command = ["git", "-C", str(root), *arguments]
    try:
        return subprocess.run(command, capture_output=True, text=True, timeout=30, check=True).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return None
