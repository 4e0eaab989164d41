"""Checks what a run of a config needs here: what is installed, what is missing, and what to do."""

from __future__ import annotations

import os
import platform
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from fruitscale.config.cache_folder import cache_folder
from fruitscale.config.schema import Config, Model
from fruitscale.config.version import installed_version
from fruitscale.engines import java, registry
from fruitscale.errors import FruitscaleError
from fruitscale.kernels import cpu_kind
from fruitscale.model import exported_model, own_file, weights
from fruitscale.pipeline import precision_advice
from fruitscale.storage import residency
from fruitscale.uris import is_s3, local_path

WORKER_MB = 500
DRIVER_MB = 1500

DOWNLOADS = "https://storage.googleapis.com/tensorflow/keras-applications/"
"""Where Keras downloads weights from (keras.applications)."""
DOWNLOAD_SECONDS = 5
"""How long the server may take to answer."""


@dataclass(frozen=True)
class DoctorFinding:
    """One check; `needed`: the config can't run without it."""

    what: str
    ok: bool
    needed: bool
    found: str
    remedy: str = ""


def examine(config: Config) -> list[DoctorFinding]:
    """Return the checks of everything that a run of this config needs here."""
    return [
        _python(),
        *_engines(config),
        _java(config),
        *_model(config),
        _cpu(config),
        _memory(config),
        _cache(),
        *_page(config),
        *_folders(config),
    ]


def _python() -> DoctorFinding:
    found = f"Python {platform.python_version()} on {platform.system()} {platform.machine()}"
    ok = (3, 11) <= sys.version_info[:2] < (3, 14)
    return DoctorFinding("Python", ok, True, found, "" if ok else "Use Python 3.11 to 3.13.")


def _engines(config: Config) -> Iterator[DoctorFinding]:
    yield DoctorFinding("engine local", True, config.engine == "local", f"{registry.slots(config)} cores")
    for name, package in (("spark", "pyspark"), ("dask", "distributed")):
        version = installed_version(package)
        remedy = "" if version else f"pip install 'fruitscale[{name}]'"
        yield DoctorFinding(
            f"engine {name}", version is not None, config.engine == name, f"{package} {version or 'not found'}", remedy
        )


def _java(config: Config) -> DoctorFinding:
    needed = config.engine == "spark"
    try:
        found = java.find_java(installed_version("pyspark") or "4.0.0")
    except FruitscaleError as error:
        return DoctorFinding("Java for Spark", False, needed, error.message, error.hint or "")
    return DoctorFinding("Java for Spark", True, needed, f"Java {found.version} from {found.source}")


def _model(config: Config) -> Iterator[DoctorFinding]:
    model = config.model
    if model.exported is not None:
        there = Path(model.exported).is_file()
        yield DoctorFinding(
            "exported model", there, True, model.exported, "" if there else "fruitscale model export FILE"
        )
        return
    if model.architecture == "patch_mean":
        yield DoctorFinding("weights", True, True, "patch_mean: none are needed, and no TensorFlow")
        return
    if model.architecture == "file":
        yield _network_file(model)
        return
    try:
        found = weights.resolve(model)
    except FruitscaleError as error:
        yield DoctorFinding("weights", False, True, error.message, error.hint or "")
        return
    yield _weights(model, found)
    if model.precision == "int8":
        nncf = installed_version("nncf")
        yield DoctorFinding(
            "NNCF",
            nncf is not None,
            True,
            f"nncf {nncf or 'not found'}",
            "" if nncf else "pip install 'fruitscale[int8]'",
        )
    cached = exported_model.is_cached(model)
    version = installed_version("tensorflow")
    yield DoctorFinding(
        "TensorFlow",
        version is not None,
        not cached or model.runtime == "tensorflow",
        f"tensorflow {version or 'not found'}" + (" (this model is already exported)" if cached else ""),
        "" if version else "pip install 'fruitscale[tensorflow]'",
    )


