"""When photos that are gone from the input are taken for removed, and when part of the input may be missing."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from fruitscale.config.schema import Config, Input
from fruitscale.errors import OutputError
from fruitscale.pipeline.changed_photos import check_removed
from fruitscale.runs.run_folder import RunFolder, RunPlan
from fruitscale.storage.store import LocalStore


def plan(**given: Any) -> RunPlan:
    return RunPlan({}, {}, {}, json.loads(Config(input=Input(**given)).model_dump_json()))


def check(before: int, now: int, old: RunPlan, **given: Any) -> None:
    check_removed(RunFolder(LocalStore(Path("run"))), old, plan(**given), before, now)


@pytest.mark.parametrize(("before", "now"), [(100, 79), (1_000_000, 500_000), (10, 0)])
def test_many_photos_that_are_gone_are_not_removed(before: int, now: int) -> None:
    with pytest.raises(OutputError, match=r"photos of the run in run are gone from the input") as caught:
        check(before, now, plan())
    assert "overwrite" not in str(caught.value.hint)
    check(before, now, plan(), max_removed_fraction=1.0)


@pytest.mark.parametrize(("before", "now"), [(100, 80), (100, 100), (100, 300), (12, 3)])
def test_few_photos_that_are_gone_are_removed(before: int, now: int) -> None:
    check(before, now, plan())


@pytest.mark.parametrize(
    "given", [{"limit": 20}, {"exclude": ("a*",)}, {"hidden": "take"}, {"list": "photos.csv"}, {"new_since": ("old",)}]
)
def test_another_choice_of_photos_is_meant(given: dict[str, Any]) -> None:
    check(100, 20, plan(), **given)


def test_another_place_or_an_earlier_version_is_no_other_choice() -> None:
    with pytest.raises(OutputError):
        check(100, 20, plan(uri="/mnt/a"), uri="/mnt/b")
    check(100, 20, RunPlan({}, {}, {}))
