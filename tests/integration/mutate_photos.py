"""Decode mutated photos of every format in this process, with a limit on memory: run as a child by the tests.

`python -m tests.integration.mutate_photos FOLDER SEED TIMES SECONDS` prints what became of them, as JSON. It exits with an
error if a decoder crashes, takes longer than 5 seconds, or allocates more than the limit.
"""

from __future__ import annotations

import collections
import faulthandler
import io
import json
import random
import resource
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pillow_heif
from PIL import Image

from fruitscale.config.schema import Images
from fruitscale.kernels import images
from fruitscale.stages.memory import peak_rss_mb

SIDE, MOST_SECONDS, HANG_SECONDS = 64, 5, 60
SETTINGS = Images(max_decode_mb=64)
SLACK_MB = 160
"""Address space beyond the limit: the result, the interpreter, and what allocators reserve ahead."""
KINDS: dict[str, dict[str, Any]] = {
    "JPEG": {"quality": 85},
    "JPEG progressive": {"progressive": True},
    "JPEG restart": {"restart_marker_blocks": 3},
    "JPEG cmyk": {"mode": "CMYK"},
    "MPO": {"save_all": True, "frames": 2},
    "PNG": {},
    "PNG palette": {"mode": "P"},
    "PNG animated": {"save_all": True, "frames": 3},
    "WEBP": {},
    "WEBP lossless": {"lossless": True, "mode": "RGBA"},
    "WEBP animated": {"save_all": True, "frames": 3},
    "TIFF": {},
    "TIFF lzw": {"compression": "tiff_lzw", "mode": "RGBA"},
    "TIFF jpeg": {"compression": "jpeg"},
    "TIFF deep": {"mode": "F"},
    "GIF": {"save_all": True, "frames": 3},
    "BMP": {},
    "HEIF": {"quality": 60},
    "HEIF grid": {"quality": 40, "tile_size": 64},
    "AVIF": {"speed": 9},
    "AVIF animated": {"speed": 10, "save_all": True, "frames": 2},
}


def encoded(picture: Image.Image, kind: str) -> bytes:
    options = dict(KINDS[kind])
    picture = picture.convert(options.pop("mode", "RGB"))
    frames = [picture.rotate(90 * n) for n in range(1, options.pop("frames", 1))]
    exif = Image.Exif()
    exif[0x0112] = 6
    file = io.BytesIO()
    extra = {"append_images": frames} if frames else {}
    known = {} if kind in ("BMP", "GIF", "AVIF animated") else {"exif": exif}
    picture.save(file, kind.split(maxsplit=1)[0], **options, **extra, **known)
    return file.getvalue()


def mutated(content: bytes, rng: random.Random) -> bytes:
    data = bytearray(content)
    for _ in range(rng.choice([1, 1, 2, 4, 16])):
        at = rng.randrange(len(data)) if rng.random() < 0.5 else rng.randrange(min(len(data), 700))
        match rng.randrange(7):
            case 0:
                data[at] ^= 1 << rng.randrange(8)
            case 1:
                data[at] = rng.choice([0, 1, 127, 128, 255])
            case 2:
                data[at : at + 4] = rng.randbytes(4)
            case 3:
                del data[at : at + rng.randrange(1, 64)]
            case 4:
                data[at:at] = data[at // 2 : at // 2 + rng.randrange(64)]
            case 5:
                data[at : at + 4] = rng.choice([b"\xff\xff\xff\xff", b"\0\0\xff\xff", b"\x7f\xff\xff\xff", bytes(4)])
            case _:
                start = rng.randrange(len(data))
                data[at : at + 40] = data[start : start + 40]
        if len(data) < 16:
            break
    return bytes(data)


def run(folder: Path, seed: int, times: int, seconds: float) -> dict[str, Any]:
    pillow_heif.register_heif_opener()
    pictures = [Image.open(path).resize((200, 150)) for path in sorted(folder.rglob("*.jpg"))[:4]]
    files = [(kind, encoded(picture, kind)) for kind in KINDS for picture in pictures]
    for _, content in files:
        assert isinstance(images.decode(content, SIDE, SETTINGS), np.ndarray)
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    limit = pages * resource.getpagesize() + (SETTINGS.max_decode_mb + SLACK_MB) * 1_000_000
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    rng, ends = random.Random(seed), time.monotonic() + seconds
    counts: dict[str, collections.Counter[str]] = {kind: collections.Counter() for kind in KINDS}
    slowest, failed = 0.0, []
    for number in range(times):
        if time.monotonic() > ends:
            break
        for kind, content in files:
            state = rng.randbytes(8).hex()
            changed = mutated(content, random.Random(state))
            faulthandler.dump_traceback_later(HANG_SECONDS, exit=True)
            began = time.process_time()
            found, warning = images.decode_noting(changed, SIDE, SETTINGS)
            took = time.process_time() - began
            slowest = max(slowest, took)
            if isinstance(found, images.Rejection):
                outcome = found.reason
                detail = found.detail.lower()
                over = any(text in detail for text in ("memoryerror", "bad_alloc", "out of memory", "cannot allocate"))
                if over or took > MOST_SECONDS:
                    failed.append(f"{kind}, round {number}, {state}: {took:.1f} s, {found.detail}")
            else:
                assert found.shape == (SIDE, SIDE, 3)
                assert found.dtype == np.uint8
                outcome = "read with a warning" if warning else "read"
            counts[kind][outcome] += 1
    faulthandler.cancel_dump_traceback_later()
    return {
        "seed": seed,
        "mutations": sum(sum(count.values()) for count in counts.values()),
        "slowest_seconds": round(slowest, 2),
        "peak_rss_mb": round(peak_rss_mb()),
        "failed": failed,
        "counts": counts,
    }


if __name__ == "__main__":
    faulthandler.enable()
    done = run(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]), float(sys.argv[4]))
    sys.stdout.write(json.dumps(done) + "\n")
    sys.exit(bool(done["failed"]))
