"""Reports of waiting reach every listener, and a store that does not answer is reported once for all its requests."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

from fruitscale.storage import waiting
from fruitscale.storage.waiting import listening, report_unavailable, report_wait


def test_a_report_reaches_the_listeners_of_the_moment() -> None:
    outer: list[str] = []
    inner: list[str] = []
    report_wait("before")
    with listening(outer.append):
        with listening(inner.append):
            report_wait("both")
        report_wait("outer")
    report_wait("after")
    assert (outer, inner) == (["both", "outer"], ["both"])


def test_a_listener_leaves_when_its_block_fails() -> None:
    heard: list[str] = []
    with pytest.raises(KeyError), listening(heard.append):
        raise KeyError
    report_wait("after")
    assert not heard


def test_many_requests_that_wait_for_a_bucket_report_it_once() -> None:
    heard: list[str] = []
    with listening(heard.append), ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda _: report_unavailable("photos", 600.0), range(50)))
        report_unavailable("results", 2.5)
    assert heard == [
        "s3://photos does not answer; retrying for up to 600 s (storage.retry_seconds)",
        "s3://results does not answer; retrying for up to 2.5 s (storage.retry_seconds)",
    ]


def test_a_bucket_that_still_does_not_answer_is_reported_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(waiting, "REPORT_EVERY_SECONDS", 0.0)
    heard: list[str] = []
    with listening(heard.append):
        report_unavailable("scans", 600.0)
        report_unavailable("scans", 600.0)
    assert len(heard) == 2
