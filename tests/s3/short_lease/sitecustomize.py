"""With this folder in PYTHONPATH, the lock on S3 is renewed and taken over after seconds: the same spans, but shorter."""

from __future__ import annotations

from fruitscale.storage import lease, lock

lease.RENEW_SECONDS, lease.VALID_SECONDS, lease.SILENCE_SECONDS, lease.POLL_SECONDS = 1.0, 2.0, 4.0, 0.25
lock.CHECK_SECONDS = 0.5
