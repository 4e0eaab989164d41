"""Reading ahead: in order, at once, and within its bounds."""

from __future__ import annotations

import threading
from dataclasses import dataclass

import pytest

from fruitscale.storage import read_ahead
from fruitscale.storage.read_ahead import ReadAhead

SECONDS = 30
"""How long a test waits for what happens at once."""


@dataclass(frozen=True)
class Thing:
    number: int
    size: int = 1


class Reader:
    """Reads when it is allowed to, and keeps what was begun."""

    def __init__(self, *, allowed: bool = True) -> None:
        self.begun: list[int] = []
        self.allowed, self.first = threading.Event(), threading.Event()
        if allowed:
            self.allowed.set()

    def __call__(self, thing: Thing) -> str:
        self.begun.append(thing.number)
        self.first.set()
        assert self.allowed.wait(SECONDS)
        if thing.number < 0:
            raise ValueError(thing.number)
        return f"content {thing.number}"


def things(n: int, size: int = 1) -> list[Thing]:
    return [Thing(number, size) for number in range(n)]


@pytest.mark.parametrize("n", [0, 1, 3, 50])
def test_everything_comes_in_order(n: int) -> None:
    assert list(ReadAhead(Reader(), things(n), 4)) == [(thing, f"content {thing.number}") for thing in things(n)]


def test_reads_begin_before_anything_is_asked_for() -> None:
    reader = Reader()
    ahead = ReadAhead(reader, things(3), 4)
    assert reader.first.wait(SECONDS)
    ahead.close()


def test_no_more_are_begun_than_allowed() -> None:
    reader = Reader()
    ahead = ReadAhead(reader, things(100), 2)
    for number in range(20):
        assert next(ahead)[0].number == number
        assert len(reader.begun) <= number + 1 + 2 * 2


def test_more_are_asked_for_in_bursts() -> None:
    rest = things(100)
    ahead = ReadAhead(Reader(), (rest.pop() for _ in range(100)), 4)
    upcoming = 1
    counts = [100 - len(rest) - upcoming for _ in range(12) if next(ahead)]
    assert counts == [8] * 4 + [12] * 4 + [16] * 4


def test_large_objects_are_read_one_by_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(read_ahead, "MOST_BYTES", 100)
    reader = Reader()
    ahead = ReadAhead(reader, things(10, size=100), 4)
    for number in range(10):
        assert next(ahead)[0].number == number
        assert len(reader.begun) == number + 1


def test_an_error_comes_where_its_object_would() -> None:
    ahead = ReadAhead(Reader(), [Thing(0), Thing(-1), Thing(2)], 4)
    assert next(ahead)[1] == "content 0"
    with pytest.raises(ValueError, match="-1"):
        next(ahead)


def test_reads_that_wait_are_given_up_at_the_end() -> None:
    reader = Reader(allowed=False)
    ahead = ReadAhead(reader, things(10), 1)
    assert reader.first.wait(SECONDS)
    ahead.close()
    reader.allowed.set()
    ahead._pool.shutdown(wait=True)
    assert reader.begun == [0]
