"""What fruitscale relies on that botocore does not promise; tests/s3/test_answers.py checks it against a real server."""

from __future__ import annotations

from typing import Any


def stay_on_host(client: Any) -> Any:  # noqa: ANN401  boto3 has no types of its own
    """Return an S3 client that follows no redirect to another region.

    botocore has no option for that. It would send the request, with its token, to a region that was not checked; and for
    HEAD of a bucket without a region, ask for the region again and again. It follows no redirect of a redirected request.
    """
    client.meta.events.register("before-call.s3", _mark_as_redirected)
    return client


def _mark_as_redirected(params: dict[str, Any], **_: object) -> None:
    params["context"]["s3_redirect"] = {**params["context"].get("s3_redirect", {}), "redirected": True}
