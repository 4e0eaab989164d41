"""Stand-ins for cluster machines: processes with their own /opt, or their own Debian, and fake shutdown and dnf."""

from __future__ import annotations

import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from tests.s3.conftest import VARIABLES

STAND_IN = '#!/bin/sh\necho "$(basename "$0") $*" >>"{calls}"\n'
DEBIAN, PACKAGES = "bookworm", ("python3.11-venv", "awscli", "ca-certificates", "curl")
OLD_AWS = '#!/bin/sh\nexec /usr/bin/aws --endpoint-url "$AWS_ENDPOINT_URL_S3" "$@"\n'
"""Debian's AWS CLI is too old for that variable, which Amazon Linux's supports."""
ALSO = ("python3-distutils", "python3-cffi-backend")
"""Packages required under virtual names, which debootstrap cannot resolve."""
NOWHERE = "http://127.0.0.1:9"
"""An address without a package index."""


def can_be_made() -> bool:
    """Return whether this machine allows mount namespaces and has the AWS CLI."""
    made = subprocess.run(["unshare", "--mount", "true"], check=False, capture_output=True)
    return made.returncode == 0 and shutil.which("aws") is not None


@dataclass(frozen=True)
class Namespace:
    """A folder mounted as /opt, a folder of stand-in commands, and the log of their calls."""

    root: Path
    endpoint: str

    def __post_init__(self) -> None:
        for folder in (self.opt, self.bin):
            folder.mkdir(parents=True)
        for name in ("shutdown", "dnf"):
            (self.bin / name).write_text(STAND_IN.format(calls=self.calls_path))
            (self.bin / name).chmod(0o755)

    @property
    def opt(self) -> Path:
        return self.root / "opt"

    @property
    def bin(self) -> Path:
        return self.root / "bin"

    @property
    def calls_path(self) -> Path:
        return self.root / "calls"

    @property
    def calls(self) -> list[str]:
        """The recorded calls of the stand-ins."""
        return self.calls_path.read_text().splitlines() if self.calls_path.exists() else []

    def command(self, *words: str) -> list[str]:
        """Return a command line that runs a command in this namespace."""
        return ["unshare", "--mount", "sh", "-c", f'mount --bind {self.opt} /opt && exec "$@"', "sh", *words]

    def variables(self, **more: str) -> dict[str, str]:
        """Return a machine's environment: no package index, the tests' S3 and credentials."""
        foreign = ("PIP_", "AWS_", "PYTHON", "DASK_", "SPARK_", "FRUITSCALE_")
        plain = {name: value for name, value in os.environ.items() if not name.startswith(foreign)}
        mine = {"PATH": f"{self.bin}:{plain['PATH']}", "AWS_ENDPOINT_URL_S3": self.endpoint}
        offline = {"PIP_CONFIG_FILE": "/dev/null", "PIP_INDEX_URL": NOWHERE}
        return {**plain, **VARIABLES, **mine, **offline, **more}


@dataclass(frozen=True)
class Debian(Namespace):
    """A namespace in a fresh Debian from debootstrap, which shares only /tmp with this machine."""

    def __post_init__(self) -> None:
        super().__post_init__()
        (self.bin / "aws").write_text(OLD_AWS)
        (self.bin / "aws").chmod(0o755)
        packages = ",".join((*PACKAGES, *ALSO))
        command = ["debootstrap", "--variant=minbase", f"--include={packages}", DEBIAN, str(self.files)]
        done = subprocess.run(command, check=False, capture_output=True, text=True, stdin=subprocess.DEVNULL)
        assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]

    @property
    def files(self) -> Path:
        return self.root / "debian"

    def command(self, *words: str) -> list[str]:
        mounts = {"--rbind /dev": "dev", "-t proc proc": "proc", "--bind /tmp": "tmp", f"--bind {self.opt}": "opt"}
        mounted = " && ".join(f"mount {what} {self.files}/{where}" for what, where in mounts.items())
        return ["unshare", "--mount", "sh", "-c", f'{mounted} && exec chroot {self.files} "$@"', "sh", *words]

    def variables(self, **more: str) -> dict[str, str]:
        plain = super().variables(**more)
        return {**plain, "PATH": f"{self.bin}:/usr/sbin:/usr/bin:/sbin:/bin", "HOME": "/root", "LC_ALL": "C.UTF-8"}
