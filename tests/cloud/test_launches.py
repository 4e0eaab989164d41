"""Launches against moto, from the first request to the last: what is made, watched, and ended."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from fruitscale.clusters import runs
from fruitscale.errors import ClusterError
from tests.cloud.agent import Agent
from tests.cloud.conftest import Account

KINDS = ("emr", "emr-serverless", "ec2-dask")
QUICK = 0.1


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


def test_a_run_is_launched_watched_and_torn_down(account: Account, kind: str, left: Callable[[], list[str]]) -> None:
    config = account.config(kind)
    with Agent(account, runs_it=True):
        ended = runs.run(config, every_seconds=QUICK)
    assert ended.record is not None
    assert (ended.record.images.featurized, ended.record.images.rejected) == (24, 0)
    assert ended.record.engine.name == ("dask" if kind == "ec2-dask" else "spark")
    assert left() == []


def test_a_failing_run_tells_its_last_lines(account: Account, kind: str, left: Callable[[], list[str]]) -> None:
    with Agent(account, code=1, log="Reading\nError: the disk is full\n"):
        with pytest.raises(ClusterError, match="the disk is full") as caught:
            runs.run(account.config(kind), every_seconds=QUICK)
    assert "  Reading\n  Error: the disk is full" in caught.value.message
    assert "cluster resume" in (caught.value.hint or "")
    assert left() == []
