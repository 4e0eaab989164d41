"""A run, apply or erase that is suspended in the middle of a request, until another one has taken over and ended.

It wakes up, and its request reaches the server, and neither changes anything of the run that took over.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.conftest import QUICK, ROOT, part_bytes, processes_of
from tests.s3.bucket import Bucket
from tests.s3.conftest import TidyCli
from tests.s3.proxy import Proxy, Seen
from tests.s3.runs import SHARD, arguments, finish

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

OTHER_MODEL = ["--set", "model.architecture=patch_mean", "--overwrite"]
OTHER_PCA = ["--set", "pca.components=3"]
SUCCESSORS = {"same": [], "other-pca": OTHER_PCA, "other-model": OTHER_MODEL}
FEATURES, REDUCED = "features/part-00003.parquet", "reduced/part-00003.parquet"
ERASED = 27
"""The number of the photo that is erased: it is in part 3."""
RESERVATION_BYTES = 200
SHORT_LEASE = f"{ROOT / 'tests' / 's3' / 'short_lease'}{os.pathsep}{ROOT}"
"""A PYTHONPATH with which the spans of the lock are seconds; one test has the real ones."""
MOMENTS = {
    "run": [
        "PUT _run/plan.json",
        "PUT manifest.parquet",
        f"PUT {FEATURES}",
        "PUT rejects.parquet",
        "PUT pca/pca.npz",
        f"PUT {REDUCED}",
        "PUT run.json",
    ],
    "overwrite": [
        "PUT _run/next/_run/plan.json",
        f"PUT _run/next/{FEATURES}",
        "PUT _run/next/run.json",  # its reservation
        "COMMIT _run/next/run.json",
        "DELETE run.json",
        f"COPY {FEATURES}",
        f"DELETE _run/next/{FEATURES}",
        "PUT run.json",
        "DELETE _run/next/run.json",
    ],
    "refit": [
        "PUT _run/next/pca/pca.npz",
        f"PUT _run/next/{REDUCED}",
        "DELETE run.json",
        "COPY pca/pca.npz",
        "PUT run.json",
    ],
    "apply": ["PUT _run/plan.json", f"PUT {FEATURES}", "PUT pca/pca.npz", f"PUT {REDUCED}", "PUT run.json"],
    "erase": [
        "PUT _run/erase.json",
        "DELETE run.json",
        f"PUT {FEATURES}",
        "PUT manifest.parquet",
        "PUT run.json",
        "DELETE _run/erase.json",
    ],
    "erase-refit": [f"PUT {FEATURES}", "PUT pca/pca.npz", f"PUT {REDUCED}"],
}
"""Of each command, the requests within which it is suspended."""
OF_ENGINES = {
    "run": [f"PUT {FEATURES}", "PUT run.json"],
    "overwrite": [f"PUT _run/next/{FEATURES}", f"COPY {FEATURES}"],
}


def matches(bucket: Bucket, moment: str) -> Callable[[Seen], bool]:
    kind, _, name = moment.partition(" ")

    def is_it(seen: Seen) -> bool:
        is_copy = "x-amz-copy-source" in seen.headers
        is_commit = seen.method == "PUT" and int(seen.headers["content-length"]) > RESERVATION_BYTES
        kinds = {"COPY": is_copy, "PUT": seen.method == "PUT" and not is_copy, "COMMIT": is_commit}
        return kinds.get(kind, seen.method == kind) and seen.target.partition("?")[0].endswith(
            f"/{bucket.prefix}/{name}"
        )

    return is_it


@dataclass
class Scene:
    """A folder on S3, the photos for it, and the run that `apply` takes its PCA from."""

    cli: TidyCli
    source: Bucket
    bucket: Bucket
    fitted: Path
    gone: str

    def command(self, of: str, engine: str, endpoint: str | None = None) -> list[str]:
        """Return a command on the folder."""
        if of.startswith("erase"):
            refit = ["--refit"] * (of == "erase-refit")
            return ["erase", self.bucket.uri, "--path", self.gone, *refit, *self.bucket.flags(endpoint)]
        words = arguments(engine, self.source, self.bucket, endpoint)
        if of == "apply":
            return ["apply", "--pca", str(self.fitted), *words[1:]]
        return words + {"overwrite": OTHER_MODEL, "refit": OTHER_PCA}.get(of, [])

    def resume(self, process: subprocess.Popen[str]) -> None:
        for each in processes_of(process.pid):
            os.kill(each, signal.SIGCONT)


@pytest.fixture(scope="module")
def expected(s3_cli: TidyCli, few: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """Return a run on disk that nothing disturbed; made once."""
    made: dict[str, Path] = {}
    base = tmp_path_factory.mktemp("expected")
    path = sorted(few.rglob("*.jpg"))[ERASED].relative_to(few).as_posix()

    def run(name: str) -> Path:
        if name not in made:
            made[name] = base / name
            of, erased = name.partition("+")[::2]
            words = ["apply", "--pca", run("same")] if of == "apply" else ["run"]
            words += ["-e", "local", *QUICK, *SHARD, "-i", few, "-o", made[name], *SUCCESSORS.get(of, [])]
            assert s3_cli(*words).code == 0
            if erased:
                refit = ["--refit"] * (erased == "erase-refit")
                assert s3_cli("erase", made[name], "--path", path, *refit).code == 0
        return made[name]

    return run


@pytest.fixture(scope="module")
def complete_on_s3(s3_cli: TidyCli, few_on_s3: Bucket, weed: str) -> dict[str, bytes]:
    """The files of a complete run of the photos on S3; made once."""
    place = Bucket(weed, "fruits", "complete", few_on_s3.client)
    made = s3_cli(*arguments("local", few_on_s3, place))
    assert made.code == 0, made.err
    return place.files()


def cases() -> list[object]:
    """Every moment on the local engine, and a few on the others; successors, and what is held back, take turns."""
    found: list[object] = []
    for command, moments in MOMENTS.items():
        for index, moment in enumerate(moments):
            has_body = moment.startswith(("PUT", "COMMIT"))
            for turn in (index, index + 1) if moment.endswith("run.json") else (index,):
                half = has_body and turn % 2 == 0
                found.append(pytest.param(command, moment, list(SUCCESSORS)[turn % 3], "local", half))
    for engine in ("spark", "dask"):
        for command, moments in OF_ENGINES.items():
            found += [
                pytest.param(command, moment, "other-model", engine, moment.startswith("PUT")) for moment in moments
            ]
    return found


@pytest.mark.parametrize(("command", "moment", "successor", "engine", "half"), cases())
def test_a_suspended_command_changes_nothing_of_its_successor(
    s3_cli: TidyCli,
    few: Path,
    few_on_s3: Bucket,
    bucket: Bucket,
    proxy: Proxy,
    expected: Callable[..., Path],
    complete_on_s3: dict[str, bytes],
    command: str,
    moment: str,
    successor: str,
    engine: str,
    half: bool,
) -> None:
    gone = sorted(few.rglob("*.jpg"))[ERASED].relative_to(few).as_posix()
    scene = Scene(s3_cli, few_on_s3, bucket, expected("same"), gone)
    if command not in ("run", "apply"):
        for name, content in complete_on_s3.items():
            bucket.put(name, content)
    suspended = suspend(scene, command, moment, engine, proxy, half=half)
    was_complete = has_ended(bucket, moment)
    second = s3_cli(*takeover(scene, command, successor, engine), PYTHONPATH=SHORT_LEASE)
    assert "Traceback" not in second.err
    after = bucket.files()
    proxy.held.released.set()  # type: ignore[union-attr]
    assert proxy.held.answered.wait(60)  # type: ignore[union-attr]
    scene.resume(suspended)
    code, _, err = finish(suspended)
    check_ending(code, err, was_complete=was_complete)
    if second.code != 0:  # refused, until the erasure is finished: it has changed nothing itself
        assert "erasing photos from this run was interrupted" in second.err, second.err
        if code != 0:  # else the first one has finished it
            assert s3_cli("erase", bucket.uri, *bucket.flags()).code == 0
        assert bucket.parts() == part_bytes(expected(f"same+{command}"))
        return
    check_unchanged(bucket, after)
    wanted = successor if successor != "same" else wanted_after(command)
    assert bucket.parts() == part_bytes(expected(wanted))
    if strangers := {name for name in bucket.names() if name not in after and not name.startswith("_run/next/")}:
        again = s3_cli(*takeover(scene, command, successor, "local"))
        assert again.code == 0 or "nothing is erased" in again.err, again.err
        assert bucket.parts() == part_bytes(expected(wanted))
        assert not strangers & set(bucket.names())


def suspend(
    scene: Scene, command: str, moment: str, engine: str, proxy: Proxy, *, half: bool, python_path: str = SHORT_LEASE
) -> subprocess.Popen[str]:
    """Start a command, and suspend all its processes within a request, which the proxy holds back."""
    hold = proxy.hold(matches(scene.bucket, moment), half=half)
    process = scene.cli.start(*scene.command(command, engine, proxy.url), PYTHONPATH=python_path)
    while not hold.arrived.wait(0.2):
        assert process.poll() is None, process.communicate()
    for each in processes_of(process.pid):
        os.kill(each, signal.SIGSTOP)
    return process


def takeover(scene: Scene, command: str, successor: str, engine: str) -> list[str]:
    """Return the command that takes over: the same one, or a run of another PCA or model."""
    if successor == "same":
        return scene.command(command, engine)
    overwrite = [] if "--overwrite" in SUCCESSORS[successor] else ["--overwrite"]
    return [*scene.command("run", engine), *SUCCESSORS[successor], *overwrite]


def wanted_after(command: str) -> str:
    return {"overwrite": "other-model", "refit": "other-pca", "run": "same", "apply": "apply"}.get(
        command, f"same+{command}"
    )


def has_ended(bucket: Bucket, moment: str) -> bool:
    """Return whether the suspended command had written its run.json."""
    return moment.startswith("DELETE _run/") and "run.json" in bucket.names()


def check_ending(code: int, err: str, *, was_complete: bool) -> None:
    assert "Traceback" not in err
    assert code == 1 or (code == 0 and was_complete), err
    assert code == 0 or "Another run took over" in err or "holds another run" in err, err


def check_unchanged(bucket: Bucket, after: dict[str, bytes]) -> None:
    """Check that no file changed or went; what the late request created is not named by the run's record."""
    now = bucket.files()
    assert {name: now.get(name) for name in after if name != "_run/progress.json"} == {
        name: content for name, content in after.items() if name != "_run/progress.json"
    }
    if "run.json" in after:
        named = json.loads(after["run.json"])["files"]
        assert not set(named) & (now.keys() - after.keys())


def test_with_the_real_spans_of_the_lock(
    s3_cli: TidyCli, few: Path, few_on_s3: Bucket, bucket: Bucket, proxy: Proxy, expected: Callable[..., Path]
) -> None:
    gone = sorted(few.rglob("*.jpg"))[ERASED].relative_to(few).as_posix()
    scene = Scene(s3_cli, few_on_s3, bucket, expected("same"), gone)
    suspended = suspend(scene, "run", f"PUT {FEATURES}", "local", proxy, half=False, python_path=str(ROOT))
    assert s3_cli(*takeover(scene, "run", "other-model", "local")).code == 0
    after = bucket.files()
    scene.resume(suspended)
    proxy.held.released.set()  # type: ignore[union-attr]
    code, _, err = finish(suspended)
    check_ending(code, err, was_complete=False)
    check_unchanged(bucket, after)
    assert bucket.parts() == part_bytes(expected("other-model"))
