"""Choosing photos, the journal, old versions with a stand-in for S3's client, and what the command says."""

from __future__ import annotations

import json
import unicodedata
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError
from typer.testing import CliRunner

import fruitscale
from fruitscale import api
from fruitscale.api import EraseResult
from fruitscale.cli import app
from fruitscale.config.loading import load
from fruitscale.config.schema import Storage
from fruitscale.erasure import photo_erasure
from fruitscale.erasure import rewriting as erasing
from fruitscale.errors import InputError, InterruptedRunError, OutputError, StorageError, UsageError
from fruitscale.runs import journal, manifest
from fruitscale.runs.fingerprints import differences, plan_after_erasing
from fruitscale.runs.journal import Journal, PurgedVersions
from fruitscale.runs.old_versions import purge
from fruitscale.runs.path_hash import PathHash
from fruitscale.runs.run_folder import RunFolder, RunPlan
from fruitscale.runs.selection import Selection, choose, resolve, without_names
from fruitscale.storage import aws, lock
from fruitscale.storage.listing import Photo
from fruitscale.storage.s3 import S3Store
from fruitscale.storage.store import LocalStore

PATHS = ["apple/A.jpg", "apple/b.jpg", "pear/c.jpg"]
PHOTOS = manifest.build(Photo(path, path.split("/")[0], 10, "v") for path in PATHS)
DONE = EraseResult(
    "runs/a", 3, 1, 5, 4, {"features": 2}, ("report.html",), False, 7, 0, 0, "_run/erasures/x.json", False, False
)
KEY = PathHash(b"a key of sixteen characters")


def made(paths: str = "plain", **features: Any) -> RunPlan:
    return RunPlan({}, features, {}, {"output": {"paths": paths}})


def begun(*paths: str) -> Journal:
    salt = "00ff"
    hashes = [journal.salted(salt, path) for path in paths]
    files = {"features/part-00001.parquet": 2, "features/part-00002.parquet": 1, "manifest.parquet": 3}
    return Journal("id", "time", False, salt, hashes, files, [], vars(made()), {"erased": 3})


@pytest.mark.parametrize(
    ("selection", "expected"),
    [
        (Selection(("pear/c.jpg", "apple/A.jpg")), ["apple/A.jpg", "pear/c.jpg"]),
        (Selection(("pear/c.jpg", "pear/c.jpg")), ["pear/c.jpg"]),
        (Selection(label="apple"), PATHS[:2]),
        (Selection(label="Apple"), []),
        (Selection(matching="**/a.*"), PATHS[:1]),
        (Selection(matching="*.jpg"), []),
        (Selection(matching="{pear,plum}/*"), PATHS[2:]),
        (Selection(), []),
    ],
)
def test_choosing(selection: Selection, expected: list[str]) -> None:
    assert choose(PHOTOS.table, selection) == expected


def test_a_path_that_is_not_there_is_named_unless_it_is_known() -> None:
    with pytest.raises(InputError, match=r"no photo apple/a\.jpg\."):
        choose(PHOTOS.table, Selection(("apple/a.jpg", "apple/A.jpg")))
    assert choose(PHOTOS.table, Selection(("gone.jpg", "pear/c.jpg")), lambda path: path == "gone.jpg") == PATHS[2:]


def test_a_name_that_is_not_utf_8_is_found_as_it_was_listed() -> None:
    table = manifest.build([Photo(r"a/\xff.jpg", "a", 1, "")]).table
    assert choose(table, Selection(("a/\udcff.jpg",))) == [r"a/\xff.jpg"]


ACCENTED = [unicodedata.normalize(form, "pêche/é.jpg") for form in ("NFC", "NFD")]


@pytest.mark.parametrize(
    "selection",
    [Selection(paths=("pêche/é.jpg",)), Selection(label="pêche"), Selection(matching="PÊCHE/?.jpg")],
    ids=["path", "label", "glob"],
)
@pytest.mark.parametrize("form", ["NFC", "NFD"])
def test_accents_are_found_however_they_are_encoded(selection: Selection, form: Any) -> None:
    table = manifest.build(Photo(path, path.split("/")[0], 10, "v") for path in [*ACCENTED, *PATHS]).table

    def spelled(text: str | None) -> str | None:
        return text and unicodedata.normalize(form, text)

    given = Selection(
        tuple(map(str, map(spelled, selection.paths))), spelled(selection.label), spelled(selection.matching)
    )
    assert choose(table, given) == sorted(ACCENTED)


@pytest.mark.parametrize("hashed_with", [None, KEY], ids=["plain", "hashed"])
def test_an_accented_path_that_is_erased_already_is_known(hashed_with: PathHash | None) -> None:
    nfc, nfd = ACCENTED
    erased = begun(hashed_with(nfd) if hashed_with else nfd)
    assert choose(PHOTOS.table, Selection((nfc,), hashed_with=hashed_with), erased.has) == []


