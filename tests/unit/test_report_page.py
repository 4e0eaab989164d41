"""What holds a page together: escapes, the policy, thumbnails within their budget, and what is told of a run."""

from __future__ import annotations

import base64
import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import simplejpeg

from fruitscale.config import loading
from fruitscale.config.schema import Images, Storage
from fruitscale.errors import FruitscaleError, InputError
from fruitscale.kernels.images import resize
from fruitscale.kernels.moments import Components
from fruitscale.report import html_page, run_page
from fruitscale.report.run_facts import MOST_POINTS, RunFacts
from fruitscale.report.run_page import LONGEST_NAME, MOST_BYTES, budget, make_run_page
from fruitscale.report.sampling import evenly
from fruitscale.report.thumbnails import SIDE, thumbnails
from fruitscale.runs import manifest
from fruitscale.runs.record import Cost
from fruitscale.storage.listing import Photo
from fruitscale.storage.residency import StorageAccess
from fruitscale.storage.store import file_version
from tests.unit.pictures import encode, picture
from tests.unit.report_records import record


def test_no_text_ends_a_script() -> None:
    hostile = "</script><script>alert(1)</script><!--\u2028 & é"
    text = html_page.to_json({"a": hostile})
    assert not re.search(r"[<>&\u2028]", text)
    assert json.loads(text) == {"a": hostile}


def test_the_policy_allows_the_pages_own_scripts_and_no_connection() -> None:
    from hashlib import sha256

    allowed = html_page.policy(["one", "two"])
    for text in ("one", "two"):
        assert f"'sha256-{base64.b64encode(sha256(text.encode()).digest()).decode()}'" in allowed
    assert allowed.startswith("default-src 'none'; ")
    assert "http" not in allowed
    assert "unsafe" not in allowed.split("script-src")[1].split(";")[0]


def photo(folder: Path, name: str, content: bytes, **values: Any) -> Photo:
    (folder / name).write_bytes(content)
    return Photo(**{"path": name, "label": None, "size": 1, "version": file_version((folder / name).stat()), **values})


def test_thumbnails_are_small_pictures_within_the_budget(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (200, 300, 3), np.uint8)
    photos = [photo(tmp_path, "a.png", encode(picture(), "PNG")), photo(tmp_path, "b.png", encode(noise, "PNG"))]
    for most in (20_000, 6000, 3000):
        made = thumbnails(str(tmp_path), photos, Images(), StorageAccess(), most)
        assert all(made)
        assert max(map(len, made)) <= most // 2
    (shown, _) = thumbnails(str(tmp_path), photos, Images(), StorageAccess(), 20_000)
    pixels = simplejpeg.decode_jpeg(base64.b64decode(shown), "RGB").astype(np.int16)
    assert np.abs(pixels - resize(picture(), SIDE)).mean() < 4
    assert thumbnails(str(tmp_path), photos, Images(), StorageAccess(), 10) == ["", ""]
    assert thumbnails(str(tmp_path), [], Images(), StorageAccess(), 10) == []


def test_a_photo_that_is_gone_or_changed_has_no_thumbnail(tmp_path: Path) -> None:
    content = encode(picture(), "JPEG")
    photos = [
        photo(tmp_path, "there.jpg", content),
        photo(tmp_path, "changed.jpg", content, version="1-1"),
        Photo("gone.jpg", None, 1, "1-1"),
        photo(tmp_path, "broken.jpg", content[:-200]),
        photo(tmp_path, "nameless.jpg", content, version=""),
    ]
    made = thumbnails(str(tmp_path), photos, Images(), StorageAccess(), 50_000)
    assert [bool(image) for image in made] == [True, False, False, False, False]


def test_photos_in_a_region_that_is_not_allowed_are_not_read() -> None:
    with pytest.raises(FruitscaleError, match="us-east-1"):
        thumbnails(
            "s3://bucket/in", [Photo("a.jpg", None, 1, "1")], Images(), StorageAccess(Storage(region="us-east-1")), 1000
        )


def test_the_config_that_is_shown_makes_the_same_run(tmp_path: Path) -> None:
    given = loading.from_mapping(
        {"engine": "dask", "input": {"uri": "pho: tos", "limit": 7, "include": ["**/*.png"]}, "output": {"uri": "é"},
         "spark": {"conf": {"spark.a.b": "true"}}, "pca": {"components": 12}}
    )  # fmt: skip
    file, values = tmp_path / "run.yaml", given.model_dump(mode="json")
    for shown in (loading.to_yaml(values), loading.to_yaml(loading.differing(values))):
        file.write_text(shown)
        assert loading.load(file).config == given
    assert set(loading.differing(values)) == {"engine", "input", "output", "spark", "pca"}


