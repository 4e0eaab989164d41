"""The system's errors in our words."""

from __future__ import annotations

import errno
import os

import pytest

from fruitscale.storage.system_errors import explain


@pytest.mark.parametrize(
    ("error", "message", "hint"),
    [
        (OSError(errno.ENOSPC, "No space left on device"), "A disk is full: No space", "TMPDIR"),
        (OSError(errno.EDQUOT, "Disk quota exceeded", "/a/b"), "A disk is full: /a/b: Disk quota", "TMPDIR"),
        (OSError(errno.EMFILE, "Too many open files"), "Too many files are open", "ulimit -n"),
        (BlockingIOError(errno.EAGAIN, "Resource temporarily unavailable"), "The system refused it", "Lower slots"),
        (PermissionError(errno.EACCES, "Permission denied", "/x"), "/x: Permission denied", "permissions"),
        (OSError(errno.ENAMETOOLONG, os.strerror(errno.ENAMETOOLONG), "/x"), "too long", "shorter"),
        (IsADirectoryError(errno.EISDIR, "Is a directory", "/x"), "/x: Is a directory", "Remove it or rename it"),
        (MemoryError(), "Memory ran out", "slots"),
        (RuntimeError("can't start new thread"), "can't start new thread", "Lower slots"),
    ],
)
def test_it_is_explained(error: Exception, message: str, hint: str) -> None:
    known = explain(error)
    assert known is not None
    assert message in known.message
    assert hint in str(known.hint)


@pytest.mark.parametrize("error", [ValueError("x"), RuntimeError("x"), OSError("without a number"), KeyError("x")])
def test_a_bug_stays_a_bug(error: Exception) -> None:
    assert explain(error) is None