def test_a_kept_glob_that_names_it_with_other_accents_is_dropped() -> None:
    nfc, nfd = ACCENTED
    kept = without_names(load(None, [f"input.include=['{nfc}', 'x.jpg']"]).config.model_dump(mode="json"), {nfd}, set())
    assert kept["input"]["include"] == ["(erased)", "x.jpg"]


def test_too_many_braces_are_wrong_use() -> None:
    with pytest.raises(UsageError, match="braces"):
        choose(PHOTOS.table, Selection(matching="{a,b}" * 20))


def test_real_paths_are_hashed_with_the_runs_own_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FRUITSCALE_PATH_KEY", KEY.key.decode())
    selection = Selection(("apple/A.jpg",))
    assert resolve(selection, made()) == selection
    facts = {"the key of output.paths": KEY.key_id}
    assert [*resolve(selection, made("hashed", **facts)).names_of("apple/A.jpg")] == [KEY("apple/A.jpg")]
    hashed = KEY("apple/A.jpg")
    assert hashed in resolve(selection, made("hashed", **facts)).names_of(hashed)  # as the tables have it
    assert resolve(Selection(label="a"), made("hashed")) == Selection(label="a")
    with pytest.raises(UsageError, match="not the key"):
        resolve(selection, made("hashed", **facts | {"the key of output.paths": "another"}))
    with pytest.raises(UsageError, match="no glob can match"):
        resolve(Selection(matching="*"), made("hashed"))


@pytest.mark.parametrize(
    ("glob", "stays"),
    [
        ("**/*.jpg", True),
        ("**/*.{jpg,png}", True),
        ("pears/**", True),
        ("apple/a.JPG", False),
        ("**/{a.jpg,z.jpg}", False),
        ("APPLE/**", False),
    ],
)
def test_a_kept_glob_that_names_what_goes_is_dropped(glob: str, stays: bool) -> None:
    config = load(None, [f"input.include=['{glob}', 'x.jpg']"]).config.model_dump(mode="json")
    kept = without_names(config, {"apple/A.jpg", "apple"}, {"pear"})
    assert kept["input"]["include"] == [glob if stays else "(erased)", "x.jpg"]
    assert {**kept, "input": None} == {**config, "input": None}


def test_the_journal_is_read_as_it_was_written_and_names_nothing(tmp_path: Path) -> None:
    store, written = LocalStore(tmp_path), begun(*PATHS)
    assert journal.read_journal(store) is None
    journal.check_finished(store)
    journal.write_journal(store, written)
    assert journal.read_journal(store) == written
    assert all(map(written.has, PATHS))
    assert not written.has("apple/a.jpg")
    assert written.kinds == {"features": {"files": 2, "rows": 3}, "manifest.parquet": {"files": 1, "rows": 3}}
    assert not any(path.encode() in store.read(journal.JOURNAL) for path in PATHS)
    with pytest.raises(OutputError, match="interrupted"):
        journal.check_finished(store)


@pytest.mark.parametrize("content", [b"", b"{}", b"[]", b'{"id": 1}'])
def test_a_damaged_journal_is_told(tmp_path: Path, content: bytes) -> None:
    LocalStore(tmp_path).write(journal.JOURNAL, content)
    with pytest.raises(OutputError, match="damaged"):
        journal.read_journal(LocalStore(tmp_path))


def test_a_folder_without_a_run_is_refused_and_left_as_it_is(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="no run in it"):
        fruitscale.erase(str(tmp_path), "a.jpg")
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(InputError, match="does not exist"):
        fruitscale.erase(str(tmp_path / "nowhere"), "a.jpg")


def test_fingerprints_and_words_tell_an_erasure(tmp_path: Path) -> None:
    old = RunPlan({"features": "1", "pca": "2"}, {"photos": "x", "versions": "y"}, {"pca.components": 3})
    one, two = (plan_after_erasing(old, PHOTOS, n) for n in (1, 2))
    assert one.features == {"photos": PHOTOS.sha256, "versions": PHOTOS.versions_sha256, "erased": 1}
    assert len({plan.fingerprints[name] for plan in (old, one, two) for name in ("features", "pca")}) == 6
    folder, new = RunFolder(LocalStore(tmp_path)), replace(one, features=dict(list(one.features.items())[:2]))
    assert differences(folder, one, new, PHOTOS) == "1 photo was erased from it"
    assert differences(folder, two, new, PHOTOS) == "2 photos were erased from it"


