"""Graviton: the machines' packages exist for their CPU and C library, and their OpenVINO computes what ours does."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from fruitscale.clusters import wheels
from fruitscale.config.cluster_section import Architecture
from fruitscale.config.schema import Model
from fruitscale.kernels import backbone
from fruitscale.model import exported_model
from tests.conftest import ROOT

INFER = """
import sys, numpy, openvino
from fruitscale.kernels import backbone
features = backbone.load(open(sys.argv[1], "rb").read(), "f32").infer(numpy.load(sys.argv[2]))
numpy.save(sys.argv[3], features)
print(openvino.__version__)
"""
TOLERANCE = 1e-4
"""Largest difference of features, relative to the largest feature, on another kind of CPU or OpenVINO."""


def test_graviton_has_versions_of_its_own_and_other_machines_have_ours() -> None:
    ours, graviton = wheels.pins("x86_64"), wheels.pins("aarch64")
    assert ours == sorted(wheels.installed_versions())
    assert {pin.partition("==")[0] for pin in ours} == {pin.partition("==")[0] for pin in graviton}
    assert {f"{name}=={version}" for name, version in wheels.GRAVITON.items()} <= set(graviton)


@pytest.fixture
def index(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """The package index, without the stand-in of other tests; skipped where there is none."""
    monkeypatch.delenv("PIP_NO_INDEX", raising=False)
    monkeypatch.delenv("PIP_FIND_LINKS", raising=False)
    command = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "--dest", str(tmp_path), "six"]
    if subprocess.run(command, capture_output=True, check=False, timeout=120).returncode:
        pytest.skip("no package index is reachable")
    return tmp_path


@pytest.mark.slow
@pytest.mark.parametrize("extra", ["", "dask"])
@pytest.mark.parametrize("architecture", ["x86_64", "aarch64"])
def test_every_package_has_a_wheel_for_the_machines(index: Path, architecture: Architecture, extra: str) -> None:
    wheel = index / wheels.wheel_name()
    wheel.write_bytes(wheels.build_wheel())
    lines = wheels.lock(wheel, extra, architecture).splitlines()
    assert all("--hash=sha256:" in line for line in lines)
    found = dict(line.partition(" ")[0].split("==") for line in lines)
    wanted = wheels.GRAVITON if architecture == "aarch64" else dict(pin.split("==") for pin in wheels.pins("x86_64"))
    assert {name: found[name] for name in ("openvino", "numpy")} == {
        name: wanted[name] for name in ("openvino", "numpy")
    }
    assert ("distributed" in found) == (extra == "dask")


@pytest.mark.slow
def test_its_openvino_reads_our_model_and_gives_our_features(index: Path) -> None:
    exported = exported_model.export(Model(weights="random", input_size=64), index)
    pixels = np.random.default_rng(0).integers(0, 255, (4, 64, 64, 3), np.uint8)
    model, photos, features, packages = (index / name for name in ("model", "pixels.npy", "features.npy", "packages"))
    model.write_bytes(exported.payload)
    np.save(photos, pixels)
    pins = [f"{name}=={version}" for name, version in wheels.GRAVITON.items()]
    subprocess.run(
        [sys.executable, "-m", "pip", "install", "-q", "--target", str(packages), *pins], check=True, timeout=300
    )
    environment = {**os.environ, "PYTHONPATH": f"{packages}{os.pathsep}{ROOT}"}
    ran = subprocess.run(
        [sys.executable, "-c", INFER, str(model), str(photos), str(features)],
        env=environment, cwd=index, capture_output=True, text=True, check=False, timeout=120,
    )  # fmt: skip
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout.startswith(wheels.GRAVITON["openvino"])
    ours = backbone.load(exported.payload, backbone.F32).infer(pixels)
    assert np.abs(np.load(features) - ours).max() <= TOLERANCE * np.abs(ours).max()
