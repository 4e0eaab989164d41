"""Imports what a worker of stage 1 needs to reach S3, beside what is in warm.py."""

from __future__ import annotations

import boto3  # noqa: F401
import obstore.store  # noqa: F401
import tenacity  # noqa: F401
