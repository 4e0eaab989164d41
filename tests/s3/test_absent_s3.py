"""Photos in a bucket that are missing or cut short for a moment: they are read again, on every engine."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from urllib.parse import unquote

import pytest

from tests.conftest import QUICK, SLOW_ENGINES, Cli, part_bytes
from tests.s3.bucket import Bucket
from tests.s3.proxy import Proxy, Seen
from tests.s3.runs import SHARD, arguments


@pytest.fixture(scope="module")
def expected_parts(s3_cli: Cli, few: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """The parts of a run on disk."""
    run = tmp_path_factory.mktemp("expected") / "run"
    assert s3_cli("run", "-e", "local", *QUICK, *SHARD, "-i", few, "-o", run).code == 0
    return part_bytes(run)


def for_photo(few_on_s3: Bucket, row: int, fate: str, times: int | None) -> Callable[[Seen], str | None]:
    """Return a rule that gives one photo a fate, the first `times` it is read (None: always)."""
    name = sorted(name for name in few_on_s3.names() if name.endswith(".jpg"))[row]
    left = Counter({fate: times or 10**6})

    def rule(seen: Seen) -> str | None:
        if (
            seen.method == "GET"
            and unquote(seen.target.split("?")[0]).endswith(f"/{few_on_s3.prefix}/{name}")
            and left[fate]
        ):
            left[fate] -= 1
            return fate
        return None

    return rule


@pytest.mark.parametrize("engine_name", SLOW_ENGINES)
@pytest.mark.parametrize(("fate", "times"), [("gone", 1), ("short", 1), ("short", 5)], ids=str)
def test_a_moment_leaves_no_trace(
    s3_cli: Cli, few_on_s3: Bucket, bucket: Bucket, proxy: Proxy, expected_parts: dict[str, bytes], engine_name: str,
    fate: str, times: int,
) -> None:  # fmt: skip
    proxy.rule = for_photo(few_on_s3, 10, fate, times)
    record = s3_cli(*arguments(engine_name, few_on_s3, bucket, proxy.url), "--json").record
    assert proxy.counts[fate] == times
    assert (record["images"]["rejected"], record["images"]["resumed"]) == (0, 0)
    assert bucket.parts() == expected_parts
    assert not [name for name in bucket.names() if name.startswith("_run/rejects/")]


@pytest.mark.parametrize("fate", ["gone", "short"])
def test_a_bucket_that_heals_later_heals_the_run(
    s3_cli: Cli, few_on_s3: Bucket, bucket: Bucket, proxy: Proxy, expected_parts: dict[str, bytes], fate: str
) -> None:
    proxy.rule = for_photo(few_on_s3, 10, fate, None)
    first = s3_cli(*arguments("local", few_on_s3, bucket, proxy.url), "--json").record
    assert first["images"]["rejected"] == 1
    proxy.rule = lambda _: None
    second = s3_cli(*arguments("local", few_on_s3, bucket, proxy.url), "--json").record
    assert (second["images"]["rejected"], second["images"]["resumed"] > 0) == (0, True)
    assert bucket.parts() == expected_parts
    assert json.loads(bucket.get("run.json"))["images"] == second["images"]
