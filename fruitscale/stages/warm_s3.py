"""Imports what a worker of stage 1 needs to reach S3, in addition to warm.py."""

from __future__ import annotations

import boto3  # noqa: F401
import obstore.store  # noqa: F401
