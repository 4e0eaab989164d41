"""Native decoders on damaged photos, in a child: a crash there would end a worker and not just a photo."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import ROOT, Cli, take
from tests.integration.mutate_photos import KINDS


@pytest.mark.parametrize(
    ("seed", "times", "seconds"), [(1, 6, 600), pytest.param(2, 10_000, 300, marks=pytest.mark.slow)]
)
def test_no_mutation_of_a_photo_ends_the_process(
    cli: Cli,
    all_photos: Path,
    tmp_path: Path,
    seed: int,
    times: int,
    seconds: int,
    capsys: pytest.CaptureFixture[str],
) -> None:
    photos = take(all_photos, tmp_path / "in", labels=4, each=1)
    arguments = [str(photos), str(seed), str(times), str(seconds)]
    done = subprocess.run(
        [sys.executable, "-m", "tests.integration.mutate_photos", *arguments],
        env=cli.environment,
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=seconds + 300,
    )
    assert done.returncode == 0, f"{done.stdout[:2000]} {done.stderr[-3000:]}"
    found = json.loads(done.stdout)
    with capsys.disabled():
        if times > 100:
            sys.stdout.write(f"\n{json.dumps(found)}\n")
    assert set(found["counts"]) == set(KINDS)
    for counts in found["counts"].values():
        assert set(counts) - {"read", "read with a warning"}, "no mutation was noticed"
