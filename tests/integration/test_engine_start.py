"""The engine starts while photos are listed, with no more workers than there are tasks."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

import fruitscale
from fruitscale.config.loading import load
from fruitscale.config.schema import Config
from fruitscale.display.events import Event
from fruitscale.pipeline.engine_start import EngineStart, n_shards
from fruitscale.sample import draw
from fruitscale.storage.listing import Photo


def config(*sets: str, engine: str = "local") -> Config:
    return load(None, [f"engine={engine}", "model.architecture=patch_mean", *sets]).config


def photos(number: int) -> Iterator[Photo]:
    return (Photo(f"{i}.jpg", None, 1, "v") for i in range(number))


@pytest.mark.parametrize("engine", ["local", "dask"])
def test_there_are_no_more_workers_than_tasks(engine: str) -> None:
    given = config("slots=6", "shards.images=10", engine=engine)
    start = EngineStart(given)
    before = {child.pid for child in psutil.Process().children(recursive=True)}
    try:
        assert len(list(start.starting(photos(15)))) == 15
        opened = start.engine(n_shards(given, 15))
        assert (opened.describe().cores, opened.describe().workers) == (2, 2)
        assert sorted(opened.map(_double, range(5))) == [0, 2, 4, 6, 8]
        made = [child for child in psutil.Process().children(recursive=True) if child.pid not in before]
        assert len(made) <= {"local": 2, "dask": 5}[engine]  # Dask: the nannies' process, 2 workers, resource trackers
    finally:
        start.close()


def _double(task: int, shared: object) -> int:
    return 2 * task


@pytest.mark.parametrize(
    ("sets", "listed", "starts"),
    [
        (["slots=2"], 64, False),
        (["slots=2"], 65, True),
        (["slots=1"], 1, True),
        (["slots=3", "shards.images=10"], 20, False),
        (["slots=3", "shards.images=10"], 21, True),
        (["slots=3", "shards.images=10", "input.limit=20"], 1000, False),
        (["slots=3", "shards.images=10", "input.limit=21"], 1000, True),
        (["slots=4000"], 100_000, False),  # there are a thousand shards, whatever is listed
    ],
)
def test_it_starts_once_every_slot_will_have_a_shard(sets: list[str], listed: int, starts: bool) -> None:
    began: list[int] = []
    start = EngineStart(config(*sets))
    start.start = lambda shards=None: began.append(shards or 0)  # type: ignore[method-assign]
    for _ in start.starting(photos(listed)):
        pass
    start.close()
    assert bool(began) == starts


@pytest.mark.parametrize(("paths", "error"), [("plain", "ValueError: seen a.jpg"), ("hashed", "ValueError")])
def test_an_unexpected_failure_is_in_the_progress_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, paths: str, error: str
) -> None:
    """Here, the observer's own."""
    monkeypatch.setenv("FRUITSCALE_PATH_KEY", "0123456789abcdef" * 2)

    def fail(event: Event) -> None:
        if event.stage == "fit":
            raise ValueError("seen a.jpg")

    source = draw(tmp_path / "in", classes=3, per_class=8).path
    given = config(
        "slots=1", "report=false", f"input.uri={source}", f"output.uri={tmp_path / 'run'}", f"output.paths={paths}"
    )
    with pytest.raises(ValueError, match="seen"):
        fruitscale.run(given, fail)
    progress = json.loads((tmp_path / "run" / "_run" / "progress.json").read_text())
    assert (progress["status"], progress["error"], progress["stage"]) == ("failed", error, "fit")
