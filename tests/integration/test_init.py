"""`fruitscale init`: five questions, and a file that holds every key, with comments, and can run."""

from __future__ import annotations

import itertools
import subprocess
from pathlib import Path

import pytest
import yaml

from fruitscale.config.loading import leaves, load
from fruitscale.config.schema import Config
from fruitscale.config.wizard import config_text, next_question
from tests.conftest import Cli

ON_DISK = {"output.uri": "runs/first", "engine": "dask", "model.architecture": "mobilenet_v2", "pca.components": "25"}
ON_S3 = {"input.uri": "s3://my-photos/in", "output.uri": "s3://my-results/first", "engine": "spark",
         "model.architecture": "efficientnet_lite0", "storage.region": "eu-west-3"}  # fmt: skip

OF_A_FILE = {"input.uri": "photos", "output.uri": "runs/first", "engine": "local", "model.architecture": "file",
             "model.file": "mine.onnx", "pca.components": "25"}  # fmt: skip


def init(cli: Cli, folder: Path, *lines: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        cli.command("init"), input="\n".join([*lines, ""]), cwd=folder, env=cli.environment,
        capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip


def test_five_answers_make_a_config_that_doctor_accepts(cli: Cli, photos: Path, tmp_path: Path) -> None:
    done = init(cli, tmp_path, str(photos), "", "local", "", "")
    assert done.returncode == 0, done.stderr
    config = load(tmp_path / "fruitscale.yaml").config
    assert (config.input.uri, config.output.uri, config.engine) == (str(photos), "runs/first", "local")
    assert (config.model.architecture, config.model.weights, config.pca.components) == (
        "efficientnet_lite0", "packaged", 0.95,
    )  # fmt: skip
    examined = cli("doctor", "--config", tmp_path / "fruitscale.yaml")
    assert examined.code == 0, examined.out
    assert init(cli, tmp_path, str(photos)).returncode == 1  # it never replaces a file without --overwrite


def test_a_wrong_answer_is_asked_again(cli: Cli, photos: Path, tmp_path: Path) -> None:
    done = init(cli, tmp_path, "/nowhere", str(photos), "out", "sprak", "spark", "alexnet", "resnet50", "2.5", "40")
    assert done.returncode == 0, done.stderr
    for message in (
        "There is no folder /nowhere",
        "'sprak' is not valid for engine",
        "no network alexnet",
        "'2.5' is not valid",
    ):
        assert message in done.stderr
    config = load(tmp_path / "fruitscale.yaml").config
    assert (config.engine, config.pca.components, config.model.weights) == ("spark", 40, "imagenet")


def test_no_answer_writes_nothing(cli: Cli, tmp_path: Path) -> None:
    done = init(cli, tmp_path)
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "fruitscale.yaml").exists()


@pytest.mark.parametrize("answers", [{"input.uri": "2024", **ON_DISK}, ON_S3, OF_A_FILE], ids=["disk", "s3", "file"])
def test_a_file_has_every_key_with_a_comment(answers: dict[str, str], tmp_path: Path) -> None:
    text = config_text(answers)
    keys = {key for key, _ in leaves(yaml.safe_load(text))}
    assert keys == {key for key, _ in leaves(Config().model_dump())}
    lines = text.splitlines()
    for before, line in itertools.pairwise(lines):
        assert not line or "#" in line or before.lstrip().startswith("#"), line
    (tmp_path / "config.yaml").write_text(text)
    config = load(tmp_path / "config.yaml").config
    found = dict(leaves(config.model_dump()))
    assert {key: str(found[key]) for key in answers} == answers


def test_it_is_five_questions_either_way_and_one_more_for_a_file() -> None:
    for answers in ({"input.uri": "photos", **ON_DISK}, ON_S3, OF_A_FILE):
        answered: list[str] = []
        while (question := next_question({key: answers[key] for key in answered})) is not None:
            answered.append(question.key)
        assert answered == list(answers)
