"""A complete run stays complete until another one replaces it, whatever fails or stops in between."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from fruitscale.runs.replacement import NEXT, finish_pending
from fruitscale.storage.store import LocalStore
from tests.conftest import QUICK, SLOW_ENGINES, Cli, part_bytes, take
from tests.integration.test_interruptions import wait_for

SHARD = ["--set", "shards.images=16"]
RUN = ["-e", "local", *QUICK, *SHARD]
OTHERS = {
    "another-pca": ["--set", "pca.components=3"],
    "another-model": ["--set", "model.architecture=patch_mean", "--overwrite"],
    "other-photos": ["--set", "input.limit=50", "--overwrite"],
}
MOMENTS = {"plan": "_run/plan.json", "features": "features/part-00000.parquet", "pca": "pca/pca.npz",
           "scores": "reduced/part-00000.parquet", "rejects": "rejects.parquet"}  # fmt: skip


@pytest.fixture(scope="module")
def source(photos: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return take(photos, tmp_path_factory.mktemp("few") / "in", labels=4, each=24)


@pytest.fixture(scope="module")
def complete_run(cli: Cli, source: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = tmp_path_factory.mktemp("complete") / "run"
    made = cli("run", *RUN, "-i", source, "-o", run)
    assert made.code == 0, made.err
    return run


@pytest.fixture
def run(complete_run: Path, tmp_path: Path) -> Path:
    return shutil.copytree(complete_run, tmp_path / "run")


@pytest.fixture(
    params=[n if n == "another-pca" else pytest.param(n, marks=pytest.mark.slow) for n in OTHERS], ids=list(OTHERS)
)
def other(request: pytest.FixtureRequest) -> list[str]:
    return OTHERS[request.param]


def files_of(run: Path) -> dict[str, bytes]:
    """Every file of a run that its record names, and the record."""
    record = json.loads((run / "run.json").read_text())
    return {name: (run / name).read_bytes() for name in [*record["files"], "run.json"]}


def left_over(run: Path) -> list[str]:
    """Files in a run folder that no run accounts for."""
    known = {*files_of(run), "_run/lock", "_run/progress.json"}
    found = [path.relative_to(run).as_posix() for path in run.rglob("*") if path.is_file()]
    return [name for name in found if name not in known and not name.startswith("_run/erasures/")]


@pytest.mark.parametrize("engine", SLOW_ENGINES)
def test_the_new_run_takes_the_place_of_the_old(
    cli: Cli, engine: str, source: Path, run: Path, tmp_path: Path, other: list[str]
) -> None:
    replaced = cli("run", *RUN, "-e", engine, *other, "-i", source, "-o", run)
    assert replaced.code == 0, replaced.err
    fresh = cli("run", *RUN, *other, "-i", source, "-o", tmp_path / "fresh")
    assert fresh.code == 0, fresh.err
    assert part_bytes(run) == part_bytes(tmp_path / "fresh")
    assert left_over(run) == []
    assert not (run / NEXT).exists()


@pytest.mark.parametrize(
    "failure",
    [
        ["-e", "dask", "--set", "dask.scheduler=tcp://127.0.0.1:1"],
        ["--set", "input.include=[*.nothing]"],
        ["--set", "model.exported=nothing"],
    ],
    ids=["no-engine", "no-photos", "no-model"],
)
def test_a_run_that_fails_leaves_the_old_one(
    cli: Cli, source: Path, run: Path, failure: list[str], other: list[str]
) -> None:
    before = files_of(run)
    failed = cli("run", *RUN, *other, "-i", source, "-o", run, "--overwrite", *failure)
    assert failed.code in (1, 2), failed.err
    assert files_of(run) == before


def test_bad_photos_leave_the_old_run(cli: Cli, source: Path, run: Path, tmp_path: Path) -> None:
    bad = tmp_path / "bad"
    shutil.copytree(source, bad)
    for photo in sorted(bad.rglob("*.jpg"))[:40]:
        photo.write_bytes(b"no photo")
    before = files_of(run)
    failed = cli("run", *RUN, "-i", bad, "-o", run, "--overwrite")
    assert failed.code == 1
    assert "max_reject_fraction" in failed.err
    assert f"{run / NEXT}/rejects.parquet" in failed.err.replace("\n", "")
    assert files_of(run) == before


@pytest.mark.parametrize(
    "moment", ["pca", *(pytest.param(name, marks=pytest.mark.slow) for name in MOMENTS if name != "pca")]
)
def test_an_interrupted_replacement_leaves_the_old_run_and_resumes(
    cli: Cli, source: Path, run: Path, tmp_path: Path, other: list[str], moment: str
) -> None:
    before = files_of(run)
    process = cli.start("run", *RUN, *other, "-i", source, "-o", run)
    awaited = run / NEXT / MOMENTS[moment]
    assert wait_for(lambda: awaited.exists() or process.poll() is not None or not _is_unchanged(run, before))
    os.kill(process.pid, signal.SIGINT)
    assert _ended(process) in (0, 130)
    if _is_unchanged(run, before):
        assert files_of(run) == before
    else:  # it came too late: the new run is complete
        assert left_over(run) == []
    assert cli("run", *RUN, *other, "-i", source, "-o", run).code == 0
    assert cli("run", *RUN, *other, "-i", source, "-o", tmp_path / "fresh").code == 0
    assert part_bytes(run) == part_bytes(tmp_path / "fresh")
    assert left_over(run) == []


def _is_unchanged(run: Path, before: dict[str, bytes]) -> bool:
    record = run / "run.json"  # missing while the new run takes its place
    return record.exists() and record.read_bytes() == before["run.json"]


class _StoppingStore(LocalStore):
    """A folder that fails at its n-th change, as if the process were killed there."""

    def __init__(self, root: Path, changes: int) -> None:
        super().__init__(root)
        self.left = changes

    def write(self, name: str, content: bytes, *, durable: bool = False) -> None:
        self._count()
        super().write(name, content, durable=durable)

    def move(self, old: str, new: str) -> None:
        self._count()
        super().move(old, new)

    def delete(self, name: str) -> None:
        self._count()
        super().delete(name)

    def _count(self) -> None:
        self.left -= 1
        if self.left < 0:
            raise InterruptedError


@pytest.fixture(scope="module")
def pending(cli: Cli, source: Path, complete_run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A complete run, and a complete replacement that has not taken its place."""
    folder = tmp_path_factory.mktemp("pending") / "run"
    new = folder.with_name("new")
    assert cli("run", *RUN, *OTHERS["other-photos"], "-i", source, "-o", new).code == 0
    shutil.copytree(complete_run, folder)
    shutil.copytree(new, folder / NEXT, ignore=shutil.ignore_patterns("lock", "progress.json"))
    return folder


