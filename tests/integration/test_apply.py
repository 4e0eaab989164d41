"""Applying a run's components to new photos: the same space, nothing fitted, and only with the same model."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import fruitscale
from fruitscale.config.loading import Given, as_config
from fruitscale.errors import InputError, ModelError, OutputError, UsageError
from fruitscale.kernels.moments import Components, project
from fruitscale.runs.record import RunRecord
from fruitscale.runs.run_folder import RunFolder
from fruitscale.sample import draw
from fruitscale.storage.store import LocalStore
from tests.conftest import ENGINES, QUICK, Cli, part_bytes
from tests.integration.erased import rows

QUICK_MODEL = {"architecture": "patch_mean", "input_size": 64}
KEY = "the key that these tests hash paths with"


def settings(source: Path, target: Path, **sections: dict[str, Any]) -> dict[str, Any]:
    given: dict[str, Any] = {
        "engine": "local", "slots": 1, "input": {"uri": str(source)}, "output": {"uri": str(target)},
        "shards": {"images": 16},
    }  # fmt: skip
    for section, values in sections.items():
        given[section] = {**given.get(section, {}), **values}
    return given


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """60 photos of 3 labels."""
    return draw(tmp_path_factory.mktemp("apply") / "photos", classes=3, per_class=20).path


@pytest.fixture(scope="module")
def fitted(source: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = tmp_path_factory.mktemp("fitted") / "run"
    fruitscale.run(settings(source, run, model=QUICK_MODEL))
    return run


@pytest.fixture
def more(source: Path, tmp_path: Path) -> Path:
    """The same 60 photos, as they were, and 7 that are new."""
    folder = shutil.copytree(source, tmp_path / "more")
    extra = draw(tmp_path / "extra", classes=1, per_class=7, seed=9).path
    for photo in sorted(extra.rglob("*.jpg")):
        shutil.copy2(photo, folder / sorted(source.iterdir())[0].name / f"new-{photo.name}")
    return folder


def apply(fitted: Path, source: Path, target: Path, *new_since: Path, **sections: dict[str, Any]) -> RunRecord:
    return fruitscale.apply(str(fitted), settings(source, target, **sections), [str(run) for run in new_since])


def test_a_run_s_own_photos_have_its_own_scores(fitted: Path, source: Path, tmp_path: Path) -> None:
    record = apply(fitted, source, tmp_path / "again")  # the model is that of the run, which is not the default
    assert part_bytes(tmp_path / "again") == part_bytes(fitted)
    earlier = RunFolder(LocalStore(fitted)).read_record()
    assert earlier is not None
    assert record.seconds.fit == 0
    assert record.pca.applied is not None
    assert (record.pca.applied.uri, record.pca.applied.id) == (str(fitted), earlier.id)
    assert record.pca.model_copy(update={"applied": None}) == earlier.pca
    assert record.fingerprints.features == earlier.fingerprints.features
    assert record.fingerprints.pca != earlier.fingerprints.pca


def test_new_photos_are_projected_and_not_fitted(fitted: Path, tmp_path: Path) -> None:
    one = draw(tmp_path / "one", classes=1, per_class=1, seed=5).path  # fewer than any fit could take
    apply(fitted, one, tmp_path / "new")
    components = Components.from_bytes((fitted / "pca" / "pca.npz").read_bytes())
    [features], [scores] = rows(tmp_path / "new", "features").values(), rows(tmp_path / "new", "reduced").values()
    np.testing.assert_allclose(scores, project(features[None], components)[0], rtol=0, atol=1e-6)
    assert (tmp_path / "new" / "pca" / "pca.npz").read_bytes() == (fitted / "pca" / "pca.npz").read_bytes()


@pytest.mark.parametrize(
    ("section", "values", "told"),
    [
        pytest.param("model", {"input_size": 128}, "model.input_size was 64, is 128", id="input-size"),
        pytest.param("images", {"exif_orientation": "ignore"}, "images.exif_orientation was 'apply'", id="orientation"),
    ],
)
def test_another_model_is_refused(
    fitted: Path, source: Path, tmp_path: Path, section: str, values: dict[str, Any], told: str
) -> None:
    with pytest.raises(ModelError) as caught:
        apply(fitted, source, tmp_path / "run", **{section: values})
    assert told in caught.value.message
    assert not (tmp_path / "run" / "_run" / "plan.json").exists()


def test_it_resumes_and_is_verified(fitted: Path, source: Path, tmp_path: Path) -> None:
    target = tmp_path / "run"
    made = apply(fitted, source, target)
    assert apply(fitted, source, target) == made  # complete: verified, and returned
    for name in ("run.json", "features/part-00002.parquet"):  # what a kill would leave
        (target / name).unlink()
    again = apply(fitted, source, target)
    assert again.images.resumed == 60 - 16
    assert part_bytes(target) == part_bytes(fitted)


def test_other_components_are_another_fingerprint(fitted: Path, source: Path, tmp_path: Path) -> None:
    other, target = tmp_path / "other", tmp_path / "run"
    first = apply(fitted, source, target)
    fruitscale.run(settings(source, other, model=QUICK_MODEL, pca={"components": 3}))
    second = apply(other, source, target)
    assert second.fingerprints.features == first.fingerprints.features
    assert second.fingerprints.pca != first.fingerprints.pca
    assert (second.images.resumed, second.pca.components) == (60, 3)
    assert {len(scores) for scores in rows(target, "reduced").values()} == {3}


def test_only_new_photos_are_taken(fitted: Path, more: Path, tmp_path: Path) -> None:
    tonight, tomorrow = tmp_path / "tonight", tmp_path / "tomorrow"
    record = apply(fitted, more, tonight, fitted)
    assert record.images.featurized == 7
    assert all("new-" in path for path in rows(tonight, "reduced"))
    changed = sorted(more.rglob("*.jpg"))[-1]
    changed.write_bytes(changed.read_bytes() + b"\0")
    record = apply(fitted, more, tomorrow, fitted, tonight)
    assert list(rows(tomorrow, "reduced")) == [changed.relative_to(more).as_posix()]


def test_an_erased_photo_does_not_come_back_as_new(fitted: Path, more: Path, tmp_path: Path) -> None:
    before = shutil.copytree(fitted, tmp_path / "before")
    path = next(iter(rows(before, "features")))
    fruitscale.erase(str(before), [path])
    apply(fitted, more, tmp_path / "new", before)
    assert len(rows(tmp_path / "new", "features")) == 7


def test_hashed_paths_are_compared_with_their_key(
    fitted: Path, source: Path, more: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FRUITSCALE_PATH_KEY", KEY)
    hashed = tmp_path / "hashed"
    apply(fitted, source, hashed, output={"paths": "hashed"})
    assert apply(fitted, more, tmp_path / "new", hashed).images.featurized == 7
    monkeypatch.setenv("FRUITSCALE_PATH_KEY", KEY[::-1])
    with pytest.raises(UsageError, match="hashed with another key"):
        apply(fitted, more, tmp_path / "refused", hashed)


def test_what_makes_no_sense_is_refused(fitted: Path, source: Path, tmp_path: Path) -> None:
    unfinished = shutil.copytree(fitted, tmp_path / "unfinished")
    (unfinished / "run.json").unlink()
    refusals: list[tuple[type[Exception], str, Callable[[], object]]] = [
        (InputError, "does not exist", lambda: apply(tmp_path / "nowhere", source, tmp_path / "run")),
        (OutputError, "incomplete", lambda: apply(unfinished, source, tmp_path / "run")),
        (OutputError, "incomplete", lambda: apply(fitted, source, tmp_path / "run", unfinished)),
        (UsageError, "is inside the run", lambda: apply(fitted, source, fitted)),
        (UsageError, "is inside the run", lambda: apply(fitted, source, tmp_path / "a" / "b", tmp_path / "a")),
    ]
    for error, told, call in refusals:
        with pytest.raises(error, match=told):
            call()
    assert json.loads((fitted / "run.json").read_text())["status"] == "complete"


def test_components_that_were_not_fitted_here_are_not_refitted(fitted: Path, source: Path, tmp_path: Path) -> None:
    apply(fitted, source, tmp_path / "run")
    path = next(iter(rows(tmp_path / "run", "features")))
    with pytest.raises(UsageError, match="not fitted on its photos"):
        fruitscale.erase(str(tmp_path / "run"), [path], refit=True)
    assert fruitscale.erase(str(tmp_path / "run"), [path]).remaining == 59


@pytest.mark.parametrize("source_of_setting", ["--set", "file", "mapping", "Config"])
def test_components_cannot_be_set(cli: Cli, fitted: Path, source: Path, tmp_path: Path, source_of_setting: str) -> None:
    output = tmp_path / "run"
    (tmp_path / "three.yaml").write_text("pca: {components: 3}")
    if source_of_setting in ("--set", "file"):
        setting = ("--set", "pca.components=3") if source_of_setting == "--set" else ("-c", tmp_path / "three.yaml")
        ran = cli("apply", "--pca", fitted, "-i", source, "-o", output, *setting)
        assert ran.code == 2
        assert "pca.components can't be set to 3" in ran.err
    else:
        given: Given = settings(source, output, pca={"components": 3})
        with pytest.raises(UsageError, match=r"pca\.components can't be set to 3"):
            fruitscale.apply(str(fitted), as_config(given) if source_of_setting == "Config" else given)
    assert not output.exists()


def test_a_config_with_the_components_of_the_run_is_accepted(fitted: Path, source: Path, tmp_path: Path) -> None:
    """A file with every key in it, like those of configs/, agrees with a run that was made with it."""
    requested = json.loads((fitted / "run.json").read_text())["pca"]["requested"]
    given = settings(source, tmp_path / "run", pca={"components": requested, "standardize": False})
    assert fruitscale.apply(str(fitted), given).pca.applied is not None


@pytest.mark.slow
@pytest.mark.parametrize("name", ENGINES)
def test_each_engine_applies_alike(cli: Cli, photos: Path, tmp_path: Path, name: str) -> None:
    record = cli("run", "-e", "local", *QUICK, "-i", photos, "-o", tmp_path / "fitted", "--json").record
    applied = cli(
        "apply", "--pca", tmp_path / "fitted", "-e", name, "-i", photos, "-o", tmp_path / name, "--json"
    ).record
    assert applied["engine"]["name"] == name
    assert applied["pca"]["applied"]["id"] == record["id"]
    assert part_bytes(tmp_path / name) == part_bytes(tmp_path / "fitted")


@pytest.mark.slow
def test_other_weights_are_refused(cli: Cli, photos: Path, tmp_path: Path) -> None:
    assert cli("run", "-e", "local", *QUICK, "-i", photos, "-o", tmp_path / "fitted").code == 0
    ran = cli("apply", "--pca", tmp_path / "fitted", "-e", "local", "-i", photos, "-o", tmp_path / "run",
              "--set", "model.weights=random")  # fmt: skip
    assert ran.code == 1
    assert "the weights differ" in ran.err
