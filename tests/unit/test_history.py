"""Which photos an earlier run has: by path and version, or by size between a disk and S3."""

from __future__ import annotations

import pytest

from fruitscale.runs.history import RunHistory, RunPhotos
from fruitscale.runs.journal import Receipt, salted
from fruitscale.runs.path_hash import PathHash
from fruitscale.storage.listing import Photo

SALT, KEY = "00ff", PathHash(b"a key of some length")
RECEIPT = Receipt(SALT, frozenset([salted(SALT, "a/erased.jpg")]))
DISK = RunPhotos({"a/1.jpg": (10, "17-10")}, [RECEIPT], on_s3=False, hashed_with=None)
S3 = RunPhotos({"a/1.jpg": (10, '"etag"')}, [], on_s3=True, hashed_with=None)
HASHED = RunPhotos({KEY("a/1.jpg"): (10, KEY("17-10"))}, [], on_s3=False, hashed_with=KEY)


@pytest.mark.parametrize(
    ("run", "photo", "on_s3", "known"),
    [
        pytest.param(DISK, Photo("a/1.jpg", None, 10, "17-10"), False, True, id="the-same"),
        pytest.param(DISK, Photo("a/1.jpg", None, 10, "18-10"), False, False, id="written-again"),
        pytest.param(DISK, Photo("a/2.jpg", None, 10, "17-10"), False, False, id="another-name"),
        pytest.param(DISK, Photo("a/erased.jpg", None, 5, "1-5"), False, True, id="erased"),
        pytest.param(DISK, Photo("a/1.jpg", None, 10, '"etag"'), True, True, id="copied-to-s3"),
        pytest.param(DISK, Photo("a/1.jpg", None, 11, '"etag"'), True, False, id="copied-and-larger"),
        pytest.param(S3, Photo("a/1.jpg", None, 10, '"etag"'), True, True, id="the-same-object"),
        pytest.param(S3, Photo("a/1.jpg", None, 10, '"other"'), True, False, id="another-etag"),
        pytest.param(S3, Photo("a/1.jpg", None, 10, "17-10"), False, True, id="copied-from-s3"),
        pytest.param(HASHED, Photo("a/1.jpg", None, 10, "17-10"), False, True, id="hashed"),
        pytest.param(HASHED, Photo("a/1.jpg", None, 10, "18-10"), False, False, id="hashed-and-written-again"),
    ],
)
def test_what_a_run_has(run: RunPhotos, photo: Photo, on_s3: bool, known: bool) -> None:
    assert run.has(photo, on_s3=on_s3) == known
    seen = RunHistory([run], on_s3=on_s3)
    assert list(seen.leave_out([photo])) == ([] if known else [photo])
    assert seen.left_out == known


def test_no_runs_leave_nothing_out() -> None:
    photo = Photo("a/1.jpg", None, 10, "17-10")
    assert list(RunHistory([], on_s3=False).leave_out([photo])) == [photo]
