"""Runs a spark-submit line on a standalone Spark of two workers: `python -m tests.cloud.standalone FOLDER LINE`."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from pathlib import Path

import pyspark

from fruitscale.bench.local_clusters import spark_cluster
from fruitscale.engines.java import find_java


def main(folder: Path, line: str) -> int:
    """Run the line with only `--master` added; return its exit code."""
    home = Path(pyspark.__file__).parent
    submit, *words = shlex.split(line)
    java = {"JAVA_HOME": str(find_java(pyspark.__version__).home), "SPARK_LOCAL_IP": "127.0.0.1"}
    with spark_cluster(folder) as cluster:
        command = [str(home / "bin" / submit), "--master", cluster.address, *words]
        plain = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
        return subprocess.run(command, env={**plain, **java}, check=False).returncode


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), sys.argv[2]))
