"""Builds the wheel of the running version, and locks and downloads its dependencies for the machines' CPU."""

from __future__ import annotations

import base64
import hashlib
import importlib.metadata
import io
import json
import os
import re
import subprocess
import sys
import zipfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from fruitscale.config.cluster_section import Architecture
from fruitscale.config.regular_files import read_regular
from fruitscale.config.version import __version__
from fruitscale.errors import ClusterError, UsageError

PYTHON = "3.11"
GLIBC = 34
"""Minor version of Amazon Linux 2023's glibc, 2.34."""
OLDEST_GLIBC = 5
GRAVITON = {"openvino": "2025.2.0", "numpy": "2.2.6"}
"""Versions for aarch64: the last OpenVINO with a wheel for this glibc, and the last NumPy that it accepts.

This OpenVINO reads models exported by newer versions, and computes the same features (tests/cloud/test_graviton.py).
"""
EPOCH = (1980, 1, 1, 0, 0, 0)
"""Timestamp of every file in the wheel, so that wheels are reproducible."""
PIP_SECONDS = 900
ROOT = Path(__file__).parents[1]


def wheel_name() -> str:
    """Return the file name of this version's wheel."""
    return f"fruitscale-{__version__}-py3-none-any.whl"


def build_wheel() -> bytes:
    """Return a wheel of the running version, built from its installed files. Raises ClusterError if not installed."""
    try:
        installed = importlib.metadata.distribution("fruitscale")
    except importlib.metadata.PackageNotFoundError:
        raise ClusterError("fruitscale is importable here, but not installed.", "Install it with pip.") from None
    folder = f"fruitscale-{__version__}.dist-info"
    files = {f"fruitscale/{path.relative_to(ROOT).as_posix()}": path.read_bytes() for path in _sources()}
    files[f"{folder}/METADATA"] = (installed.read_text("METADATA") or "").encode()
    files[f"{folder}/entry_points.txt"] = b"[console_scripts]\nfruitscale = fruitscale.__main__:main\n"
    files[f"{folder}/WHEEL"] = b"Wheel-Version: 1.0\nGenerator: fruitscale\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
    record = "".join(f"{name},sha256={_record_hash(content)},{len(content)}\n" for name, content in files.items())
    files[f"{folder}/RECORD"] = f"{record}{folder}/RECORD,,\n".encode()
    return zipped(files)


def zipped(files: dict[str, bytes]) -> bytes:
    """Return a reproducible zip file of the given files."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            info = zipfile.ZipInfo(name, EPOCH)
            info.external_attr = 0o644 << 16
            archive.writestr(info, content, zipfile.ZIP_DEFLATED)
    return buffer.getvalue()


def lock(wheel_path: Path, extra: str, architecture: Architecture) -> str:
    """Return a hash-locked requirements file for the machines, with the versions installed here (but see GRAVITON).

    Raises ClusterError if the package index lacks a wheel for those machines.
    """
    requirement = f"{wheel_path}[{extra}]" if extra else str(wheel_path)
    report = wheel_path.parent / "report.json"
    constraints = wheel_path.parent / "constraints.txt"
    constraints.write_text("".join(f"{line}\n" for line in pins(architecture)))
    _pip(
        "install", "--dry-run", "--ignore-installed", "--quiet", "--report", str(report), "--constraint", str(constraints),
        "--target", str(wheel_path.parent / "nowhere"), *platform_options(architecture), requirement,
    )  # fmt: skip
    return "".join(f"{line}\n" for line in sorted(_locked(json.loads(report.read_text()))))


def download(requirements_path: Path, folder: Path, architecture: Architecture) -> None:
    """Download the wheels of a hash-locked requirements file into a folder. Raises ClusterError."""
    folder.mkdir(parents=True, exist_ok=True)
    _pip(
        "download", "--quiet", "--require-hashes", "--no-deps", "--dest", str(folder), *platform_options(architecture),
        "--requirement", str(requirements_path),
    )  # fmt: skip


def unpack(wheels: Sequence[Path], target: Path, architecture: Architecture) -> None:
    """Install wheels into a folder for machines of the given CPU architecture."""
    _pip("install", "--quiet", "--no-deps", "--no-compile", "--no-index", "--target", str(target),
         *platform_options(architecture), *map(str, wheels))  # fmt: skip


def platform_options(architecture: Architecture) -> list[str]:
    """Return pip's options for wheels that run on Amazon Linux 2023."""
    tags = [f"manylinux_2_{minor}_{architecture}" for minor in range(GLIBC, OLDEST_GLIBC - 1, -1)]
    tags += [f"manylinux2014_{architecture}"]
    options = [word for tag in tags for word in ("--platform", tag)]
    return ["--only-binary", ":all:", "--implementation", "cp", "--python-version", PYTHON, *options]


def dependencies() -> list[str]:
    """Return the requirements of the running version."""
    return importlib.metadata.requires("fruitscale") or []


def pins(architecture: Architecture) -> list[str]:
    """Return `name==version` for each package of the machines: the version installed here, except for GRAVITON."""
    other = GRAVITON if architecture == "aarch64" else {}
    kept = [pin for pin in installed_versions() if pin.partition("==")[0].lower() not in other]
    return sorted([*kept, *(f"{name}=={version}" for name, version in other.items())])


def installed_versions() -> Iterator[str]:
    """Yield `name==version` for each installed package but fruitscale."""
    for found in importlib.metadata.distributions():
        name = found.metadata["Name"]
        if name and name.lower() != "fruitscale":
            yield f"{name}=={found.version}"


def read_lock(path: str) -> str:
    """Return the text of a requirements file if every line has a hash. Raises UsageError."""
    try:
        text = read_regular(Path(path).expanduser()).decode()
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is not text"
        raise UsageError(f"cluster.requirements: {path}: {reason}.", "Check the path.") from None
    lines = [line.strip() for line in re.sub(r"\\\n", " ", text).splitlines()]
    loose = [line for line in lines if line and not line.startswith(("#", "-")) and "--hash=" not in line]
    if loose:
        raise UsageError(
            f"cluster.requirements: {path}: no hash: {loose[0]}", "Generate it with pip-compile --generate-hashes."
        )
    return text


def _sources() -> Iterator[Path]:
    return (path for path in sorted(ROOT.rglob("*")) if path.is_file() and "__pycache__" not in path.parts)


def _record_hash(content: bytes) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()


def _locked(report: dict[str, list[dict[str, dict[str, dict[str, str]]]]]) -> Iterator[str]:
    """Yield a locked line for each package in pip's report but fruitscale."""
    for item in report["install"]:
        metadata: dict[str, str] = item["metadata"]  # type: ignore[assignment]
        if metadata["name"].lower() != "fruitscale":
            hashes: dict[str, str] = item["download_info"]["archive_info"]["hashes"]  # type: ignore[assignment]
            yield f"{metadata['name']}=={metadata['version']} --hash=sha256:{hashes['sha256']}"


def _pip(*arguments: str) -> None:
    command = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--no-input", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=PIP_SECONDS, check=False,
                          stdin=subprocess.DEVNULL, env={**os.environ, "PYTHONWARNINGS": "ignore"})  # fmt: skip
    if done.returncode:
        errors = [line for line in done.stderr.splitlines() if line.startswith("ERROR:")]
        reason = (errors or done.stderr.strip().splitlines() or ["no output"])[-1]
        raise ClusterError(
            f"pip {arguments[0]} for the machines failed: {reason}",
            "Check the package index, or set cluster.requirements to a lock of your own.",
        )
