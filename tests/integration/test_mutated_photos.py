"""Native decoders on damaged photos, in a child: a crash there would end a worker and not just a photo."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import ROOT, Cli, take

PHOTOS, KINDS = 200, ("JPEG", "PNG", "WEBP", "TIFF", "GIF", "BMP")
MUTATE = """
import collections, io, json, random, sys
from pathlib import Path
import numpy as np
from PIL import Image
from fruitscale.kernels import images

def mutated(content, rng):
    data = bytearray(content)
    for _ in range(rng.choice([1, 1, 2, 4, 16])):
        at = rng.randrange(len(data)) if rng.random() < 0.5 else rng.randrange(min(len(data), 700))
        match rng.randrange(5):
            case 0: data[at] ^= 1 << rng.randrange(8)
            case 1: data[at] = rng.choice([0, 1, 127, 128, 255])
            case 2: data[at:at + 4] = rng.randbytes(4)
            case 3: del data[at:at + rng.randrange(1, 64)]
            case 4: data[at:at] = data[at // 2:at // 2 + rng.randrange(64)]
        if len(data) < 16: break
    return bytes(data)

folder, kinds, times = Path(sys.argv[1]), sys.argv[2].split(","), int(sys.argv[3])
counts = {kind: collections.Counter() for kind in kinds}
for number, path in enumerate(sorted(folder.rglob("*.jpg"))):
    for kind in kinds:
        buffer = io.BytesIO(path.read_bytes())
        if kind != "JPEG":
            picture, buffer = Image.open(buffer), io.BytesIO()
            picture.save(buffer, kind)
        rng = random.Random(f"{number} {kind}")
        for _ in range(times):
            found = images.decode(mutated(buffer.getvalue(), rng), 64)
            if isinstance(found, images.Rejection):
                counts[kind][found.reason] += 1
            else:
                assert found.shape == (64, 64, 3) and found.dtype == np.uint8
                counts[kind]["decoded"] += 1
print(json.dumps(counts))
"""


@pytest.mark.parametrize("times", [pytest.param(1), pytest.param(60, marks=pytest.mark.slow)])
def test_no_mutation_of_a_photo_ends_the_process(
    cli: Cli, all_photos: Path, tmp_path: Path, times: int, capsys: pytest.CaptureFixture[str]
) -> None:
    photos = take(all_photos, tmp_path / "in", labels=10, each=PHOTOS // 10)
    done = subprocess.run(
        [sys.executable, "-X", "faulthandler", "-c", MUTATE, str(photos), ",".join(KINDS), str(times)],
        env=cli.environment,
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=1500,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    counts = json.loads(done.stdout)
    if times > 1:
        with capsys.disabled():
            sys.stdout.write(f"\n{json.dumps(counts)}\n")
    for kind in KINDS:
        assert sum(counts[kind].values()) == PHOTOS * times
        assert counts[kind]["decoded"] < PHOTOS * times
