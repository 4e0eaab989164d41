"""Erasing photos from a run: no file names them afterwards, what is left is right, and a kill at any write is mended."""

from __future__ import annotations

import json
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import fruitscale
from fruitscale import api
from fruitscale.errors import FruitscaleError, InputError, OutputError, UsageError
from fruitscale.storage.store import LocalStore
from tests.conftest import Cli
from tests.integration.erased import CORRUPT, RUN, check_counts, content_of, files_of, manifest_of, naming, rows, some

KEY = "the key that these tests hash paths with"
KILLED = """
import os, signal, sys
from pathlib import Path
import fruitscale
from fruitscale.storage.store import LocalStore

run, when, left, refit, *paths = sys.argv[1:]
left = int(left)

def counted(method):
    def call(*arguments, **options):
        global left
        left -= 1
        if when == "half" and left == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        result = method(*arguments, **options)
        if when == "after" and left == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        return result
    return call

if when == "half":
    Path.replace = counted(Path.replace)
else:
    LocalStore.write, LocalStore.delete = counted(LocalStore.write), counted(LocalStore.delete)
fruitscale.erase(run, paths, refit=refit == "refit")
"""


def choices(run: Path) -> dict[str, tuple[list[object], set[str]]]:
    photos = manifest_of(run)
    label = sorted(set(photos.values()))[1]
    return {
        "path": ([arg for path in some(run) for arg in ("--path", path)], set(some(run))),
        "label": (["--label", label], {path for path, of in photos.items() if of == label}),
        "glob": (["--matching", "**/VISITOR-00?7-*"], {path for path in photos if re.search(r"-00\d7-", path)}),
    }


@pytest.mark.parametrize("how", ["path", "label", "glob"])
def test_no_file_names_what_was_erased(cli: Cli, run: Path, how: str) -> None:
    arguments, gone = choices(run)[how]
    assert len(gone) > 3
    names = {*gone, *(path.rsplit("/", 1)[1] for path in gone)} | ({arguments[1]} if how == "label" else set())
    texts = list(map(str, names))
    before = {re.sub(r"part-\d+", "part", name) for name in naming(files_of(run), texts)}
    derived = {"features/part.parquet", "reduced/part.parquet", "manifest.parquet", "report.html"}
    assert before == derived | ({"rejects.parquet", "_run/rejects/part.parquet"} if how != "glob" else set())
    features, scores = rows(run, "features"), rows(run, "reduced")

    ran = cli("erase", run, *arguments, "--json")
    assert ran.code == 0, ran.err
    assert naming(files_of(run), texts) == set()
    record, told = check_counts(run), json.loads(ran.out)
    assert (told["photos"], told["total"], record["erased"]) == (len(gone),) * 3
    assert record["input"]["images"] == told["remaining"] == 240 + CORRUPT - len(gone)
    assert told["removed"] == ["report.html", "_run/progress.json"]
    for before_it, folder in ((features, "features"), (scores, "reduced")):
        left = rows(run, folder)
        assert left.keys() == before_it.keys() - gone
        assert all(np.array_equal(left[path], before_it[path]) for path in left)
    shown = cli("show", run)
    assert shown.code == 0, shown.err


def test_the_receipt_proves_and_names_nothing(cli: Cli, run: Path) -> None:
    from fruitscale.runs.journal import salted

    gone = some(run)
    told = json.loads(cli("erase", run, "--label", manifest_of(run)[gone[0]], "--json").out)
    receipt = json.loads((run / told["receipt"]).read_text())
    assert re.fullmatch(r"_run/erasures/\d{8}T\d{6}Z-[0-9a-f]{6}\.json", told["receipt"])
    assert salted(receipt["salt"], gone[0]) in receipt["hashes"]
    assert salted(receipt["salt"], gone[2]) not in receipt["hashes"]
    assert receipt["files"]["features"]["rows"] + receipt["files"]["rejects.parquet"]["rows"] == told["photos"]
    assert receipt["refit"] is False
    assert not (run / "_run" / "erase.json").exists()


def test_it_says_that_the_pca_had_them_and_how_to_fit_again(cli: Cli, run: Path) -> None:
    ran = cli("erase", run, "--path", some(run)[0])
    assert ran.code == 0, ran.err
    assert f"fruitscale erase {run} --refit" in ran.out
    assert "report.html" in ran.out
    again = cli("erase", run, "--refit", "--json")
    assert again.code == 0, again.err
    assert json.loads(again.out)["photos"] == 0
    assert check_counts(run)["erased"] == 1


