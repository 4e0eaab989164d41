"""Clear errors for what Spark and YARN refuse: their own messages are buried in stack traces, and only name their settings."""

from __future__ import annotations

import re

from fruitscale.errors import EngineError

KEPT = "Finished parts are kept: run the same command again."
SMALLER = (
    "Lower executor_cores, executor_memory_mb or python_mb of the cluster section (spark.executor.cores, memory and "
    "memoryOverhead), or use larger machines."
)
_TOO_LARGE = re.compile(
    r"Required (executor|AM) memory \((\d+) MB\).*? is above the max threshold \((\d+) MB\)", re.DOTALL
)
_PARTS = re.compile(r"\((\d+) MB\)")
_CORES = re.compile(
    r"requested=?.*?vCores:\s*(\d+).*?maximum allowed allocation=?.*?vCores:\s*(\d+)", re.DOTALL | re.IGNORECASE
)
_OVER_MEMORY = re.compile(r"killed by YARN for exceeding (?:physical |virtual )?memory limits\. (\S+ \w+ of \S+ \w+)")
_ENDED = (
    "Yarn application has already ended",
    "stopped while waiting for backend",
    "SparkContext was shut down",
    "SparkContext has been shutdown",
    "stopped SparkContext",
    "SparkContext was stopped",
)


def java_message(text: str) -> str:
    """Return the message of the Java exception in an error of Py4J, whose first line names only the called function."""
    found = re.search(r"^: (?:[\w.$]+(?:Exception|Error): )?(.+)", text, re.MULTILINE)
    return found[1].strip() if found else next(iter(text.strip().splitlines()), "no reason was given")


def refusal(text: str, diagnostics: str, hint: str | None) -> EngineError | None:
    """Return the error for what Spark or YARN refused or ended; None if it is something else.

    `diagnostics` is YARN's report on the application, `hint` where the log is.
    """
    whole = f"{text}\n{diagnostics}"
    if size := _TOO_LARGE.search(whole):
        needed = sum(map(int, _PARTS.findall(size[0])[:-1]))
        what = "An executor" if size[1] == "executor" else "Spark's application master"
        return EngineError(f"{what} needs {needed} MB, but this YARN allows only {size[3]} MB per container.", SMALLER)
    if cores := _CORES.search(whole):
        return EngineError(
            f"An executor needs {cores[1]} cores, but this YARN allows only {cores[2]} per container.", SMALLER
        )
    if memory := _OVER_MEMORY.search(whole):
        return EngineError(
            f"YARN killed executors for using more memory than they had requested ({memory[1]}).",
            "Raise python_mb of the cluster section (spark.executor.memoryOverhead), or lower executor_cores. " + KEPT,
        )
    if any(words in text for words in _ENDED):
        reason = " ".join(diagnostics.split())[:300]
        where = f" {hint}" if hint else ""
        return EngineError(
            f"The Spark application was ended from outside: {reason or 'it was killed, or its application master failed'}.",
            f"{KEPT}{where}",
        )
    return None
