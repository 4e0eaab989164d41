"""Which setting changes which fingerprint, and how the difference of two runs is told."""

from __future__ import annotations

import platform
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import fruitscale.runs.fingerprints
from fruitscale.config.loading import load
from fruitscale.errors import OutputError
from fruitscale.model.exported_model import ExportedModel
from fruitscale.runs import manifest
from fruitscale.runs.fingerprints import APPLIED, differences, make_plan, model_differences, shard_images
from fruitscale.runs.manifest import Manifest
from fruitscale.runs.run_folder import RunFolder, RunPlan
from fruitscale.storage.listing import Photo
from fruitscale.storage.store import LocalStore

EXPORTED = ExportedModel(
    payload=b"network",
    sha256="1" * 64,
    architecture="mobilenet_v2",
    weights="imagenet",
    weights_sha256="2" * 64,
    pretrained=True,
    runtime="openvino",
    input_size=224,
    features=1280,
)
PHOTOS = [Photo(f"apple/{i}.jpg", "apple", 100 + i, f"v{i}") for i in range(5)]


def plan(*sets: str, photos: list[Photo] = PHOTOS, **exported: Any) -> RunPlan:
    return make_plan(load(None, sets).config, manifest.build(photos), replace(EXPORTED, **exported))


def changed(new: RunPlan) -> set[str]:
    """Name the fingerprints that are not those of the defaults."""
    before = plan().fingerprints
    assert before.keys() == new.fingerprints.keys() == {"features", "pca"}
    return {name for name in before if before[name] != new.fingerprints[name]}


BOTH, PCA_ONLY, NONE = {"features", "pca"}, {"pca"}, set[str]()


