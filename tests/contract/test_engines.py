"""The contract of every engine, run unchanged over all of them, and over real clusters of Spark and Dask."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.request import urlopen

import psutil
import pytest

from fruitscale.config.loading import from_mapping
from fruitscale.config.schema import Config
from fruitscale.engines.base import Engine
from fruitscale.engines.registry import open_engine, slots
from fruitscale.errors import EngineError, InputError
from tests.conftest import ROOT
from tests.contract import tasks
from tests.contract.clusters import LIGHT_JAVA, dask_scheduler, spark_master

__all__ = ["dask_scheduler", "spark_master"]  # fixtures

ENGINES = ["local", "spark", "dask"]
CLUSTERS = ["spark-standalone", "dask-cluster"]
KILLED = {"local": 0, "spark": 0, "dask": 0, "spark-standalone": 2, "dask-cluster": 0}  # 2: the executor's Java

SCRIPT = """
import sys, time
from fruitscale.config.loading import from_mapping
from fruitscale.engines.registry import open_engine
from fruitscale.errors import EngineError
from tests.contract import tasks
config = from_mapping({{"engine": {engine!r}}})
{body}
"""

TWICE = """
for _ in range(2):
    engine = open_engine(config, 2)
    shared = engine.share(b"x" * 1000)
    assert {size for _, _, size in engine.map(tasks.see, [0.0] * 6, shared)} == {1000}
    info = engine.describe()
    engine.close()
    engine.close()
print(info.name, info.master, info.cores)
"""

LONG = """
engine = open_engine(config, 2)
try:
    for result in engine.map(tasks.wait, [0.2] * 5 + [30.0] * 20):
        print("result", flush=True)
finally:
    engine.close()
