"""Photos that kill the process that decodes them: each becomes a reject, on every engine, and the run completes."""

from __future__ import annotations

import os
import signal
import sys
from contextlib import closing
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from fruitscale.bench.local_clusters import dask_cluster, spark_cluster
from fruitscale.config.schema import Images, Input, Storage
from fruitscale.kernels.images import Rejection, decode
from fruitscale.report.thumbnails import thumbnails
from fruitscale.runs.careful_decoder import REASON, CarefulDecoder
from fruitscale.storage.listing import list_photos
from fruitscale.storage.residency import StorageAccess
from tests.conftest import QUICK, ROOT, SLOW_ENGINES, Cli, part_bytes, take

SIGNALS = ("SIGSEGV", "SIGABRT", "SIGKILL")
KILLER = """
import os, signal
import simplejpeg
decode = simplejpeg.decode_jpeg
def kill_or_decode(content, *arguments, **options):
    for name in ("SIGSEGV", "SIGABRT", "SIGKILL"):
        if b"this decoder ends by " + name.encode() in content:
            os.kill(os.getpid(), getattr(signal, name))
    while b"this decoder ends by nothing" in content:
        pass
    return decode(content, *arguments, **options)
simplejpeg.decode_jpeg = kill_or_decode
"""


def mark(content: bytes, name: str) -> bytes:
    """Return a JPEG with a comment that makes the tests' decoder end its process."""
    comment = f"this decoder ends by {name}".encode()
    return content[:2] + b"\xff\xfe" + (len(comment) + 2).to_bytes(2, "big") + comment + content[2:]


@pytest.fixture
def killing_path(tmp_path: Path) -> str:
    """A PYTHONPATH on which every Python finds a decoder that dies of marked photos."""
    folder = tmp_path / "decoder"
    folder.mkdir()
    (folder / "sitecustomize.py").write_text(KILLER)
    return f"{folder}{os.pathsep}{ROOT}"


@pytest.fixture
def dangerous(photos: Path, tmp_path: Path) -> Path:
    """96 photos in 6 shards of 16, of which 4 kill their decoder: two in one shard."""
    folder = take(photos, tmp_path / "in", labels=6, each=16)
    found = sorted(folder.rglob("*.jpg"))
    for index, name in ((3, "SIGSEGV"), (9, "SIGABRT"), (40, "SIGKILL"), (95, "SIGSEGV")):
        found[index].write_bytes(mark(found[index].read_bytes(), name))
        found[index].rename(found[index].with_name(f"{name}-{index}.jpg"))
    return folder