def _weights(model: Model, found: weights.Weights) -> DoctorFinding:
    named = f"{model.architecture}, {model.weights}"
    if found.path is not None or found.kind == "random":
        return DoctorFinding("weights", True, True, f"{named}: {found.path or 'made from model.seed'}")
    try:
        urllib.request.urlopen(DOWNLOADS, timeout=DOWNLOAD_SECONDS).close()
    except urllib.error.HTTPError:
        pass  # the server answers; this address lists nothing
    except OSError as error:
        reason = getattr(error, "reason", None) or error
        remedy = f"Allow the download, or copy the file into {weights.keras_folders()[0]}. {weights.PACKAGED_HINT}"
        return DoctorFinding("weights", False, True, f"{named}: {DOWNLOADS} can't be reached: {reason}", remedy)
    return DoctorFinding("weights", True, True, f"{named}: Keras will download them")


def _cpu(config: Config) -> DoctorFinding:
    flags = ", ".join(cpu_kind.shown_flags()) or "flags unknown"
    model = config.model
    found = f"{flags}; kernels: {cpu_kind.cpu_kind()}"
    if model.precision == "bf16" and not cpu_kind.can_bf16():
        return DoctorFinding("CPU", False, True, f"{found}; no bf16", "Use --set model.precision=f32")
    if model.cpu == "portable" and not cpu_kind.can_be_portable():
        return DoctorFinding("CPU", False, True, f"{found}; no {cpu_kind.PORTABLE}", "Use --set model.cpu=any")
    return DoctorFinding("CPU", True, False, found, precision_advice.here(config) or "")


def _network_file(model: Model) -> DoctorFinding:
    """Return the check of a network that comes as a file: that it is one, and carries no code."""
    try:
        network = own_file.identify(model)
    except FruitscaleError as error:
        return DoctorFinding("network file", False, True, error.message, error.hint or "")
    cached = " (already converted)" if exported_model.is_cached(model) else ""
    found = f"{network.path}: {network.format}, {network.n_bytes / 1e6:.3g} MB, sha256 {network.sha256[:12]}{cached}"
    return DoctorFinding("network file", True, True, found)


def _memory(config: Config) -> DoctorFinding:
    needed = DRIVER_MB + WORKER_MB * registry.slots(config)
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
        free = next(int(line.split()[1]) // 1000 for line in lines if line.startswith("MemAvailable"))
    except (OSError, StopIteration):
        return DoctorFinding("memory", True, False, "unknown on this system")
    ok = free >= needed
    remedy = "" if ok else f"About {needed} MB are needed: use --set slots=1, or a larger machine."
    return DoctorFinding("memory", ok, False, f"{free:,} MB free", remedy)


def _cache() -> DoctorFinding:
    folder = cache_folder()
    ok = _is_writable(folder)
    return DoctorFinding(
        "cache folder", ok, False, str(folder), "" if ok else "Models are exported for each run. Set XDG_CACHE_HOME."
    )


def _page(config: Config) -> Iterator[DoctorFinding]:
    if config.report:
        versions = {name: installed_version(name) for name in ("bokeh", "jinja2")}
        ok = None not in versions.values()
        found = ", ".join(f"{name} {version or 'not found'}" for name, version in versions.items())
        yield DoctorFinding(
            "report.html", ok, False, found, "" if ok else "pip install 'fruitscale[report]', or report: false"
        )


def _folders(config: Config) -> Iterator[DoctorFinding]:
    for key, uri in (("input", config.input.uri), ("output", config.output.uri)):
        if not uri:
            yield DoctorFinding(key, False, False, "not set", f"Give --{key} to run, or {key}.uri in the config.")
        elif is_s3(uri):
            yield _bucket(key, uri, config)
        else:
            path = local_path(uri)
            ok = path.is_dir() if key == "input" else _is_writable(path)
            yield DoctorFinding(key, ok, True, str(path), "" if ok else "Check the path and its permissions.")


def _bucket(key: str, uri: str, config: Config) -> DoctorFinding:
    try:
        storage = residency.settle(config.storage)
        place = residency.check(storage, [uri])
    except FruitscaleError as error:
        return DoctorFinding(key, False, True, error.message, error.hint or "")
    if place.rule == "declared":
        return DoctorFinding(key, True, True, f"{uri}: declared, not checked: {place.place}")
    return DoctorFinding(key, True, True, f"{uri}: the bucket is in {place.region}")


def _is_writable(path: Path) -> bool:
    while not path.exists() and path != path.parent:
        path = path.parent
    return path.is_dir() and os.access(path, os.W_OK)
