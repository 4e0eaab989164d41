"""Thirty bad files among 500 good ones: each is read right or rejected with its reason, and all are counted."""

from __future__ import annotations

import os
import struct
import subprocess
import sys
import zlib
from io import BytesIO
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image

from fruitscale.kernels.backbone import F32
from fruitscale.sample import draw
from tests.conftest import QUICK, Cli

GOOD = 500


def _bytes(image: Image.Image, kind: str, **options: object) -> bytes:
    sink = BytesIO()
    image.save(sink, kind, **options)
    return sink.getvalue()


def _bomb() -> bytes:
    """A PNG of 30,000 × 30,000 pixels in its header."""

    def chunk(name: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", 30_000, 30_000, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(b"\0" * 1000)) + chunk(b"IEND", b"")


def _odd_files(photo: bytes) -> tuple[dict[str, bytes], dict[str, tuple[bytes, str]]]:
    """Files that are to be read, and files that are to be rejected with a reason."""
    image = Image.open(BytesIO(photo))
    exif = Image.Exif()
    exif[0x0112] = 6
    grey16 = Image.fromarray(np.full((100, 100), 40_000, np.uint16))
    frames = [image.convert("P"), Image.new("P", image.size)]
    animated = _bytes(frames[0], "GIF", save_all=True, append_images=frames[1:])
    good = {
        "png_100.jpg": _bytes(image, "PNG"),
        "cmyk_100.jpg": _bytes(image.convert("CMYK"), "JPEG"),
        "grey_100.jpg": _bytes(image.convert("L"), "JPEG"),
        "sixteen_100.png": _bytes(grey16, "PNG"),
        "alpha_100.png": _bytes(image.convert("RGBA"), "PNG"),
        "palette_100.png": _bytes(image.convert("P"), "PNG"),
        "one_100.jpg": _bytes(image.resize((1, 1)), "JPEG"),
        "turned_100.jpg": _bytes(image, "JPEG", exif=exif),
        "animated_100.gif": animated,
        "webp_100.webp": _bytes(image, "WEBP"),
        "tiff_100.tiff": _bytes(image, "TIFF"),
        "bmp_100.BMP": _bytes(image, "BMP"),
        "line\nbreak_100.jpg": photo,
        "per%20cent_100.jpg": photo,
        "a#1.jpg": photo,
        "🍎_100.jpg": photo,
        "é" * 120 + ".jpg": photo,
        "=formula_100.jpg": photo,
        "<b>bold_100.jpg": photo,
    }
    bad = {
        "empty_100.jpg": (b"", "empty"),
        "tenth_100.jpg": (photo[: len(photo) // 10], "truncated"),
        "half_100.jpg": (photo[: len(photo) // 2], "truncated"),
        "most_100.jpg": (photo[: len(photo) * 99 // 100], "truncated"),
        "page_100.jpg": (b"<!doctype html><title>404</title>", "not an image"),
        "text_100.png": (b"just words", "not an image"),
        "bomb_100.png": (_bomb(), "too many pixels"),
        "zeros_100.jpg": (bytes(3000), "not an image"),
    }
    return good, bad


@pytest.fixture(scope="module")
def mixed(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, int, dict[str, str]]:
    folder = draw(tmp_path_factory.mktemp("mixed") / "in", classes=10, per_class=GOOD // 10).path
    label = sorted(folder.iterdir())[0]
    photo = sorted(label.glob("*.jpg"))[0].read_bytes()
    good, bad = _odd_files(photo)
    for name, content in good.items():
        (label / name).write_bytes(content)
    for name, (content, _) in bad.items():
        (label / name).write_bytes(content)
    undecodable = os.fsencode(label) + b"/\xff\xfe_100.jpg"
    with open(undecodable, "wb") as file:  # noqa: PTH123  pathlib has no paths of bytes
        file.write(photo)
    reasons = {name: reason for name, (_, reason) in bad.items()} | {"\\xff\\xfe_100.jpg": "name"}
    return folder, GOOD + len(good), reasons


def test_each_is_read_or_rejected_with_its_reason(
    cli: Cli, mixed: tuple[Path, int, dict[str, str]], tmp_path: Path
) -> None:
    folder, n_good, reasons = mixed
    run = tmp_path / "run"
    limit = "images.max_reject_fraction=0.1"
    record = cli("run", "-e", "local", *QUICK, "--set", limit, "-i", folder, "-o", run, "--json").record
    assert record["images"]["featurized"] == n_good
    found = subprocess.run(["find", folder, "-type", "f", "-print0"], capture_output=True, check=True).stdout
    assert record["images"]["featurized"] + record["images"]["rejected"] == found.count(b"\0")
    told = {row["path"].split("/", 1)[1]: row["reason"] for row in pq.read_table(run / "rejects.parquet").to_pylist()}
    assert told == reasons


def test_too_many_rejects_fail_after_they_are_listed(
    cli: Cli, mixed: tuple[Path, int, dict[str, str]], tmp_path: Path
) -> None:
    folder, _, reasons = mixed
    run = tmp_path / "run"
    arguments = ["run", "-e", "local", *QUICK, "-i", folder, "-o", run]
    ran = cli(*arguments, "--set", "images.max_reject_fraction=0.01")
    assert ran.code == 1
    assert f"{len(reasons)} of " in ran.err
    assert pq.read_table(run / "rejects.parquet").num_rows == len(reasons)
    assert not (run / "run.json").exists()
    again = cli(*arguments, "--set", "images.max_reject_fraction=0.1", "--json").record
    assert again["images"]["resumed"] == again["images"]["featurized"]


def test_on_error_fail_names_the_first(cli: Cli, mixed: tuple[Path, int, dict[str, str]], tmp_path: Path) -> None:
    ran = cli("run", "-e", "local", *QUICK, "-i", mixed[0], "-o", tmp_path / "run", "--set", "images.on_error=fail")
    assert ran.code == 1
    assert "_100." in ran.err
    assert "Traceback" not in ran.err


def test_a_photo_that_may_not_be_read_stops_the_run(photos: Path, tmp_path: Path, cache: Path) -> None:
    """Run in a child that has given up root's rights, which would read anything."""
    label = sorted(photos.iterdir())[0]
    source = tmp_path / "in" / "Apple"
    source.mkdir(parents=True)
    for photo in sorted(label.glob("*.jpg"))[:20]:
        (source / photo.name).write_bytes(photo.read_bytes())
    secret = sorted(source.iterdir())[7]
    script = f"""
import os, sys
import numpy, cv2, simplejpeg, pyarrow.parquet, threadpoolctl  # what may be where another user can't read it
from fruitscale.config.schema import Images, Storage
from fruitscale.kernels.backbone import F32
from fruitscale.errors import InputError
from fruitscale import stages
from fruitscale.runs import manifest
from fruitscale.storage import listing
from fruitscale.storage.store import open_store
from fruitscale.config.schema import Input
source, out = {str(tmp_path / "in")!r}, {str(tmp_path / "out")!r}
listed = manifest.build(listing.list_photos(Input(uri=source), Storage()))
manifest.write(listed, open_store(out, Storage()))
os.chmod(out, 0o777); os.chmod({str(secret)!r}, 0)
for folder in [out, *map(str, __import__("pathlib").Path(out).parents)][:-2]:
    os.chmod(folder, os.stat(folder).st_mode | 0o005)
if os.geteuid() == 0:
    os.setgroups([]), os.setegid(65534), os.seteuid(65534)
job = stages.Job("r", source, out, Storage(), Images(), "manifest.parquet", "x", "y", F32, 64, 8, 64)
try:
    stages.featurize_shards(stages.ShardBatch(job, (stages.Shard(0, 0, 20),)), None)
except InputError as error:
    print(error)
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert secret.name in done.stdout, done.stderr
    assert "ermission denied" in done.stdout


def test_a_photo_replaced_during_the_run_is_rejected_as_changed(photos: Path, tmp_path: Path) -> None:
    from fruitscale import stages
    from fruitscale.config.schema import Images, Input, Storage
    from fruitscale.runs import manifest
    from fruitscale.storage import listing, lock
    from fruitscale.storage.store import open_store
    from tests.conftest import take

    source, out = take(photos, tmp_path / "in", labels=1, each=3), str(tmp_path / "out")
    store = open_store(out, Storage())
    manifest.write(manifest.build(listing.list_photos(Input(uri=str(source)), Storage())), store)
    for photo, content in zip(sorted(source.rglob("*.jpg")), (b"another", None, b"third"), strict=True):
        photo.unlink() if content is None else photo.write_bytes(content)
    job = stages.Job("r", str(source), out, Storage(), Images(), "manifest.parquet", "x", "y", F32, 64, 8, 64)
    with lock.locked(store, "r"):
        (report,) = stages.featurize_shards(stages.ShardBatch(job, (stages.Shard(0, 0, 3),)), None)
    assert (report.featurized, report.rejected) == (0, 3)
    rows = pq.read_table(tmp_path / "out" / "_run" / "rejects" / "part-00000.parquet").to_pylist()
    assert [(row["reason"], row["detail"]) for row in rows] == [
        ("changed", "it changed since it was listed"),
        ("changed", "it is gone since it was listed"),
        ("changed", "it changed since it was listed"),
    ]
