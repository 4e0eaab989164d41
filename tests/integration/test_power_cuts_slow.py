"""Power cuts: copies of a mounted disk, taken at seeded moments, are mounted and the same command is run on them again.

A copy has what had reached the disk at that moment, and nothing of the page cache: what a power cut leaves.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from tests.conftest import QUICK, Cli, part_bytes, take

NEEDED = ("mkfs.ext4", "losetup", "mount", "umount")
CAN_MOUNT = os.geteuid() == 0 and Path("/dev/loop0").exists() and all(map(shutil.which, NEEDED))
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not CAN_MOUNT, reason="mounting a disk image takes root, a loop device and mkfs.ext4"),
]

RUN = ["-e", "local", *QUICK, "--set", "shards.images=8"]
CHANGES = {
    "run": [],
    "overwrite": ["--set", "input.limit=40", "--overwrite"],
    "refit": ["--set", "pca.components=3"],
}
CUTS = 4
ERASED = "erased-"


@contextmanager
def mounted(image: Path) -> Iterator[Path]:
    """Mount a disk image within the block."""
    folder = image.with_suffix(".mount")
    folder.mkdir(exist_ok=True)
    subprocess.run(["mount", "-o", "loop", str(image), str(folder)], check=True)
    try:
        yield folder
    finally:
        subprocess.run(["umount", str(folder)], check=True)


def make_image(path: Path) -> Path:
    with path.open("wb") as file:
        file.truncate(96 * 2**20)
    subprocess.run(["mkfs.ext4", "-q", "-F", str(path)], check=True)
    return path


def cut(image: Path, copy: Path) -> Path:
    """Copy a disk image in a moment in which nothing is written to it."""
    while True:
        before = image.stat().st_mtime_ns
        subprocess.run(["cp", "--sparse=always", str(image), str(copy)], check=True)
        if image.stat().st_mtime_ns == before:
            return copy


@pytest.fixture(scope="module")
def source(photos: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = take(photos, tmp_path_factory.mktemp("source") / "in", labels=4, each=16)
    for photo in sorted(folder.rglob("*.jpg"))[::8]:
        photo.rename(photo.with_name(f"{ERASED}{photo.name}"))
    return folder


def cuts_during(cli: Cli, arguments: list[object], image: Path, seconds: float, seed: int) -> list[Path]:
    """Run a command, and return copies of the disk taken at seeded moments until just after its end."""
    moments = sorted(random.Random(seed).uniform(0.5, seconds) for _ in range(CUTS - 1))
    process, began, copies = cli.start(*arguments), time.monotonic(), []
    for number, moment in enumerate(moments):
        while time.monotonic() - began < moment and process.poll() is None:
            time.sleep(0.01)
        copies.append(cut(image, image.with_name(f"cut-{number}.img")))
    _, err = process.communicate(timeout=120)
    assert process.returncode == 0, err
    copies.append(cut(image, image.with_name("cut-after.img")))
    return copies


@pytest.mark.parametrize("what", CHANGES)
def test_a_run_survives_a_power_cut(cli: Cli, source: Path, tmp_path: Path, what: str) -> None:
    change, image = CHANGES[what], make_image(tmp_path / "disk.img")
    clean = cli("run", *RUN, *change, "-i", source, "-o", tmp_path / "clean")
    assert clean.code == 0, clean.err
    seconds = 0.0
    with mounted(image) as disk:
        if change:
            began = time.monotonic()
            assert cli("run", *RUN, "-i", source, "-o", disk / "run").code == 0
            seconds = time.monotonic() - began
            subprocess.run(["sync"], check=True)
        copies = cuts_during(
            cli, ["run", *RUN, *change, "-i", source, "-o", disk / "run"], image, seconds or 4, seed=11
        )
    for copy in copies:
        with mounted(copy) as disk:
            if copy.stem == "cut-after":
                assert (disk / "run" / "run.json").exists()  # it had ended with success
            elif change:
                assert (disk / "run" / "run.json").exists() or (disk / "run" / "_run" / "next" / "run.json").exists()
            again = cli(
                "run",
                *RUN,
                *[word for word in change if word != "--overwrite" or _is_old(disk)],
                "-i",
                source,
                "-o",
                disk / "run",
            )
            assert again.code == 0, again.err
            assert part_bytes(disk / "run") == part_bytes(tmp_path / "clean")


def _is_old(disk: Path) -> bool:
    """Whether the run in the folder is still the one that is replaced."""
    return (
        not (disk / "run" / "_run" / "next" / "run.json").exists()
        and pq.read_metadata(disk / "run" / "manifest.parquet").num_rows == 64
    )


def test_an_erasure_survives_a_power_cut(cli: Cli, source: Path, tmp_path: Path) -> None:
    image = make_image(tmp_path / "disk.img")
    with mounted(image) as disk:
        assert cli("run", *RUN, "-i", source, "-o", disk / "run").code == 0
        subprocess.run(["sync"], check=True)
        selection = ["erase", disk / "run", "--matching", f"*/{ERASED}*"]
        copies = cuts_during(cli, selection, image, 2, seed=12)
    for copy in copies:
        with mounted(copy) as disk:
            run = disk / "run"
            begun = (run / "_run" / "erase.json").exists()
            receipts = list((run / "_run" / "erasures").glob("*.json"))
            if begun:
                assert cli("erase", run).code == 0
            elif not receipts:  # it had not begun: the run is complete, with every photo
                assert json.loads((run / "run.json").read_text())["input"]["images"] == 64
                assert cli("run", *RUN, "-i", source, "-o", run).code == 0
                continue
            paths = [path for table in run.rglob("*.parquet") for path in pq.read_table(table)["path"].to_pylist()]
            assert paths
            assert not [path for path in paths if ERASED in path]
