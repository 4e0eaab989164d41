"""What we use of libraries and they do not promise: each test names what an upgrade took away."""

from __future__ import annotations

import inspect
import pickle
from typing import Any

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
    (pickle, "_Unpickler"),
    (pickle, "BYTEARRAY8"),
]


@pytest.mark.parametrize(("owner", "name"), PRIVATE_NAMES, ids=lambda value: value if isinstance(value, str) else "")
def test_a_private_name_is_still_there(owner: Any, name: str) -> None:
    assert hasattr(owner, name), f"{owner.__name__}.{name} is gone: see the module of internals that uses it"


@pytest.mark.skipif(not hasattr(types, "NumpyArrayConverter"), reason="this PySpark has no NumPy converters")
@pytest.mark.parametrize("name", ["NumpyArrayConverter", "NumpyScalarConverter"])
def test_the_converters_still_ask_only_for_numpy(name: str) -> None:
    assert list(inspect.signature(getattr(types, name).can_convert).parameters)[1:] == ["obj"]


def test_a_context_still_has_what_the_engine_uses() -> None:
    source = inspect.getsource(pyspark.SparkContext)
    for attribute in ("pythonExec", "_accumulatorServer", "_jsc"):
        assert f"self.{attribute} =" in source or f"self.{attribute}:" in source, attribute


def test_the_accumulator_server_is_a_socket_server() -> None:
    """Its `handle_error` is replaced, and its `shutdown` is called from another thread."""
    returned = inspect.signature(accumulators._start_update_server).return_annotation
    assert "AccumulatorTCPServer" in str(returned) or "AccumulatorServer" in str(returned)


def test_distributed_still_has_the_scheduler_s_dashboard() -> None:
    from distributed.dashboard.scheduler import connect

    assert list(inspect.signature(connect).parameters)[:3] == ["application", "http_server", "scheduler"]


def test_spark_home_is_the_installed_one() -> None:
    assert "pyspark" in spark_internals.spark_home()