def findings_of(paths: list[str], labels: list[str | None]) -> RunFacts:
    """A run that was never made, one photo a label; its photos are nowhere."""
    n, rng = len(paths), np.random.default_rng(0)
    table = pa.table({"path": paths, "label": labels, "size": [1] * n, "version": ["1-1"] * n}, manifest.schema())
    ratio = np.array([0.5, 0.3, 0.1, 0.05, 0.03, 0.01, 0.006, 0.004])
    sample, codes = evenly(np.arange(n), MOST_POINTS), np.arange(n)
    scores = rng.normal(size=(n, 8)).astype(np.float32)
    return RunFacts(
        record=record(images=n, uri="/nowhere"),
        config=loading.from_mapping({}),
        fitted=Components(np.zeros(8), np.ones(8), np.eye(8), ratio, ratio, n),
        rejects=[],
        photos=table,
        labels=labels,
        codes=codes,
        leading=scores,
        sample=sample,
        sampled=scores[sample],
    )


def long_names(n: int) -> RunFacts:
    return findings_of([f"{i:04d}{'é' * 500}{i:04d}.jpg" for i in range(n)], [f"{i:04d}{'字' * 80}" for i in range(n)])


def test_long_names_leave_fewer_bytes_to_thumbnails() -> None:
    name = run_page.shortened("é" * 500)
    assert len(name.encode()) <= LONGEST_NAME + 3
    assert name.replace("…", "") == "é" * 100
    assert 1_500_000 < budget(long_names(6000)) < MOST_BYTES
    assert budget(long_names(100)) == MOST_BYTES


@pytest.mark.parametrize(
    ("amount", "shown"),
    [
        pytest.param(0.02, "0.02 EUR for 0.10 machine hours", id="known"),
        pytest.param(None, "at prices that the config lacks for 0.10 machine hours", id="null"),
    ],
)
def test_a_cost_without_a_price_is_shown_as_such(amount: float | None, shown: str) -> None:
    found = findings_of(["a.jpg", "b.jpg", "c.jpg"], ["a", "b", "c"])
    cost = Cost(machine_hours=0.1, amount=amount, currency="EUR")
    made = replace(found, record=found.record.model_copy(update={"cost": cost}))
    assert f"<dt>Cost</dt><dd>{shown}</dd>".encode() in make_run_page(made, StorageAccess())


@pytest.mark.slow
def test_long_names_and_many_labels_leave_the_page_below_6_mb() -> None:
    found = long_names(6000)
    made = make_run_page(found, StorageAccess())
    assert b'"path":["1000' in made
    assert len(made) + budget(found) < 6_000_000


@pytest.mark.parametrize(
    ("text", "said"),
    [
        pytest.param("{}", "fruitscale", id="another tool's"),
        pytest.param('{"fruitscale": {"seed": 0}}', "started", id="half of it"),
        pytest.param("[{}]", "not written by fruitscale bench", id="a list of something"),
        pytest.param("not JSON", "not written by fruitscale bench", id="not JSON"),
    ],
)
def test_what_the_bench_did_not_write_is_refused(tmp_path: Path, text: str, said: str) -> None:
    from fruitscale.bench.bench_page import publish

    file = tmp_path / "bench.json"
    file.write_text(text)
    with pytest.raises(InputError, match=said) as refused:
        publish(file)
    assert str(file) in str(refused.value)
    assert not file.with_suffix(".html").exists()


def test_the_page_of_a_bench_tells_all_of_it(tmp_path: Path) -> None:
    from fruitscale.bench.bench_page import publish
    from tests.page.bench_files import BAD, found, write

    made = publish(write(tmp_path))
    assert made == tmp_path / "bench.html"
    text = made.read_text()
    assert BAD not in text
    assert "&lt;b&gt;killed&lt;/b&gt;" in text
    for compared in found().comparisons:
        assert compared.ratio is not None
        assert f"<td>{compared.verdict}</td>" in text
        assert f">{compared.ratio.low:.3f} to {compared.ratio.high:.3f}<" in text
    raw = re.search(r'download="bench.json" href="data:application/json;base64,([^"]+)"', text)
    assert raw is not None
    assert base64.b64decode(raw[1]) == (tmp_path / "bench.json").read_bytes()


def test_bars_and_whiskers_are_where_their_figures_are() -> None:
    from fruitscale.bench import bench_charts
    from tests.page.bench_files import found

    results = found()
    for bar in bench_charts.bars(results.variants):
        assert sum(seconds for _, _, seconds, _ in bar.parts) == pytest.approx(bar.result.seconds, rel=0.02)
    longest = max(sum(percent for *_, percent in bar.parts) for bar in bench_charts.bars(results.variants))
    assert longest == pytest.approx(100, rel=0.02)
    placed = bench_charts.whiskers(results.comparisons)
    assert len(placed) == 8
    for whisker in placed:
        assert 0 < whisker.low <= whisker.middle <= whisker.high < 100
        assert whisker.floor_low < whisker.one < whisker.floor_high
        assert whisker.comparison.ratio is not None
        assert (whisker.middle > whisker.one) == (whisker.comparison.ratio.median > 1)
    assert bench_charts.whiskers([]) == []
