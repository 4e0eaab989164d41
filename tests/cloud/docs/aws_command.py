"""Stands in for the AWS CLI, which can't be installed beside our botocore: the same operations, by botocore's model."""

from __future__ import annotations

import os
import shlex
import sys
from pathlib import Path

from tests.s3.secured import Aws

if __name__ == "__main__":
    words = [Path(w.removeprefix("file://")).read_text() if w.startswith("file://") else w for w in sys.argv[1:]]
    Aws(os.environ["AWS_ENDPOINT_URL"]).run(shlex.join(["aws", *words]))