@pytest.mark.parametrize("engine_name", SLOW_ENGINES)
def test_photos_that_kill_their_decoder_are_rejects(
    cli: Cli, engine_name: str, dangerous: Path, killing_path: str, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    options = ["--engine", engine_name, "--set", "shards.images=16", "--json"]
    done = cli("run", *QUICK, *options, "-i", dangerous, "-o", run, PYTHONPATH=killing_path)
    assert done.code == 0, done.err
    rejects = pq.read_table(run / "rejects.parquet").to_pylist()
    assert len(rejects) == 4
    for reject in rejects:
        name = Path(reject["path"]).name.partition("-")[0]
        assert reject["reason"] == REASON
        assert name in reject["detail"]
        assert f"Warning: {reject['path']} crashed the decoder" in done.err
    assert done.record["retries"]["tasks"] > 0

    spared = tmp_path / "spared"
    for path in dangerous.rglob("SIG*.jpg"):
        path.write_bytes(b"no photo")  # rejects too, so every part has the same photos
    clean = cli("run", *QUICK, *options, "-i", dangerous, "-o", spared)
    assert clean.code == 0, clean.err
    assert part_bytes(run) == part_bytes(spared)


def test_with_on_error_fail_the_photo_is_named(cli: Cli, dangerous: Path, killing_path: str, tmp_path: Path) -> None:
    options = ["--engine", "local", "--set", "shards.images=16", "--set", "images.on_error=fail"]
    done = cli("run", *QUICK, *options, "-i", dangerous, "-o", tmp_path / "run", PYTHONPATH=killing_path)
    assert done.code == 1
    assert REASON in done.err
    assert "SIG" in done.err
    assert "Traceback" not in done.err


def test_a_child_process_decodes_as_the_worker_does(photos: Path) -> None:
    content = min(photos.rglob("*.jpg")).read_bytes()
    decoder = CarefulDecoder()
    try:
        pixels, warning = decoder.decode(content, 64, Images())
        assert (pixels == decode(content, 64)).all()  # type: ignore[union-attr]
        assert warning is None
        assert decoder.decode(b"no photo", 64, Images()) == (decode(b"no photo", 64), None)
    finally:
        decoder.close()
        decoder.close()


@pytest.mark.parametrize("name", SIGNALS)
def test_after_a_crash_the_next_photo_is_decoded(
    name: str, photos: Path, killing_path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", killing_path)
    content = min(photos.rglob("*.jpg")).read_bytes()
    decoder = CarefulDecoder()
    try:
        found, _ = decoder.decode(mark(content, name), 64, Images())
        assert isinstance(found, Rejection)
        assert (found.reason, getattr(signal, name).name in found.detail) == (REASON, True)
        assert not isinstance(decoder.decode(content, 64, Images())[0], Rejection)
    finally:
        decoder.close()


def test_a_decoder_that_does_not_end_is_ended(photos: Path, killing_path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", killing_path)
    content = min(photos.rglob("*.jpg")).read_bytes()
    with closing(CarefulDecoder()) as decoder:
        found, _ = decoder.decode(mark(content, "nothing"), 64, Images(max_seconds=1))
        assert found == Rejection(REASON, "Decoding it took more than 1 s (images.max_seconds).")
        assert not isinstance(decoder.decode(content, 64, Images(max_seconds=1))[0], Rejection)


@pytest.mark.slow
def test_photos_that_take_too_long_are_rejects(
    cli: Cli, engine_name: str, photos: Path, killing_path: str, tmp_path: Path
) -> None:
    folder = take(photos, tmp_path / "in", labels=2, each=16)
    slow = min(folder.rglob("*.jpg"))
    slow.write_bytes(mark(slow.read_bytes(), "nothing"))
    options = ["--engine", engine_name, "--set", "images.max_seconds=1", "--json"]
    done = cli("run", *QUICK, *options, "-i", folder, "-o", tmp_path / "run", PYTHONPATH=killing_path)
    assert done.code == 0, done.err
    (reject,) = pq.read_table(tmp_path / "run" / "rejects.parquet").to_pylist()
    assert (reject["path"], reject["reason"]) == (slow.relative_to(folder).as_posix(), REASON)
    assert "images.max_seconds" in reject["detail"]


def test_thumbnails_survive_photos_that_kill_their_decoder(
    photos: Path, killing_path: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", killing_path)
    folder = take(photos, tmp_path / "in", labels=1, each=3)
    victim = sorted(folder.rglob("*.jpg"))[1]
    victim.write_bytes(mark(victim.read_bytes(), "SIGSEGV"))
    listed = sorted(list_photos(Input(uri=str(folder)), Storage()))
    made = thumbnails(str(folder), listed, Images(), StorageAccess(), 100_000)
    assert [bool(one) for one in made] == [True, False, True]


@pytest.mark.slow
def test_the_driver_survives_photos_that_kill_a_decoder(
    cli: Cli, dangerous: Path, killing_path: str, tmp_path: Path
) -> None:
    """They were decoded by the workers; in the driver a decoder may meet another scale, or be another version."""
    run = tmp_path / "run"
    done = cli("run", *QUICK, "--engine", "local", "-i", dangerous, "-o", run)
    assert done.code == 0, done.err
    for command in (["report", run], ["evaluate", run, run]):
        done = cli(*command, PYTHONPATH=killing_path)
        assert done.code == 0, done.err
    assert "4 of " in (run / "report.html").read_text()


def test_a_huge_file_is_a_reject_that_nobody_reads(cli: Cli, photos: Path, tmp_path: Path) -> None:
    folder = take(photos, tmp_path / "in", labels=2, each=16)
    huge = folder / min(folder.iterdir()).name / "huge.jpg"
    with huge.open("wb") as file:
        file.truncate(10_000_000_000)  # it takes no space: a file of holes
    run = tmp_path / "run"
    done = cli("run", *QUICK, "--engine", "local", "--json", "-i", folder, "-o", run)
    assert done.code == 0, done.err
    (reject,) = pq.read_table(run / "rejects.parquet").to_pylist()
    assert (Path(reject["path"]).name, reject["reason"]) == ("huge.jpg", "too large")
    assert "10,000,000,000 bytes" in reject["detail"]
    assert done.record["retries"]["tasks"] == 0


def test_a_file_of_just_max_bytes_is_decoded(photos: Path) -> None:
    content = min(photos.rglob("*.jpg")).read_bytes()
    assert not isinstance(decode(content, 64, Images(max_bytes=len(content))), Rejection)
    found = decode(content, 64, Images(max_bytes=len(content) - 1))
    assert isinstance(found, Rejection)
    assert found.reason == "too large"


@pytest.mark.slow
@pytest.mark.parametrize("engine", ["spark", "dask"])
def test_on_an_existing_cluster_too(
    engine: str, cli: Cli, dangerous: Path, killing_path: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", killing_path)  # the cluster's workers inherit it
    (tmp_path / "cluster").mkdir()
    start, key = (spark_cluster, "spark.master") if engine == "spark" else (dask_cluster, "dask.scheduler")
    with start(tmp_path / "cluster") as cluster:
        options = ["--engine", engine, "--set", f"{key}={cluster.address}", "--set", "shards.images=16", "--json"]
        if engine == "spark":
            conf = f"spark.executor.memory: 512m, spark.driver.host: 127.0.0.1, spark.pyspark.python: {sys.executable}"
            options += ["--set", f"spark.conf={{{conf}}}"]
        done = cli("run", *QUICK, *options, "-i", dangerous, "-o", tmp_path / "run", PYTHONPATH=killing_path)
    assert done.code == 0, done.err
    assert [r["reason"] for r in pq.read_table(tmp_path / "run" / "rejects.parquet").to_pylist()] == [REASON] * 4