def test_ctrl_c_says_how_to_finish(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(erasing, "rewrite", stop)
    with lock.locked(LocalStore(tmp_path), "me"), pytest.raises(InterruptedRunError) as stopped:
        photo_erasure._commit(RunFolder(LocalStore(tmp_path)), begun(), None)
    assert f"fruitscale.erase('{tmp_path}')" in str(stopped.value)
    assert (tmp_path / journal.JOURNAL).exists()


class Bucket:
    """A stand-in for S3's client: one page of versions, and what it is told to deny."""

    def __init__(self, **codes: str) -> None:
        self.codes = codes
        self.deleted: list[tuple[str, str]] = []

    def _refuse(self, operation: str) -> None:
        if operation in self.codes:
            raise ClientError({"Error": {"Code": self.codes[operation]}}, operation)

    def get_paginator(self, operation: str) -> Bucket:
        self._refuse(operation)
        return self

    def paginate(self, **_: str) -> list[dict[str, Any]]:
        def found(name: str, version: str, latest: bool) -> dict[str, Any]:
            return {"Key": f"run/{name}", "VersionId": version, "IsLatest": latest}

        current = [found(name, "2", True) for name in ("run.json", "features/part-00000.parquet", "run.json.mine")]
        old = [found(name, "1", False) for name in ("run.json", "run.json.mine", "report.html", "notes/features/a")]
        return [{"Versions": [*current, *old], "DeleteMarkers": [found("report.html", "2", True)]}, {}]

    def get_bucket_versioning(self, **_: str) -> dict[str, str]:
        self._refuse("get_bucket_versioning")
        return {"Status": self.codes["status"]} if "status" in self.codes else {}

    def delete_objects(self, **request: Any) -> dict[str, Any]:
        asked = request["Delete"]["Objects"]
        self._refuse("delete_objects")
        self.deleted += [(found["Key"], found["VersionId"]) for found in asked]
        denied = [found for found in asked if found["Key"] == self.codes.get("locked")]
        return {"Errors": [{**found, "Code": "AccessDenied"} for found in denied]} if denied else {}


@pytest.mark.parametrize(
    ("codes", "expected"),
    [
        pytest.param({}, PurgedVersions(3, 0), id="removed"),
        pytest.param({"locked": "run/report.html"}, PurgedVersions(1, 1), id="one is locked"),
        pytest.param({"delete_objects": "AccessDenied"}, PurgedVersions(0, 2), id="none may be removed"),
        pytest.param({"list_object_versions": "NotImplemented"}, PurgedVersions(), id="a store without versions"),
        pytest.param({"list_object_versions": "AccessDenied"}, PurgedVersions(), id="no listing, and no versioning"),
        pytest.param(
            {"list_object_versions": "AccessDenied", "status": "Enabled"}, PurgedVersions(0, 5), id="no listing"
        ),
        pytest.param(
            {"list_object_versions": "AccessDenied", "get_bucket_versioning": "AccessDenied"},
            PurgedVersions(0, 5),
            id="nothing may be asked",
        ),
    ],
)
def test_old_versions(monkeypatch: pytest.MonkeyPatch, codes: dict[str, str], expected: PurgedVersions) -> None:
    bucket = Bucket(**codes)
    monkeypatch.setattr(aws, "s3_client", lambda storage: bucket)
    assert purge(S3Store("s3://bucket/run", Storage(region="eu-west-3")), list("abcde")) == expected
    if not codes:
        assert bucket.deleted == [("run/run.json", "1"), ("run/report.html", "1"), ("run/report.html", "2")]
    if "locked" in codes:
        assert ("run/report.html", "2") not in bucket.deleted  # the marker that hides it


def test_a_store_that_fails_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    for operation in ("list_object_versions", "delete_objects"):
        bucket = Bucket(**{operation: "InternalError"})
        monkeypatch.setattr(aws, "s3_client", lambda storage, bucket=bucket: bucket)
        with pytest.raises(StorageError, match="old versions"):
            purge(S3Store("s3://bucket/run", Storage(region="eu-west-3")), ["a"])


def test_a_folder_on_disk_has_no_versions(tmp_path: Path) -> None:
    assert purge(LocalStore(tmp_path), ["a"]) == PurgedVersions()


@pytest.mark.parametrize("flags", [[], ["--json"]])
def test_the_command_warns_of_old_versions(monkeypatch: pytest.MonkeyPatch, flags: list[str]) -> None:
    monkeypatch.setattr(api, "erase", lambda *_: replace(DONE, versions_remaining=12))
    ran = CliRunner().invoke(app, ["erase", "runs/a", "--path", "x", *flags])
    assert ran.exit_code == 0
    assert "12 objects" in ran.stderr
    assert "s3:DeleteObjectVersion" in ran.stderr
    if flags:
        assert json.loads(ran.stdout)["versions_remaining"] == 12
    else:
        assert "3, 1 of them rejects; 5 remain" in ran.stdout
        assert "fruitscale erase runs/a --refit" in ran.stdout
