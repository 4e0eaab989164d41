"""What Spark and YARN refuse, with the texts that Spark 4.3 on Hadoop 3.3 printed."""

from __future__ import annotations

import pytest

from fruitscale.engines.spark_refusals import java_message, refusal

TOO_LARGE = """An error occurred while calling None.org.apache.spark.api.java.JavaSparkContext.
: java.lang.IllegalArgumentException: Required executor memory (1024 MB), offHeap memory (0) MB, overhead (3984 MB), and PySpark memory (0 MB) is above the max threshold (3072 MB) of this cluster! Please check the values of 'yarn.scheduler.maximum-allocation-mb' and/or 'yarn.nodemanager.resource.memory-mb'.
\tat org.apache.spark.deploy.yarn.Client.verifyClusterResources(Client.scala:400)"""  # noqa: E501
KILLED = "Application application_1_0001 was killed by user hadoop at 10.0.0.1"
VCORES = (
    "Uncaught exception: org.apache.hadoop.yarn.exceptions.InvalidResourceRequestException: Invalid resource request! "
    "Cannot allocate containers as requested resource is greater than maximum allowed allocation. Requested resource "
    "type=[vcores], Requested resource=<memory:2696, vCores:16>, maximum allowed allocation=<memory:4096, vCores:4>, "
    "please note that maximum allowed allocation is calculated by scheduler"
)
OVER = (
    "Job aborted due to stage failure: Task 0 in stage 1.0 failed 4 times, most recent failure: Lost task 0.3: "
    "ExecutorLostFailure (executor 4 exited caused by one of the running tasks) Reason: Container killed by YARN for "
    "exceeding physical memory limits. 1.2 GB of 1 GB physical memory used. Consider boosting spark.executor.memoryOverhead."
)
ENDED = "Yarn application has already ended!"
SHUT = "org.apache.spark.SparkException: Job 1 cancelled because SparkContext was shut down"


@pytest.mark.parametrize(
    ("text", "diagnostics", "message", "hint"),
    [
        pytest.param(TOO_LARGE, "", "An executor needs 5008 MB, but this YARN allows only 3072", "executor_cores", id="memory"),
        pytest.param(
            ENDED, VCORES, "needs 16 cores, but this YARN allows only 4", "executor_cores", id="cores"
        ),
        pytest.param(OVER, "", "more memory than they had requested (1.2 GB of 1 GB)", "Raise python_mb", id="over-memory"),
        pytest.param(SHUT, KILLED, "was killed by user hadoop", "run the same command again", id="killed"),
        pytest.param(SHUT, "", "its application master failed", "log is here", id="ended"),
    ],
)  # fmt: skip
def test_a_refusal_says_what_to_change(text: str, diagnostics: str, message: str, hint: str) -> None:
    error = refusal(text, diagnostics, "Spark's log is here")
    assert error is not None
    assert message in error.message
    assert hint in (error.hint or "")


def test_other_failures_are_no_refusals() -> None:
    assert refusal("Traceback (most recent call last):\nValueError: boom", "", None) is None


def test_the_reason_is_java_s_not_py4j_s() -> None:
    assert java_message(TOO_LARGE).startswith("Required executor memory (1024 MB)")
    assert java_message("plain") == "plain"
    assert java_message("An error occurred\n: org.apache.spark.SparkException: Yarn ended") == "Yarn ended"
