"""Milliseconds to decode and resize a 12-megapixel photo, and how far the pixels are from Pillow's.

The photos are synthetic: a mosaic of the input photos, enlarged to 4000 × 3000, with sensor noise, as JPEG with EXIF.
"""

from __future__ import annotations

import io
import time
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from benchmarks.figures import paired
from fruitscale.kernels.images import Rejection, decode

WIDTH, HEIGHT, ACROSS, DOWN = 4000, 3000, 8, 6
QUALITIES = (88, 95)
SIZE = 224


def main() -> None:
    """Measure, and print one line per JPEG quality."""
    options = paired.arguments(__doc__, images=50, rounds=1).parse_args()
    sources = sorted(Path(options.input).rglob("*.jpg"))
    rows: list[dict[str, Any]] = []
    for quality in QUALITIES:
        photos = [large(sources, number, quality) for number in range(options.images)]
        ms, apart = zip(*(measure(photo) for photo in photos), strict=True)
        rows.append(
            {"quality": quality, "ms": ms, "grey_levels": apart, "mb": sum(map(len, photos)) / len(photos) / 1e6}
        )
        print(
            f"quality {quality}: {paired.median(ms):.1f} ms (at most {max(ms):.1f}), "
            f"{np.mean(apart):.2f} grey levels from Pillow (at most {max(apart):.2f}), {rows[-1]['mb']:.1f} MB per photo"
        )
    paired.write_figure("decode-12mp", {"images": options.images, "rows": rows}, paired.settings())


def large(sources: list[Path], seed: int, quality: int) -> bytes:
    """Return one 12-megapixel JPEG."""
    rng = np.random.default_rng(seed)
    mosaic = Image.new("RGB", (ACROSS * 100, DOWN * 100))
    for place in range(ACROSS * DOWN):
        with Image.open(sources[rng.integers(len(sources))]) as photo:
            mosaic.paste(photo.resize((100, 100)), (place % ACROSS * 100, place // ACROSS * 100))
    pixels = np.asarray(mosaic.resize((WIDTH, HEIGHT), Image.Resampling.BICUBIC), np.int16)
    noise = rng.normal(0, 3, (HEIGHT, WIDTH, 1)).astype(np.int16)
    buffer = io.BytesIO()
    exif = Image.Exif()
    exif[0x0112] = 1
    Image.fromarray(np.clip(pixels + noise, 0, 255).astype(np.uint8)).save(buffer, "JPEG", quality=quality, exif=exif)
    return buffer.getvalue()


def measure(photo: bytes) -> tuple[float, float]:
    """Return the milliseconds, and the mean absolute difference from Pillow's full decoding and box filter."""
    start = time.perf_counter()
    found = decode(photo, SIZE)
    ms = (time.perf_counter() - start) * 1000
    assert not isinstance(found, Rejection), found
    with Image.open(io.BytesIO(photo)) as full:
        expected = np.asarray(full.resize((SIZE, SIZE), Image.Resampling.BOX), np.int16)
    return ms, float(np.abs(found.astype(np.int16) - expected).mean())


if __name__ == "__main__":
    main()
