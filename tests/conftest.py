"""What tests share: photos, a model that is exported once, and the CLI as a user runs it."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from fruitscale.runs.record import RunRecord

pytest_plugins = ["tests.cloud.simulated_account"]
"""Fixtures of several folders: pytest makes those of a session once only if they are not imported twice."""
ENGINES = ("local", "spark", "dask")
ROOT = Path(__file__).parent.parent
TOOLS = ("sh", "bash", "env", "dirname", "cat", "ls", "ps", "head", "python3", "make", "git")
QUICK = [
    "--config", str(ROOT / "configs" / "quickstart.yaml"), "--set", "model.input_size=64", "--set", "slots=2",
    "--set", "report=false",
]  # fmt: skip
"""The packaged weights at a small input size: a real model, quick to run."""
SLOWER = [*QUICK[:2], "--set", "report=false", "--set", "slots=2", "--set", "shards.images=16"]
"""The same at its own input size, in small shards: a run that lasts long enough to be disturbed in its middle."""


@dataclass(frozen=True)
class Ran:
    """How a command ended."""

    code: int
    out: str
    err: str

    @property
    def record(self) -> dict[str, Any]:
        assert self.code == 0, self.err
        record: dict[str, Any] = json.loads(self.out)
        return record


class Cli:
    """Runs `fruitscale` in a process of its own."""

    def __init__(self, environment: dict[str, str]) -> None:
        self.environment = environment

    def __call__(self, *arguments: object, timeout: float = 300, **variables: str) -> Ran:
        done = subprocess.run(
            self.command(*arguments),
            capture_output=True,
            text=True,
            timeout=timeout,
            env=self.environment | variables,
            stdin=subprocess.DEVNULL,
            check=False,
        )
        return Ran(done.returncode, done.stdout, done.stderr)

    def start(self, *arguments: object, **variables: str) -> subprocess.Popen[str]:
        """Start it in a session of its own, so that its processes can be told from others."""
        return subprocess.Popen(
            self.command(*arguments),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=self.environment | variables,
            stdin=subprocess.DEVNULL,
            start_new_session=True,
        )

    @staticmethod
    def command(*arguments: object) -> list[str]:
        return [sys.executable, "-m", "fruitscale", *map(str, arguments)]


@pytest.fixture(scope="session")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cache folder of the tests' own: nothing that a user left there makes them pass."""
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="session")
def cli(cache: Path) -> Cli:
    dropped = ("COLUMNS", "PYTHONWARNINGS", "FRUITSCALE_PATH_KEY")
    environment = {k: v for k, v in os.environ.items() if k not in dropped}
    return Cli(environment | {"XDG_CACHE_HOME": str(cache), "PYTHONPATH": str(ROOT), "NO_COLOR": "1"})


@pytest.fixture(scope="session")
def all_photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Fruit photos: the real ones that FRUITSCALE_REAL_IMAGES names, else drawn ones."""
    real = os.environ.get("FRUITSCALE_REAL_IMAGES")
    if real:
        return Path(real)
    from fruitscale.sample import draw

    return draw(tmp_path_factory.mktemp("drawn") / "photos", classes=12, per_class=60).path


@pytest.fixture(scope="session")
def photos(all_photos: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """240 photos of 6 labels."""
    return take(all_photos, tmp_path_factory.mktemp("photos") / "in", labels=6, each=40)


def take(source: Path, target: Path, labels: int, each: int) -> Path:
    """Copy some photos of some labels."""
    for folder in sorted(f for f in source.iterdir() if f.is_dir())[:labels]:
        (target / folder.name).mkdir(parents=True)
        for photo in sorted(folder.glob("*.jpg"))[:each]:
            shutil.copyfile(photo, target / folder.name / photo.name)
    return target


@pytest.fixture
def no_java(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A PATH that is a folder of links, without a Java; return the folder."""
    folder = tmp_path / "links"
    folder.mkdir()
    for tool in TOOLS:
        if found := shutil.which(tool):
            (folder / tool).symlink_to(found)
    monkeypatch.setenv("PATH", str(folder))
    monkeypatch.delenv("JAVA_HOME", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return folder


SLOW_ENGINES = ("local", *(pytest.param(name, marks=pytest.mark.slow) for name in ("spark", "dask")))
"""For parametrize: what `make test` checks on one engine, and `make test-slow` on all."""


@pytest.fixture(params=ENGINES)
def engine_name(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


def part_bytes(run: Path) -> dict[str, bytes]:
    """Every part of a run by its name."""
    found = [path for folder in ("features", "reduced") for path in (run / folder).glob("*.parquet")]
    return {path.relative_to(run).as_posix(): path.read_bytes() for path in found}


def edit_record(run: Path, edit: Callable[[dict[str, Any]], object]) -> None:
    """Change a run's record as fruitscale itself would: with the right checksum."""
    record = json.loads((run / "run.json").read_text())
    edit(record)
    (run / "run.json").write_text(RunRecord.model_validate(record).sealed().to_json())


def processes_of(session: int) -> Iterator[int]:
    """The living processes of a session."""
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
            except OSError:
                continue
            if int(fields[3]) == session and fields[0] != "Z":
                yield int(entry.name)