"""


@pytest.fixture(scope="module", autouse=True)
def workers_find_tests() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(ROOT))
        patch.setenv("JDK_JAVA_OPTIONS", LIGHT_JAVA)
        yield


def config_for(name: str, request: pytest.FixtureRequest) -> Config:
    values: dict[str, Any] = {"engine": name.partition("-")[0]}
    if name == "spark-standalone":
        conf = {"spark.pyspark.python": sys.executable, "spark.executor.memory": "512m"}
        conf |= {"spark.driver.host": "127.0.0.1", "spark.driver.bindAddress": "127.0.0.1"}
        values["spark"] = {"master": request.getfixturevalue("spark_master"), "conf": conf}
    if name == "dask-cluster":
        values["dask"] = {"scheduler": request.getfixturevalue("dask_scheduler")}
    return from_mapping(values)


@pytest.fixture(scope="module", params=[*ENGINES, *(pytest.param(each, marks=pytest.mark.slow) for each in CLUSTERS)])
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def engine(name: str, request: pytest.FixtureRequest) -> Iterator[Engine]:
    engine = open_engine(config_for(name, request), 2)
    try:
        yield engine
    finally:
        engine.close()
        engine.close()


@pytest.mark.parametrize(
    ("values", "named"),
    [
        ({"engine": "spark", "spark": {"master": "spark://127.0.0.1:1"}}, "127.0.0.1:1"),
        ({"engine": "dask", "dask": {"scheduler": "tcp://127.0.0.1:1"}}, "127.0.0.1:1"),
        ({"engine": "spark", "spark": {"master": "spark://nowhere"}}, "spark://nowhere"),
        ({"engine": "dask", "dask": {"scheduler": "nowhere"}}, "nowhere"),
    ],
)
def test_an_address_where_nothing_answers_is_named(values: dict[str, Any], named: str) -> None:
    with pytest.raises(EngineError, match=named) as caught:
        open_engine(from_mapping(values), 2)
    assert caught.value.hint


class TestContract:
    def test_each_task_gives_one_result(self, engine: Engine) -> None:
        assert sorted(engine.map(tasks.echo, range(37))) == list(range(37))

    def test_no_tasks_give_no_results(self, engine: Engine) -> None:
        assert list(engine.map(tasks.echo, [])) == []

    def test_a_thousand_tasks_give_a_thousand_results(self, engine: Engine) -> None:
        assert sorted(engine.map(tasks.echo, range(1000))) == list(range(1000))

    def test_results_come_as_they_complete(self, engine: Engine, tmp_path: Path) -> None:
        gate = tmp_path / "gate"
        results = engine.map(tasks.wait_for, [""] * 39 + [str(gate)])
        first = [next(results) for _ in range(20)]
        gate.touch()  # the last task waits for this: its end depends on results that came before
        assert sorted([*first, *results]) == [""] * 39 + [str(gate)]

    def test_what_is_raised_on_purpose_arrives_as_it_was(self, engine: Engine) -> None:
        with pytest.raises(InputError) as caught:
            list(engine.map(tasks.refuse, range(20)))
        assert (caught.value.message, caught.value.hint) == ("photo 3 is no photo", "take another")

    def test_anything_else_is_an_engine_error_that_names_it(self, engine: Engine) -> None:
        with pytest.raises(EngineError, match="ValueError: nobody expected"):
            list(engine.map(tasks.fail, [7]))

    def test_a_result_that_cannot_travel_is_an_engine_error(self, engine: Engine) -> None:
        with pytest.raises(EngineError):
            list(engine.map(tasks.unpicklable, [1]))

    def test_the_payload_is_one_object_in_each_worker(self, engine: Engine) -> None:
        shared = engine.share(b"x" * 9_000_000)
        views = set(engine.map(tasks.see, [0.05] * 40, shared))
        assert {size for _, _, size in views} == {9_000_000}
        assert len(views) == len({pid for pid, _, _ in views}) == 2

    def test_two_payloads_do_not_mix(self, engine: Engine) -> None:
        one, two = engine.share(b"x"), engine.share(b"xx")
        assert {size for _, _, size in engine.map(tasks.see, [0.0] * 4, two)} == {2}
        assert {size for _, _, size in engine.map(tasks.see, [0.0] * 4, one)} == {1}

    def test_large_results(self, engine: Engine) -> None:
        results = list(engine.map(tasks.large, range(32)))
        assert sorted(result[0] for result in results) == list(range(32))
        assert {result.nbytes for result in results} == {6_500_000}

    def test_blas_is_on_one_thread(self, engine: Engine) -> None:
        assert set(engine.map(tasks.threads, range(4))) == {1}

    def test_a_consumer_that_stops_early_stops_the_map(self, engine: Engine, tmp_path: Path) -> None:
        work = [(str(tmp_path / f"{i}"), 0.1) for i in range(60)]
        results = engine.map(tasks.touch, work)
        next(results)
        results.close()  # type: ignore[attr-defined]
        assert sorted(engine.map(tasks.echo, range(4))) == list(range(4))
        time.sleep(1)
        assert len(list(tmp_path.iterdir())) < 50

    def test_a_worker_that_is_killed_costs_nothing(self, engine: Engine, name: str, tmp_path: Path) -> None:
        shared = engine.share(b"x" * 1000)
        before = engine.describe().retries
        work = [(i, str(tmp_path / "killed"), KILLED[name]) for i in range(20)]
        assert sorted(engine.map(tasks.die_once, work, shared)) == [(i, 1000) for i in range(20)]
        assert (tmp_path / "killed").exists()
        assert engine.describe().retries > before

    def test_a_task_that_killed_its_worker_knows_that_it_is_a_retry(self, engine: Engine) -> None:
        results = dict(engine.map(tasks.die_unless_retried, range(6)))
        assert sorted(results) == list(range(6))
        assert results[1]
        assert not any(is_retry for _, is_retry in engine.map(tasks.die_unless_retried, [0, 2, 3]))

    def test_describe(self, engine: Engine, name: str) -> None:
        info = engine.describe()
        assert info.name == name.partition("-")[0]
        assert info.cores == 2
        assert info.workers == (1 if name == "spark" else 2)
        assert info.version
        if name == "spark":
            assert info.master == "local[2]"
            assert info.ui is not None
            assert info.ui.startswith("http://127.0.0.1:")

    def test_its_page_opens_once_tasks_have_run(self, engine: Engine, name: str) -> None:
        list(engine.map(tasks.echo, [1]))
        page = engine.describe().ui
        if name not in ("spark", "dask"):
            return  # none, or what somebody's cluster has
        assert page is not None
        for _ in range(100):  # Dask's libraries are imported after the first tasks are under way
            with contextlib.suppress(HTTPError), urlopen(page, timeout=30) as answer:
                assert answer.status == 200
                return
            time.sleep(0.2)
        pytest.fail(f"{page} is not there")


@pytest.mark.parametrize("name", ["local", "dask"])
def test_a_task_that_kills_each_worker_is_given_up(name: str) -> None:
    engine = open_engine(from_mapping({"engine": name}), 2)
    try:
        # Dask's nannies also give up when workers die while they start
        with pytest.raises(EngineError, match=r"4 |starts Dask's workers ended after tasks had killed \d"):
            list(engine.map(tasks.die, [1]))
    finally:
        engine.close()


@pytest.mark.parametrize("name", ["local", "dask"])
def test_workers_import_ahead_what_is_there(name: str) -> None:
    engine = open_engine(from_mapping({"engine": name}), 1, warm=("wave", "nowhere"))
    try:
        assert list(engine.map(tasks.has_imported, ["wave", "nowhere"])) in ([True, False], [False, True])
    finally:
        engine.close()


@pytest.mark.parametrize("name", ["local", "dask", pytest.param("spark", marks=pytest.mark.slow)])
def test_an_unguarded_script_opens_two_engines_in_turn(name: str, tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, _script(tmp_path, name, TWICE)], capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    assert done.stdout.split()[0] == name
    assert done.stdout.split()[-1] == "2"


@pytest.mark.slow
def test_spark_submit_names_the_master(tmp_path: Path) -> None:
    import pyspark

    from fruitscale.engines.java import find_java

    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        [
            str(Path(pyspark.__file__).parent / "bin" / "spark-submit"),
            *("--master", "local[1]", _script(tmp_path, "spark", TWICE)),
        ],
        env={**os.environ, "PATH": path, "JAVA_HOME": str(find_java(pyspark.__version__).home)},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["spark", "local[1]", "1"]


@pytest.mark.slow
def test_a_session_that_is_there_is_used_and_left(tmp_path: Path) -> None:
    import pyspark

    from fruitscale.engines.java import find_java

    body = """