def _stops(pending: Path, tmp_path: Path) -> Iterator[Path]:
    for changes in range(200):
        folder = tmp_path / str(changes)
        shutil.copytree(pending, folder)
        try:
            finish_pending(_StoppingStore(folder, changes))
        except InterruptedError:
            yield folder
        else:
            return


def test_a_switch_stopped_at_any_change_is_finished(pending: Path, tmp_path: Path) -> None:
    expected = files_of(pending / NEXT)
    stopped = 0
    for folder in _stops(pending, tmp_path):
        finish_pending(LocalStore(folder))
        assert files_of(folder) == expected
        assert left_over(folder) == []
        shutil.rmtree(folder)
        stopped += 1
    assert stopped > len(expected)


@pytest.mark.parametrize("left", [["run.json"], ["run.json", "pca/pca.npz"]], ids=["alone", "incomplete"])
def test_a_commit_without_its_files_replaces_nothing(pending: Path, tmp_path: Path, left: list[str]) -> None:
    folder = tmp_path / "run"
    shutil.copytree(pending, folder)
    before = files_of(folder)
    for path in (folder / NEXT).rglob("*"):
        if path.is_file() and path.relative_to(folder / NEXT).as_posix() not in left:
            path.unlink()
    finish_pending(LocalStore(folder))
    assert files_of(folder) == before
    assert not (folder / NEXT).exists()


def test_readers_refuse_a_switch_that_was_interrupted(cli: Cli, pending: Path, source: Path, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    shutil.copytree(pending, folder)
    (folder / "run.json").unlink()
    shown = cli("show", folder)
    assert shown.code == 1
    assert "replacing the run was interrupted" in shown.err
    finished = cli("run", *RUN, *OTHERS["other-photos"], "-i", source, "-o", folder, "--json")
    assert finished.record["input"]["images"] == 50
    assert files_of(folder) == files_of(pending / NEXT)


def test_the_old_run_goes_first_if_asked(cli: Cli, source: Path, run: Path) -> None:
    process = cli.start(
        "run", *RUN, "--set", "input.limit=50", "--overwrite", "--set", "output.keep_old=false", "-i", source, "-o", run
    )
    beside = wait_for(lambda: (run / NEXT / "_run/plan.json").exists() or process.poll() is not None)
    assert beside
    assert _ended(process) == 0
    assert left_over(run) == []


def _ended(process: subprocess.Popen[str]) -> int:
    process.communicate(timeout=120)
    return process.returncode


def test_a_report_of_the_users_own_is_left_alone(cli: Cli, source: Path, run: Path) -> None:
    own = run / "report.html"
    own.write_text("<p>mine</p>")
    replaced = cli("run", *RUN, *OTHERS["another-pca"], "--set", "report=true", "-i", source, "-o", run)
    assert replaced.code == 0, replaced.err
    assert own.read_text() == "<p>mine</p>"
    assert "report.html was not made" in replaced.err
    refused = cli("report", run)
    assert refused.code == 1
    assert "is not a page that fruitscale wrote" in refused.err
    erased = cli("erase", run, "--path", next(source.rglob("*.jpg")).relative_to(source).as_posix())
    assert erased.code == 0, erased.err
    assert own.read_text() == "<p>mine</p>"
