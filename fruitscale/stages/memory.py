"""The peak memory of this process."""

from __future__ import annotations

from pathlib import Path


def peak_rss_mb() -> float:
    """Return this process's peak resident memory in MB of 10^6 bytes.

    VmHWM: `ru_maxrss` of a spawned child starts at its parent's peak.
    """
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
        return next(int(line.split()[1]) * 1024 / 1e6 for line in lines if line.startswith("VmHWM"))
    except (OSError, StopIteration):
        import resource
        import sys

        unit = 1 if sys.platform == "darwin" else 1024
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e6