from pyspark.sql import SparkSession
session = SparkSession.builder.master("local[1]").getOrCreate()
engine = open_engine(config, 2)
assert list(engine.map(tasks.echo, [5], engine.share(b"x"))) == [5]
assert engine.describe().cores == 1
engine.close()
try:
    open_engine(from_mapping({{"engine": "spark", "spark": {{"master": "local[7]"}}}}), 2)
except EngineError as error:
    print(error.message)
print(session.range(3).count())
session.stop()
"""
    script = _script(tmp_path, "spark", body)
    variables = {**os.environ, "JAVA_HOME": str(find_java(pyspark.__version__).home)}  # the session is not ours
    done = subprocess.run(
        [sys.executable, script], env=variables, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    refusal, rows = done.stdout.splitlines()
    assert "local[7]" in refusal
    assert "local[1]" in refusal
    assert rows == "3"


@pytest.mark.slow
def test_a_java_that_is_killed_is_told_and_the_next_engine_starts(tmp_path: Path) -> None:
    body = """
import os, signal
for _ in range(2):
    engine = open_engine(config, 2)
    try:
        for _ in engine.map(tasks.wait, [0.1] * 60):
            os.kill(engine._session._gateway.proc.pid, signal.SIGKILL)
    except EngineError as error:
        print(error.message)
    engine.close()
"""
    script = _script(tmp_path, "spark", body)
    done = subprocess.run([sys.executable, script], capture_output=True, text=True, timeout=120, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.count("Java process ended") == 2


@pytest.mark.parametrize(
    ("values", "variables", "master"),
    [
        pytest.param({}, {}, "local[3,4]", id="nobody"),
        pytest.param({"spark": {"master": "yarn"}}, {"MASTER": "local"}, "yarn", id="config-wins"),
        pytest.param({"spark": {"conf": {"spark.master": "yarn"}}}, {}, "yarn", id="conf"),
        pytest.param({}, {"PYSPARK_SUBMIT_ARGS": "--master yarn pyspark-shell"}, None, id="submit-args"),
        pytest.param({}, {"PYSPARK_SUBMIT_ARGS": "--name x pyspark-shell"}, "local[3,4]", id="other-submit-args"),
        pytest.param({}, {"PYSPARK_GATEWAY_PORT": "1"}, None, id="spark-submit"),
        pytest.param({}, {"MASTER": "yarn"}, None, id="environment"),
        pytest.param({}, {"SPARK_CONF_DIR": "conf"}, None, id="defaults-file"),
    ],
)
def test_who_names_sparks_master(
    values: dict[str, Any],
    variables: dict[str, str],
    master: str | None,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from fruitscale.engines.spark_settings import choose_master

    (tmp_path / "conf").mkdir()
    (tmp_path / "conf" / "spark-defaults.conf").write_text("# ours\nspark.master  yarn\n")
    monkeypatch.chdir(tmp_path)
    assert choose_master(from_mapping(values), 3, variables, home=str(tmp_path / "home")) == master


@pytest.mark.parametrize("name", ENGINES)
@pytest.mark.parametrize("how", ["SIGKILL", "SIGINT"])
def test_nothing_outlives_the_driver(name: str, how: str, tmp_path: Path) -> None:
    driver = subprocess.Popen(
        [sys.executable, _script(tmp_path, name, LONG)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        assert driver.stdout is not None
        assert driver.stdout.readline() == "result\n"
        assert len(_session(driver.pid)) > 2
        os.killpg(driver.pid, getattr(signal, how))  # what a Ctrl-C does: the foreground group
        _, complaint = driver.communicate(timeout=15)
        deadline = time.monotonic() + 10
        while (left := _session(driver.pid)) and time.monotonic() < deadline:
            time.sleep(0.2)
        assert left == []
        assert complaint.count("Traceback") == (1 if how == "SIGINT" else 0), complaint
    finally:
        for process in _session(driver.pid):
            process.kill()
        driver.wait()


def test_slots() -> None:
    assert slots(from_mapping({"slots": 3})) == 3
    assert slots(from_mapping({})) == len(os.sched_getaffinity(0))


def _script(folder: Path, engine: str, body: str) -> str:
    path = folder / "script.py"
    path.write_text(SCRIPT.format(engine=engine, body=body.replace("{{", "{").replace("}}", "}")))
    return str(path)


def _session(leader: int) -> list[psutil.Process]:
    found = []
    for process in psutil.process_iter():
        try:
            if os.getsid(process.pid) == leader and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
        except (ProcessLookupError, psutil.NoSuchProcess):
            continue
    return found
