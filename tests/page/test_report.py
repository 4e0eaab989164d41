"""report.html as a run makes it: what is in it, when it is made, and that it goes with what is erased."""

from __future__ import annotations

import json
import os
import re
import shutil
from pathlib import Path
from typing import Any

import pytest

import fruitscale
from fruitscale import api
from fruitscale.display.events import Event
from fruitscale.errors import MissingExtraError, OutputError
from fruitscale.report import html_page
from tests.conftest import Cli, edit_record
from tests.integration.erased import files_of, manifest_of, naming
from tests.page.bench_files import write
from tests.page.conftest import EACH, LABELS, label, options

KEY = "the key that these tests hash paths with"


def data_of(run: Path) -> dict[str, Any]:
    found = re.search(r'<script type="application/json" id="data">(.*?)</script>', (run / "report.html").read_text())
    assert found is not None
    data: dict[str, Any] = json.loads(found[1])
    return data


def told_by(run: Path) -> dict[str, Any]:
    """All of the data but the figures, whose parts Bokeh numbers anew."""
    return {what: value for what, value in data_of(run).items() if what != "figures"}


def test_a_run_makes_its_page(made: Path) -> None:
    record, data = json.loads((made / "run.json").read_text()), data_of(made)
    text = (made / "report.html").read_text()
    assert record["images"] == {"featurized": LABELS * EACH, "rejected": 2, "resumed": 0}
    assert data["labels"] == sorted(label(number) for number in range(LABELS))
    assert data["counts"] == [EACH] * LABELS
    assert sorted(data["points"]["path"]) == sorted(
        p for p in manifest_of(made) if "broken" not in p and "empty" not in p
    )
    assert len(data["thumbs"]) == LABELS * EACH
    assert sum(map(len, data["thumbs"])) <= 3_000_000
    for told in (
        record["id"],
        record["model"]["sha256"],
        record["input"]["uri"],
        f"{record['pca']['components']} of 192",
    ):
        assert told in text
    for reason in ("not an image", "empty"):
        assert f"<h3>{reason} <small>1 photo</small></h3>" in text


def test_a_complete_run_keeps_its_page_and_one_that_has_none_gets_it(
    coloured: Path, made: Path, tmp_path: Path
) -> None:
    run, events = shutil.copytree(made, tmp_path / "run"), list[Event]()
    given = options(coloured, run)
    old = '<meta name="generator" content="fruitscale 0.1.0">the old page'
    (run / "report.html").write_text(old)
    fruitscale.run(given, events.append)
    assert (run / "report.html").read_text() == old
    assert not [event for event in events if event.stage == "report"]
    (run / "report.html").unlink()
    fruitscale.run({**given, "report": False})
    assert not (run / "report.html").exists()
    fruitscale.run(given, events.append)
    assert told_by(run) == told_by(made)
    assert [event.done for event in events if event.stage == "report"] == [0, 1]