@pytest.mark.parametrize(
    ("setting", "expected"),
    [
        ("shards.images=2", BOTH),
        ("shards.images=64", NONE),  # what auto is
        ("output.paths=hashed", BOTH),
        ("images.max_pixels=1000", BOTH),
        ("images.max_decode_mb=64", BOTH),
        ("images.max_bytes=1000", BOTH),
        ("worker_timeout_seconds=9", NONE),
        ("images.exif_orientation=ignore", BOTH),
        ("model.precision=bf16", BOTH),
        ("pca.components=0.9", PCA_ONLY),
        ("pca.components=3", PCA_ONLY),
        ("pca.standardize=true", PCA_ONLY),
        ("engine=local", NONE),
        ("slots=1", NONE),
        ("input.uri=elsewhere", NONE),
        ("input.label=none", NONE),  # the labels themselves count
        ("input.limit=5", NONE),
        ("output.uri=elsewhere", NONE),
        ("output.overwrite=true", NONE),
        ("images.on_error=fail", NONE),
        ("images.max_reject_fraction=0.5", NONE),
        ("images.allowed_rejects=0", NONE),
        ("model.weights=another-name", NONE),  # their hash counts
        ("model.seed=5", NONE),
        ("spark.master=local[1]", NONE),
        ("spark.conf.spark.ui.enabled=false", NONE),
        ("dask.scheduler=tcp://h:1", NONE),
        ("storage.region=eu-west-3", NONE),
        ("storage.concurrency=1", NONE),
        ("bench.price_per_core_hour=1", NONE),
        ("report=false", NONE),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_which_setting_changes_which_fingerprint(setting: str, expected: set[str]) -> None:
    assert changed(plan(setting)) == expected


@pytest.mark.parametrize(
    ("field", "value", "expected"),
    [
        ("sha256", "9" * 64, BOTH),
        ("weights_sha256", "9" * 64, BOTH),
        ("architecture", "resnet50", BOTH),
        ("runtime", "tensorflow", BOTH),
        ("input_size", 96, BOTH),
        ("weights", "/copied/imagenet.h5", NONE),
        ("pretrained", False, NONE),
    ],
)
def test_what_of_the_model_counts(field: str, value: Any, expected: set[str]) -> None:
    assert changed(plan(**{field: value})) == expected


def test_the_settings_of_a_file_count_and_are_named() -> None:
    before: dict[str, Any] = {"architecture": "file", "preprocess": '{"keep": null}', "output": "{}"}
    for name in ("preprocess", "output"):
        now = before | {name: '{"keep": 1.0}'}
        assert plan(**before).fingerprints["features"] != plan(**now).fingerprints["features"]
        assert f"model.{name} was" in model_differences(plan(**before), plan(**now))
    assert "model.preprocess" not in plan().features


@pytest.mark.parametrize(
    ("sets", "exported", "told"),
    [
        pytest.param(
            (), {"architecture": "resnet50"}, "model.architecture was 'mobilenet_v2', is 'resnet50'", id="network"
        ),
        pytest.param((), {"weights_sha256": "9" * 64}, "the weights differ (sha256 999999999999", id="weights"),
        pytest.param((), {"input_size": 96}, "model.input_size was 224, is 96", id="input-size"),
        pytest.param((), {"runtime": "tensorflow"}, "model.runtime was 'openvino', is 'tensorflow'", id="runtime"),
        pytest.param(("model.precision=bf16",), {}, "model.precision was 'f32', is 'bf16'", id="precision"),
        pytest.param(("images.exif_orientation=ignore",), {}, "images.exif_orientation was 'apply'", id="orientation"),
        pytest.param(
            ("pca.components=3", "shards.images=2", "images.max_pixels=9"), {"sha256": "9" * 64}, "", id="no-matter"
        ),
    ],
)
def test_what_puts_features_in_another_space(sets: tuple[str, ...], exported: dict[str, Any], told: str) -> None:
    found = model_differences(plan(), plan(*sets, **exported))
    assert found.startswith(told)
    assert bool(found) == bool(told)


def test_the_components_that_are_applied_count() -> None:
    def applied(sha256: str) -> RunPlan:
        return make_plan(load().config, manifest.build(PHOTOS), EXPORTED, {**plan().pca, APPLIED: sha256})

    assert changed(applied("a")) == PCA_ONLY
    assert applied("a").fingerprints["pca"] != applied("b").fingerprints["pca"]
    assert applied("a").fingerprints == applied("a").fingerprints


@pytest.mark.parametrize(
    ("photos", "expected"),
    [
        pytest.param(PHOTOS[::-1], NONE, id="the-order-they-were-listed-in"),
        pytest.param(PHOTOS[:-1], BOTH, id="one-less"),
        pytest.param([*PHOTOS, Photo("z.jpg", None, 1, "v")], BOTH, id="one-more"),
        pytest.param([PHOTOS[0]._replace(label="pear"), *PHOTOS[1:]], BOTH, id="label"),
        pytest.param([PHOTOS[0]._replace(size=7), *PHOTOS[1:]], BOTH, id="size"),
        pytest.param([PHOTOS[0]._replace(version="v9"), *PHOTOS[1:]], BOTH, id="version"),
    ],
)
def test_what_of_the_photos_counts(photos: list[Photo], expected: set[str]) -> None:
    assert changed(plan(photos=photos)) == expected


@pytest.mark.parametrize("what", ["__version__", "version", "machine"])
def test_versions_and_the_cpus_architecture_count(monkeypatch: pytest.MonkeyPatch, what: str) -> None:
    before = plan().fingerprints
    if what == "__version__":
        monkeypatch.setattr(fruitscale.runs.fingerprints, "__version__", "9.9")
    elif what == "version":
        monkeypatch.setattr(fruitscale.runs.fingerprints, "version", lambda package: "9.9")
    else:
        monkeypatch.setattr(platform, "machine", lambda: "riscv64")
    after = plan().fingerprints
    assert {name for name in before if before[name] != after[name]} == BOTH


def test_fingerprints_are_hashes_and_the_plan_holds_the_config() -> None:
    made = plan("pca.components=7")
    assert all(len(value) == 64 and int(value, 16) for value in made.fingerprints.values())
    assert made.fingerprints["features"] != made.fingerprints["pca"]
    assert made.config["pca"] == {"components": 7, "standardize": False, "run": None}
    assert made.pca == {"pca.components": 7, "pca.standardize": False}


@pytest.mark.parametrize(
    ("setting", "images", "expected"),
    [
        ("shards.images=auto", 0, 64),
        ("shards.images=auto", 64_000, 64),
        ("shards.images=auto", 64_001, 65),
        ("shards.images=auto", 1_000_000, 1000),
        ("shards.images=auto", 4_096_000, 4096),
        ("shards.images=auto", 10**9, 4096),
        ("shards.images=7", 10**9, 7),
    ],
)
def test_images_a_shard(setting: str, images: int, expected: int) -> None:
    assert shard_images(load(None, [setting]).config, images) == expected


@pytest.fixture
def folder(tmp_path: Path) -> RunFolder:
    """A run folder with the manifest of PHOTOS."""
    run = RunFolder(LocalStore(tmp_path))
    manifest.write(manifest.build(PHOTOS), run.store)
    return run


def told(folder: RunFolder, new: RunPlan, photos: list[Photo] = PHOTOS, old: RunPlan | None = None) -> str:
    built: Manifest = manifest.build(photos)
    return differences(folder, old or plan(), new, built)


@pytest.mark.parametrize(
    ("photos", "expected"),
    [
        pytest.param([*PHOTOS, Photo("z.jpg", None, 1, "v")], "1 photo new since (z.jpg)", id="new"),
        pytest.param(PHOTOS[1:], "1 photo gone since (apple/0.jpg)", id="gone"),
        pytest.param(PHOTOS[2:], "2 photos gone since (apple/0.jpg, apple/1.jpg)", id="two-gone"),
        pytest.param([], "5 photos gone since (apple/0.jpg, apple/1.jpg, apple/2.jpg, …)", id="many-gone"),
        pytest.param([PHOTOS[0]._replace(version="v9"), *PHOTOS[1:]], "1 photo changed since (apple/0.jpg)", id="changed"),
        pytest.param([PHOTOS[0]._replace(label="b"), *PHOTOS[1:]], "1 photo changed since (apple/0.jpg)", id="relabelled"),
        pytest.param(
            [Photo("new.jpg", "n", 1, "v"), *PHOTOS[2:4], PHOTOS[4]._replace(size=1)],
            "1 photo new since (new.jpg); 2 photos gone since (apple/0.jpg, apple/1.jpg); "
            "1 photo changed since (apple/4.jpg)",
            id="all-three",
        ),
    ],
)  # fmt: skip
def test_photos_that_differ_are_told(folder: RunFolder, photos: list[Photo], expected: str) -> None:
    assert told(folder, plan(photos=photos), photos) == expected


@pytest.mark.parametrize(
    ("new", "expected"),
    [
        pytest.param(plan("shards.images=2"), "shards.images was 64, is 2", id="setting"),
        pytest.param(plan("output.paths=hashed"), "output.paths was 'plain', is 'hashed'", id="word"),
        pytest.param(
            plan("model.precision=bf16", input_size=96),
            "model.input_size was 224, is 96; model.precision was 'f32', is 'bf16'",
            id="two-settings",
        ),
        pytest.param(plan(sha256="9" * 64), "the model's weights", id="model"),
        pytest.param(plan(weights_sha256="9" * 64), "the model's weights", id="weights"),
        pytest.param(
            plan(architecture="resnet50", sha256="9" * 64, weights_sha256="9" * 64),
            "model.architecture was 'mobilenet_v2', is 'resnet50'",
            id="no-hash-where-words-tell",
        ),
    ],
)
def test_settings_that_differ_are_told(folder: RunFolder, new: RunPlan, expected: str) -> None:
    assert told(folder, new) == expected


def test_photos_are_told_before_settings(folder: RunFolder) -> None:
    new = plan("images.max_pixels=9", photos=PHOTOS[1:])
    expected = "1 photo gone since (apple/0.jpg); images.max_pixels was None, is 9"
    assert told(folder, new, PHOTOS[1:]) == expected


def test_a_run_that_stopped_before_its_manifest(tmp_path: Path) -> None:
    assert told(RunFolder(LocalStore(tmp_path)), plan(photos=PHOTOS[1:]), PHOTOS[1:]) == "the photos"


def test_a_manifest_that_is_damaged_is_told(folder: RunFolder) -> None:
    folder.store.write(manifest.NAME, b"no Parquet")
    with pytest.raises(OutputError, match=r"manifest\.parquet is damaged"):
        told(folder, plan(photos=PHOTOS[1:]), PHOTOS[1:])


def test_a_plan_comes_back_as_it_was(folder: RunFolder) -> None:
    made = plan("pca.components=0.9")
    folder.write_plan(made)
    assert folder.read_plan() == made
