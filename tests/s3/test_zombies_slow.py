"""A run that is suspended for longer than the lock's silence wakes up, and harms nothing of the run that took over."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conftest import QUICK, processes_of
from tests.s3.bucket import Bucket
from tests.s3.conftest import TidyCli
from tests.s3.runs import SHARD, arguments, check_clean, finish, n_parts, wait_for

pytestmark = pytest.mark.slow

OTHER_MODEL = ["--set", "model.architecture=patch_mean", "--set", "model.input_size=64", "--overwrite"]
OTHER_PCA = ["--set", "pca.components=3"]


def has(bucket: Bucket, name: str) -> bool:
    return name in bucket.names()


MOMENTS: dict[str, Callable[[Bucket], bool]] = {
    "lock": lambda bucket: has(bucket, "_run/lock"),
    "plan": lambda bucket: has(bucket, "_run/plan.json"),
    "features": lambda bucket: n_parts(bucket) > 0,
    "rejects": lambda bucket: has(bucket, "rejects.parquet"),
    "components": lambda bucket: has(bucket, "pca/pca.npz"),
    "scores": lambda bucket: n_parts(bucket, "reduced") > 0,
}


@pytest.mark.parametrize("moment", MOMENTS)
@pytest.mark.parametrize("other", [OTHER_MODEL, OTHER_PCA], ids=["other-model", "other-pca"])
def test_a_suspended_run_changes_nothing_of_its_successor(
    s3_cli: TidyCli, few: Path, few_on_s3: Bucket, bucket: Bucket, tmp_path: Path, moment: str, other: list[str]
) -> None:
    first = s3_cli.start(*arguments("local", few_on_s3, bucket))
    assert wait_for(lambda: MOMENTS[moment](bucket) or first.poll() is not None)
    if first.poll() is not None or has(bucket, "run.json"):
        pytest.skip("the first run ended before it could be suspended")
    suspended = list(processes_of(first.pid))
    for process in suspended:
        os.kill(process, signal.SIGSTOP)
    was_complete = has(bucket, "run.json")  # its last request had left, and it ends with success
    second = s3_cli(*arguments("local", few_on_s3, bucket), *other, "--json")
    assert second.code == 0, second.err
    record, parts = json.loads(bucket.get("run.json")), bucket.parts()
    for process in suspended:
        os.kill(process, signal.SIGCONT)
    code, _, err = finish(first)
    assert code == (0 if was_complete else 1), err
    assert was_complete or "Another run took over" in err or "holds another run" in err
    assert "Traceback" not in err
    assert (json.loads(bucket.get("run.json")), bucket.parts()) == (record, parts)
    check_clean(bucket)
    expected = s3_cli("run", "-e", "local", *QUICK, *SHARD, *other, "-i", few, "-o", tmp_path / "run")
    assert expected.code == 0, expected.err
    on_disk = {name: (tmp_path / "run" / name).read_bytes() for name in parts}
    assert parts == on_disk
