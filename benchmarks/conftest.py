"""Fixtures of the benchmarks: photos, the packaged weights at full size, and one BLAS thread, as in a worker."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from threadpoolctl import threadpool_limits

from fruitscale.config.loading import load
from fruitscale.config.schema import Config
from fruitscale.model import exported_model
from fruitscale.model.exported_model import ExportedModel
from tests.conftest import ROOT, all_photos, cache, cli, photos

__all__ = ["all_photos", "cache", "cli", "photos"]  # fixtures

QUICKSTART = str(ROOT / "configs" / "quickstart.yaml")


@pytest.fixture(scope="session", autouse=True)
def _one_thread() -> Iterator[None]:
    with threadpool_limits(1):
        yield


@pytest.fixture(scope="session")
def config() -> Config:
    return load(QUICKSTART).config


@pytest.fixture(scope="session")
def exported(config: Config) -> ExportedModel:
    return exported_model.export(config.model)


@pytest.fixture(scope="session")
def jpegs(photos: Path) -> list[bytes]:
    """64 photos of 100 × 100 pixels, of every label."""
    return [path.read_bytes() for path in sorted(photos.rglob("*.jpg"))[::3][:64]]
