"""The kernels: bytes to pixels, pixels to features, features to components. Times are per call."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from pytest_benchmark.fixture import BenchmarkFixture

from fruitscale.config.schema import Config, Model
from fruitscale.errors import ModelError
from fruitscale.kernels import backbone, images, moments
from fruitscale.kernels.images import Rejection
from fruitscale.model import exported_model

FEATURES, ROWS, COMPONENTS = 1280, 4096, 256
RUNTIMES = [("openvino", "f32"), ("openvino", "bf16"), ("tensorflow", "f32"), ("patch_mean", "f32")]
SIZES = {"100x100": (100, 100), "12 megapixels": (4000, 3000)}


def photo(content: bytes, kind: str, size: tuple[int, int]) -> bytes:
    """Return the photo in another format and size."""
    sink = io.BytesIO()
    Image.open(io.BytesIO(content)).convert("RGB").resize(size, Image.Resampling.BICUBIC).save(sink, kind, quality=90)
    return sink.getvalue()


def decoded(content: bytes) -> NDArray[np.uint8]:
    pixels = images.decode(content, 224)
    assert not isinstance(pixels, Rejection)
    return pixels


@pytest.fixture(scope="module")
def rows() -> NDArray[np.float32]:
    """Synthetic features: as in real ones, a few directions hold most of the variance."""
    rng = np.random.default_rng(0)
    factors = rng.standard_normal((ROWS, 64)) @ (rng.standard_normal((64, FEATURES)) / np.arange(1, 65)[:, None])
    return (factors + 0.1 * rng.standard_normal((ROWS, FEATURES))).astype(np.float32)


@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
@pytest.mark.parametrize("size", SIZES)
def test_decode(benchmark: BenchmarkFixture, jpegs: list[bytes], kind: str, size: str) -> None:
    content = photo(jpegs[0], kind, SIZES[size])
    benchmark.group = f"decode and resize one to 224, {size}"
    assert benchmark(decoded, content).shape == (224, 224, 3)


@pytest.mark.parametrize("side", [100, 336, 1500])
def test_resize(benchmark: BenchmarkFixture, jpegs: list[bytes], side: int) -> None:
    pixels = np.asarray(Image.open(io.BytesIO(jpegs[0])).convert("RGB").resize((side, side)))
    benchmark.group = "resize one to 224"
    assert benchmark(images.resize, pixels, 224).shape == (224, 224, 3)


@pytest.mark.parametrize(("runtime", "precision"), RUNTIMES, ids=map("-".join, RUNTIMES))
def test_infer(benchmark: BenchmarkFixture, config: Config, jpegs: list[bytes], runtime: str, precision: str) -> None:
    name = "architecture" if runtime == "patch_mean" else "runtime"
    payload = exported_model.export(Model(**config.model.model_dump() | {name: runtime})).payload
    try:
        model = backbone.load(payload, backbone.Execution(precision))
    except ModelError as error:
        pytest.skip(error.message)
    pixels = np.stack([decoded(content) for content in jpegs[:16]])
    benchmark.group = "infer 16"
    features = benchmark.pedantic(model.infer, (pixels,), rounds=10, warmup_rounds=2)
    if benchmark.stats is not None:  # None where benchmarks are disabled
        stats: Any = benchmark.stats
        benchmark.extra_info["images/s"] = len(pixels) / stats.stats.median
    assert features.shape == (16, model.features)


def test_moments(benchmark: BenchmarkFixture, rows: NDArray[np.float32]) -> None:
    benchmark.group = f"PCA of {ROWS} x {FEATURES}"
    assert benchmark.pedantic(moments.moments, (rows,), rounds=5, warmup_rounds=1).count == ROWS


def test_eigh(benchmark: BenchmarkFixture, rows: NDArray[np.float32]) -> None:
    benchmark.group = f"PCA of {ROWS} x {FEATURES}"
    total = moments.moments(rows)
    fitted = benchmark.pedantic(moments.fit, (total, COMPONENTS), rounds=5, warmup_rounds=1)
    benchmark.extra_info |= {"k": fitted.k, "variance retained": fitted.retained_variance}
    assert fitted.k == COMPONENTS


def test_project(benchmark: BenchmarkFixture, rows: NDArray[np.float32]) -> None:
    benchmark.group = f"PCA of {ROWS} x {FEATURES}"
    fitted = moments.fit(moments.moments(rows), COMPONENTS)
    assert benchmark.pedantic(moments.project, (rows, fitted), rounds=5, warmup_rounds=1).shape == (ROWS, COMPONENTS)