def test_a_page_that_cannot_be_made_is_a_warning(
    coloured: Path, made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, events = shutil.copytree(made, tmp_path / "run"), list[Event]()
    (run / "report.html").unlink()

    def missing() -> None:
        raise MissingExtraError("Bokeh, which draws report.html,", "report")

    monkeypatch.setattr(html_page, "check_installed", missing)
    record = fruitscale.run(options(coloured, run), events.append)
    assert record.status == "complete"
    with pytest.raises(MissingExtraError, match=r"fruitscale\[report\]"):
        api.report(str(run))
    told = [event.warning for event in events if event.warning]
    assert told == [
        "report.html was not made: Bokeh, which draws report.html, is not installed. pip install 'fruitscale[report]'"
    ]


def test_the_command_warns_also_when_it_is_quiet(cli: Cli, coloured: Path, made: Path, tmp_path: Path) -> None:
    run, blocked = shutil.copytree(made, tmp_path / "run"), tmp_path / "blocked"
    (run / "report.html").unlink()
    (blocked / "bokeh").mkdir(parents=True)
    (blocked / "bokeh" / "__init__.py").write_text("raise ImportError('no Bokeh here')")
    config = tmp_path / "run.yaml"
    config.write_text(json.dumps(options(coloured, run)))
    path = f"{blocked}{os.pathsep}{cli.environment['PYTHONPATH']}"
    ran = cli("run", "--config", config, "--quiet", "--json", PYTHONPATH=path)
    assert ran.record["status"] == "complete"
    assert ran.err == (
        "Warning: report.html was not made: Bokeh, which draws report.html, is not installed. "
        "pip install 'fruitscale[report]'\n"
    )


def test_the_command_makes_pages(cli: Cli, made: Path, tmp_path: Path) -> None:
    run, bench = shutil.copytree(made, tmp_path / "run"), write(tmp_path)
    (run / "report.html").unlink()
    ran = cli("report", run, bench / "bench.json")
    assert ran.code == 0, ran.err
    assert ran.out.splitlines() == [f"{run}/report.html", f"{bench}/bench.html"]
    assert told_by(run) == told_by(made)
    (tmp_path / "empty").mkdir()
    with pytest.raises(OutputError, match="no complete run"):
        api.report(str(tmp_path / "empty"))
    assert list((tmp_path / "empty").iterdir()) == []


def test_what_is_erased_goes_from_the_page(made: Path, tmp_path: Path) -> None:
    run = shutil.copytree(made, tmp_path / "run")
    before, gone = data_of(run), [path for path in manifest_of(run) if path.startswith(f"{label(5)}/")]
    thumbs = {before["thumbs"][number] for path, number in zip(*(before["points"][k] for k in ("path", "thumb")), strict=True)
              if path in gone}  # fmt: skip
    assert len(thumbs) == EACH
    done = fruitscale.erase(str(run), label=label(5), refit=True)
    assert (done.page, done.page_problem) == (True, None)
    after = data_of(run)
    assert naming(files_of(run), [*gone, label(5)]) == set()
    assert not thumbs & set(after["thumbs"])
    assert len(after["points"]["path"]) == LABELS * EACH - len(gone)
    assert f"{EACH} photos were erased" in (run / "report.html").read_text()


def test_a_run_without_a_page_gets_none_by_erasing(made: Path, tmp_path: Path) -> None:
    run = shutil.copytree(made, tmp_path / "run")
    (run / "report.html").unlink()
    done = fruitscale.erase(str(run), next(iter(manifest_of(run))))
    assert not done.page
    assert not (run / "report.html").exists()


def test_a_run_with_nothing_left_has_a_page(made: Path, tmp_path: Path) -> None:
    run = shutil.copytree(made, tmp_path / "run")
    done = fruitscale.erase(str(run), matching="**")
    assert (done.remaining, done.page_problem) == (0, None)
    assert data_of(run)["points"]["path"] == []


def test_hashed_paths_leave_neither_paths_nor_thumbnails(
    coloured: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FRUITSCALE_PATH_KEY", KEY)
    run = tmp_path / "run"
    some, hashed = {"uri": str(coloured), "limit": 200}, {"uri": str(run), "paths": "hashed"}
    fruitscale.run(options(coloured, run, slots=1, input=some, output=hashed))
    data, text = data_of(run), (run / "report.html").read_text()
    assert data["thumbs"] == []
    assert data["points"]["path"] is None
    assert set(data["points"]["thumb"]) == {-1}
    names = [*manifest_of(run), *(path.name for path in coloured.rglob("*.jpg"))]
    assert naming([("report.html", text.encode())], names) == set()
    assert len(data["labels"]) == 200 // EACH


def test_without_its_photos_a_run_has_a_page_that_says_so(made: Path, tmp_path: Path) -> None:
    run, nowhere = shutil.copytree(made, tmp_path / "run"), tmp_path / "nowhere"
    edit_record(run, lambda record: record["input"].update(uri=str(nowhere)))
    api.report(str(run))
    assert data_of(run)["thumbs"] == []
    assert f"{LABELS * EACH} of {LABELS * EACH} photos are no longer in {nowhere}" in (run / "report.html").read_text()


def test_a_damaged_or_unfinished_run_has_no_page(made: Path, tmp_path: Path) -> None:
    run = shutil.copytree(made, tmp_path / "run")
    old = (run / "report.html").read_bytes()
    part = run / "reduced" / "part-00002.parquet"
    content = part.read_bytes()
    part.write_bytes(content[:-9])
    with pytest.raises(OutputError, match=r"part-00002\.parquet is damaged"):
        api.report(str(run))
    part.unlink()
    with pytest.raises(OutputError, match=r"part-00002\.parquet does not exist"):
        api.report(str(run))
    part.write_bytes(content)
    assert (run / "report.html").read_bytes() == old
    (run / "run.json").unlink()
    with pytest.raises(OutputError, match="no complete run"):
        api.report(str(run))


def test_secrets_of_the_config_are_left_out(made: Path, tmp_path: Path) -> None:
    run = shutil.copytree(made, tmp_path / "run")
    plan = json.loads((run / "_run" / "plan.json").read_text())
    plan["config"]["spark"]["conf"] = {"spark.hadoop.fs.s3a.secret.key": "hunter2", "spark.executor.memory": "1g"}
    (run / "_run" / "plan.json").write_text(json.dumps(plan))
    api.report(str(run))
    text = (run / "report.html").read_text()
    assert "hunter2" not in text
    assert "spark.executor.memory: 1g" in text
