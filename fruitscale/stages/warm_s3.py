"""Imports what a worker of stage 1 needs to reach S3, beside what is in warm.py; retries come when they are needed."""

from __future__ import annotations

import boto3  # noqa: F401
import obstore.store  # noqa: F401