@pytest.mark.parametrize("later", [False, True], ids=["at once", "later"])
def test_a_refit_is_scikit_learns_pca_of_what_is_left(run: Path, later: bool) -> None:
    from sklearn.decomposition import PCA

    if later:
        fruitscale.erase(str(run), some(run))
        done = fruitscale.erase(str(run), refit=True)
    else:
        done = fruitscale.erase(str(run), some(run), refit=True)
    record, scores, features = check_counts(run), rows(run, "reduced"), rows(run, "features")
    values = np.stack([features[path] for path in scores]).astype(np.float64)
    oracle = PCA(n_components=0.95, svd_solver="full").fit(values)
    largest = np.abs(oracle.components_).argmax(axis=1)
    signs = np.sign(oracle.components_[np.arange(len(largest)), largest])
    assert done.refit
    assert done.components == record["pca"]["components"] == oracle.n_components_
    assert record["pca"]["retained_variance"] == pytest.approx(oracle.explained_variance_ratio_.sum())
    np.testing.assert_allclose(np.stack(list(scores.values())), oracle.transform(values) * signs, rtol=1e-3, atol=1e-4)
    assert json.loads((run / "pca" / "pca.json").read_text())["n"] == len(values)


def test_a_refit_of_too_little_changes_nothing(run: Path) -> None:
    before, paths = content_of(run), list(rows(run, "features"))
    with pytest.raises(InputError, match="at least 2"):
        fruitscale.erase(str(run), paths[1:], refit=True)
    assert content_of(run) == before


def test_everything_can_be_erased(run: Path) -> None:
    done = fruitscale.erase(str(run), matching="**")
    assert (done.photos, done.remaining) == (240 + CORRUPT, 0)
    assert check_counts(run)["images"] == {"featurized": 0, "rejected": 0, "resumed": 0}


def test_twice_adds_up(run: Path) -> None:
    for path in some(run):
        fruitscale.erase(str(run), path)
    assert check_counts(run)["erased"] == 4
    assert len(list((run / "_run" / "erasures").iterdir())) == 4


def test_a_dry_run_changes_nothing(cli: Cli, run: Path) -> None:
    before = files_of(run)
    ran = cli("erase", run, "--path", some(run)[0], "--dry-run", "--json")
    assert ran.code == 0, ran.err
    told = json.loads(ran.out)
    assert told["files"] == {"features": 1, "reduced": 1, "manifest.parquet": 1}
    assert (told["photos"], told["receipt"]) == (1, None)
    assert files_of(run) == before


@pytest.mark.parametrize(
    ("choose", "error", "said"),
    [
        pytest.param({}, UsageError, "No photos are selected", id="nothing"),
        pytest.param(
            {"refit": True}, UsageError, "No photos are selected", id="a refit of a run that is as it was made"
        ),
        pytest.param({"paths": ["no/such.jpg"]}, InputError, "no/such.jpg", id="a path that is not there"),
        pytest.param({"label": "no such label"}, InputError, "nothing is erased", id="a label that is not there"),
        pytest.param({"matching": "*.nothing"}, InputError, "nothing is erased", id="a glob that matches nothing"),
        pytest.param({"label": "a", "matching": "b"}, UsageError, "not by several", id="two ways at once"),
    ],
)
def test_what_is_refused_changes_nothing(
    run: Path, choose: dict[str, Any], error: type[FruitscaleError], said: str
) -> None:
    before = content_of(run)
    with pytest.raises(error, match=said):
        fruitscale.erase(str(run), **choose)
    assert content_of(run) == before


def test_a_damaged_part_is_told_before_anything_changes(run: Path) -> None:
    part = run / "features" / "part-00001.parquet"
    part.write_bytes(part.read_bytes()[:-9])
    before = content_of(run)
    with pytest.raises(OutputError, match=r"part-00001\.parquet is damaged"):
        fruitscale.erase(str(run), some(run))
    assert content_of(run) == before


def test_an_unfinished_run_is_refused(cli: Cli, run: Path) -> None:
    path = some(run)[0]
    (run / "run.json").unlink()
    ran = cli("erase", run, "--path", path)
    assert ran.code == 1
    assert "incomplete run" in ran.err
    assert "Finish the run first" in ran.err


@pytest.mark.slow
def test_a_later_run_is_refused_until_it_overwrites(cli: Cli, named: Path, run: Path) -> None:
    gone = some(run)
    fruitscale.erase(str(run), gone)
    arguments = ["run", *RUN, "-i", named, "-o", run]
    refused = cli(*arguments)
    assert refused.code == 1
    assert f"{len(gone)} photos were erased from it" in refused.err
    made = cli(*arguments, "--overwrite", "--json")
    assert made.record["images"]["featurized"] == 240
    assert made.record["erased"] == 0


def kill(run: Path, when: str, n: int, refit: str, paths: list[str]) -> int:
    """Erase in a process that kills itself at its n-th write; return how it ended."""
    return subprocess.run([sys.executable, "-c", KILLED, run, when, str(n), refit, *paths], check=False).returncode


def finished(run: Path, paths: list[str], n: int, *, refit: bool) -> None:
    """Finish what a kill left: by the same command, or by one that chooses nothing."""
    if (run / "_run" / "erase.json").exists():
        with pytest.raises(OutputError, match="interrupted") as refused:
            api.record(str(run))
        assert f"fruitscale.erase('{run}')" in str(refused.value)
        assert fruitscale.erase(str(run), paths if n % 2 else ()).resumed  # the journal knows of the refit
    elif (run / "run.json").exists() and paths[0] in manifest_of(run):
        assert not fruitscale.erase(str(run), paths, refit=refit).resumed  # it was killed before anything was there


