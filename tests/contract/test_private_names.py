"""Everything that we use of libraries although they do not document it: each test names what an upgrade took away."""

from __future__ import annotations

import inspect
import pickle
import socketserver
import typing
import zipfile
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import distributed
import pyspark
import pytest
from pyspark import accumulators, find_spark_home, java_gateway
from pyspark.sql import types

from fruitscale.engines import spark_internals

PRIVATE_NAMES: list[tuple[Any, str]] = [
    (find_spark_home, "_find_spark_home"),
    (java_gateway, "launch_gateway"),
    (pyspark.SparkContext, "_active_spark_context"),
    (pyspark.SparkContext, "_ensure_initialized"),
    (pyspark.SparkContext, "_gateway"),
    (pyspark.SparkContext, "_jvm"),
    (accumulators, "_start_update_server"),
    (types, "NumpyArrayConverter"),
    (types, "NumpyScalarConverter"),
    (pickle, "_Unpickler"),
    (pickle, "BYTEARRAY8"),
]
JVM_METHODS = [
    ("org/apache/spark/SparkContext", "getExecutorMemoryStatus"),
    ("org/apache/spark/SparkContext", "statusStore"),
    ("org/apache/spark/status/AppStatusStore", "executorList"),
    ("org/apache/spark/status/api/v1/ExecutorSummary", "hostPort"),
    ("org/apache/spark/status/api/v1/ExecutorSummary", "totalCores"),
]


@pytest.mark.parametrize(("owner", "name"), PRIVATE_NAMES, ids=lambda value: value if isinstance(value, str) else "")
def test_a_private_name_still_exists(owner: Any, name: str) -> None:
    assert hasattr(owner, name), f"{owner.__name__}.{name} is gone: see the module of internals that uses it"


@pytest.mark.parametrize(("owner", "name"), JVM_METHODS)
def test_a_method_of_spark_s_java_side_still_exists(owner: str, name: str) -> None:
    [jar] = (Path(spark_internals.spark_home()) / "jars").glob("spark-core_*.jar")
    with zipfile.ZipFile(jar) as classes:
        assert name.encode() in classes.read(f"{owner}.class"), f"{owner}.{name} is gone: see spark_internals.executors"


@pytest.mark.parametrize("name", ["NumpyArrayConverter", "NumpyScalarConverter"])
def test_the_converters_still_take_one_object(name: str) -> None:
    assert list(inspect.signature(getattr(types, name).can_convert).parameters)[1:] == ["obj"]


@pytest.mark.parametrize("attribute", ["pythonExec", "_accumulatorServer", "_jsc"])
def test_a_context_still_has_what_the_engine_uses(attribute: str) -> None:
    source = inspect.getsource(pyspark.SparkContext)
    assert f"self.{attribute} =" in source or f"self.{attribute}:" in source, attribute


def test_a_context_still_stops_without_an_accumulator_server() -> None:
    assert 'if getattr(self, "_accumulatorServer", None):' in inspect.getsource(pyspark.SparkContext.stop)


def test_the_gateway_still_takes_a_log_and_has_its_process() -> None:
    assert list(inspect.signature(java_gateway.launch_gateway).parameters) == ["conf", "popen_kwargs"]
    assert "gateway.proc = proc" in inspect.getsource(java_gateway.launch_gateway)


def test_the_accumulator_server_is_a_socket_server() -> None:
    """Its `handle_error` is replaced, and its `shutdown` is called from another thread."""
    returned = typing.get_type_hints(accumulators._start_update_server)["return"]
    for server in typing.get_args(returned) or (returned,):
        assert issubclass(server, socketserver.BaseServer), server


def test_distributed_still_has_the_scheduler_s_dashboard() -> None:
    from distributed.dashboard.scheduler import connect

    assert list(inspect.signature(connect).parameters)[:3] == ["application", "http_server", "scheduler"]


@pytest.mark.parametrize("attribute", ["http_application", "http_server", "plugins"])
def test_a_scheduler_still_has_what_the_engine_uses(attribute: str) -> None:
    sources = "".join(inspect.getsource(owner) for owner in distributed.Scheduler.__mro__ if owner is not object)
    assert f"self.{attribute} =" in sources or f"    {attribute}:" in sources, attribute


def test_a_connection_is_still_built_from_a_file_descriptor() -> None:
    """LocalEngine passes a worker its end of a pipe by number; only `Pipe` is documented."""
    assert next(iter(inspect.signature(Connection).parameters)) == "handle"


def test_spark_home_is_the_installed_one() -> None:
    assert Path(spark_internals.spark_home()) == Path(str(pyspark.__file__)).parent
