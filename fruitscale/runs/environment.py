"""Where a run ran: Python, platform, CPU and package versions, as the record holds them."""

from __future__ import annotations

import platform
from pathlib import Path

from fruitscale.config.version import installed_version
from fruitscale.runs.record import EnvironmentRecord

PACKAGES = (
    "numpy", "pyarrow", "openvino", "opencv-python-headless", "simplejpeg", "pillow", "pillow-heif", "obstore", "boto3",
    "tensorflow", "keras", "pyspark", "dask", "distributed",
)  # fmt: skip


def environment() -> EnvironmentRecord:
    """Return the Python, platform, CPU and package versions of this process."""
    packages = {name: version for name in PACKAGES if (version := installed_version(name)) is not None}
    return EnvironmentRecord(
        python=platform.python_version(), platform=platform.platform(), cpu=_cpu(), packages=packages
    )


def _cpu() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()