@pytest.mark.parametrize(
    ("when", "refit", "step"),
    [
        pytest.param("after", "", 4, id="after some writes"),
        pytest.param("half", "", 5, id="in the middle of some writes", marks=pytest.mark.slow),
        pytest.param("after", "refit", 11, id="after some writes of a refit"),
        pytest.param("after", "", 1, id="after a write", marks=pytest.mark.slow),
        pytest.param("half", "", 1, id="in the middle of a write", marks=pytest.mark.slow),
        pytest.param("after", "refit", 1, id="after a write of a refit", marks=pytest.mark.slow),
        pytest.param("half", "refit", 1, id="in the middle of a write of a refit", marks=pytest.mark.slow),
    ],
)
def test_a_kill_at_any_write_is_mended(intact_run: Path, tmp_path: Path, when: str, refit: str, step: int) -> None:
    paths = some(intact_run)
    undisturbed = shutil.copytree(intact_run, tmp_path / "undisturbed")
    fruitscale.erase(str(undisturbed), paths, refit=bool(refit))
    expected, n, kills = content_of(undisturbed), 1, 0
    while True:
        run = shutil.copytree(intact_run, tmp_path / "run")
        code = kill(run, when, n, refit, paths)
        if code == 0:
            break
        assert code == -signal.SIGKILL
        finished(run, paths, n, refit=bool(refit))
        assert content_of(run) == expected, n
        assert naming(files_of(run), paths) == set()
        shutil.rmtree(run)
        n, kills = n + step, kills + 1
    assert kills > 10 // step


@pytest.mark.slow
def test_run_and_another_erase_wait_for_one_that_was_interrupted(cli: Cli, named: Path, run: Path) -> None:
    gone = some(run)
    assert kill(run, "after", 4, "", gone[:2]) == -signal.SIGKILL
    for refused in (
        cli("run", *RUN, "-i", named, "-o", run),
        cli("run", *RUN, "-i", named, "-o", run, "--overwrite"),
        cli("show", run),
        cli("erase", run, "--path", gone[2]),
    ):
        assert refused.code == 1
        assert "interrupted" in refused.err
        assert f"fruitscale erase {run}" in refused.err
    unknown = cli("erase", run, "--path", "no/such.jpg")
    assert unknown.code == 1
    assert "no/such.jpg" in unknown.err
    assert cli("erase", run).code == 0
    assert check_counts(run)["erased"] == 2


def test_a_refit_can_be_added_to_one_that_was_interrupted(run: Path, intact_run: Path, tmp_path: Path) -> None:
    gone = some(run)
    assert kill(run, "after", 6, "", gone) == -signal.SIGKILL
    assert fruitscale.erase(str(run), gone, refit=True).refit
    undisturbed = shutil.copytree(intact_run, tmp_path / "undisturbed")
    fruitscale.erase(str(undisturbed), gone, refit=True)
    assert content_of(run) == content_of(undisturbed)


@pytest.fixture(scope="module")
def hashed(cli: Cli, named: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = tmp_path_factory.mktemp("hashed") / "run"
    arguments = [*RUN, "--set", "output.paths=hashed", "-i", named, "-o", run]
    made = cli("run", *arguments, FRUITSCALE_PATH_KEY=KEY)
    assert made.code == 0, made.err
    return run


def test_hashed_paths_are_found_by_the_real_ones(cli: Cli, hashed: Path, intact_run: Path, tmp_path: Path) -> None:
    from fruitscale.runs.path_hash import PathHash

    run, gone = shutil.copytree(hashed, tmp_path / "run"), some(intact_run)
    names = [PathHash(KEY.encode())(path) for path in gone]
    assert naming(files_of(run), names)
    chosen = [arg for path in gone for arg in ("--path", path)]
    no_key = cli("erase", run, *chosen)
    assert no_key.code == 2
    assert "FRUITSCALE_PATH_KEY" in no_key.err
    assert cli("erase", run, *chosen, FRUITSCALE_PATH_KEY=KEY + "?").code == 2
    done = cli("erase", run, *chosen, FRUITSCALE_PATH_KEY=KEY)
    assert done.code == 0, done.err
    assert naming(files_of(run), [*names, *gone]) == set()
    check_counts(run)


def test_a_glob_over_hashes_is_refused_and_a_label_works(cli: Cli, hashed: Path, tmp_path: Path) -> None:
    run = shutil.copytree(hashed, tmp_path / "run")
    refused = cli("erase", run, "--matching", "**/*.jpg", FRUITSCALE_PATH_KEY=KEY)
    assert refused.code == 2
    assert "no glob can match" in refused.err
    label = next(iter(manifest_of(run).values()))
    assert cli("erase", run, "--label", label).code == 0
    assert label not in manifest_of(run).values()
    check_counts(run)


def test_a_run_that_is_being_written_is_refused(run: Path) -> None:
    from fruitscale.storage import lock

    with lock.locked(LocalStore(run), "another"):
        with pytest.raises(OutputError, match="Another run is writing"):
            fruitscale.erase(str(run), some(run))
