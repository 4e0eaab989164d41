"""The versions of fruitscale (part of every run's fingerprint and record) and of installed packages."""

from __future__ import annotations

__version__ = "0.4.0"


def installed_version(package: str) -> str | None:
    """Return the version of an installed package, or None. TensorFlow has two packages, one without CUDA."""
    from importlib import metadata  # 30 ms, which --help does without

    for name in (package, "tensorflow-cpu") if package == "tensorflow" else (package,):
        try:
            return metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return None
