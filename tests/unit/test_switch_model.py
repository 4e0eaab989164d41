"""A model of two runs that replace a complete one, checked in every order of their steps (see also test_fencing_model.py).

As in runs/replacement.py, the new run is written in `_run/next`; its record, whose place it reserved, is the commit, and its
files are then moved into place. Whoever takes the lock over finishes that first. As in storage/fence.py, each change is two
steps: the object is looked at and the lock is checked, then a conditional request leaves; it is applied at any later moment,
also after its sender lost the lock, or never. A request without a response is repeated, and gone before another follows it.
ETags are those of S3, hashes: an object that gets its old content back has its old ETag.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from typing import NamedTuple, TypeAlias

import pytest

PART, RECORD, NEXT_PART, NEXT_RECORD = range(4)
RESERVED = "?"
"""What a record in `_run/next` begins with before the commit, which replaces it."""
LATE = 1
"""How many requests may be under way without a response."""
Objects: TypeAlias = tuple[str, str, str, str]
"""The content of each object: a part's is the letter of what is computed, a record's also names its run; empty: absent."""
KINDS = ("put", "copy", "delete")
FOLLOWING = {
    "uncommit": "copy", "copy": "drop", "drop": "commit", "commit": "clear-record", "clear-record": "clear-part",
    "unreserve": "decide", "clear-next": "reserve", "reserve": "next-part", "next-part": "next-record",
    "next-record": "uncommit", "clear-place": "part", "part": "record", "record": "end",
}  # fmt: skip
"""What a run does next after each change; `clear-part` is followed by a decision."""


class Run(NamedTuple):
    """What a run computes, where it is, the record that it puts into place, and the request that may leave now."""

    name: str
    content: str
    at: str = "lock"
    record: str = ""
    ready: Request | None = None
    reserves: bool = True

    @property
    def own(self) -> str:
        return f"{self.content}{self.name}"


class Request(NamedTuple):
    """A change of an object, on condition that `watched` has the content `expects`."""

    kind: str
    target: int
    content: str
    watched: int
    expects: str
    sender: str = ""


class World(NamedTuple):
    """Both runs, who holds the lock, who took it last, the objects, and the requests under way."""

    runs: tuple[Run, Run]
    holder: str
    last: str
    objects: Objects
    late: frozenset[Request]


def is_complete(objects: Objects, content: str) -> bool:
    return objects[RECORD][:1] == objects[PART] == content


def is_genuine(objects: Objects) -> bool:
    """Return whether a record in `_run/next` has its files: see `finish_pending`."""
    moved_nothing = objects[RECORD] != "" and objects[NEXT_PART] == ""
    return not moved_nothing and objects[NEXT_RECORD][:1] == (objects[NEXT_PART] or objects[PART])


def decided(run: Run, objects: Objects) -> Run:
    """Return a run that has read the folder, and knows what it does next."""
    waiting = objects[NEXT_RECORD] if run.at == "pending" else ""
    if waiting.startswith(RESERVED):
        return run._replace(at="unreserve")
    if waiting:
        return run._replace(at="uncommit", record=waiting) if is_genuine(objects) else run._replace(at="clear-record")
    if is_complete(objects, run.content):
        return run._replace(at="end")
    if objects[RECORD]:
        return run._replace(at="reserve" if objects[NEXT_PART] in ("", run.content) else "clear-next")
    return run._replace(at={"": "part", run.content: "record"}.get(objects[PART], "clear-place"))


def request_of(run: Run, objects: Objects) -> Request | None:
    """Return the request of a run's step, or None if there is nothing to do."""
    deleted = {"uncommit": RECORD, "drop": NEXT_PART, "clear-record": NEXT_RECORD, "clear-part": NEXT_PART,
               "unreserve": NEXT_RECORD, "clear-next": NEXT_PART, "clear-place": PART}.get(run.at)  # fmt: skip
    if deleted is not None:
        return Request("delete", deleted, "", deleted, objects[deleted]) if objects[deleted] else None
    if run.at == "copy":
        source = objects[NEXT_PART]
        return Request("copy", PART, source, NEXT_PART, source) if source else None
    if run.at == "reserve" and not run.reserves:
        return None
    target, content = {
        "commit": (RECORD, run.record), "reserve": (NEXT_RECORD, RESERVED + run.name),
        "next-part": (NEXT_PART, run.content), "next-record": (NEXT_RECORD, run.own),
        "part": (PART, run.content), "record": (RECORD, run.own),
    }[run.at]  # fmt: skip
    return Request("put", target, content, target, objects[target])


def advanced(run: Run) -> Run:
    """Return a run whose change is done."""
    if run.at == "clear-part":
        return run._replace(at="end" if run.record == run.own else "decide", record="", ready=None)
    record = run.own if run.at == "next-record" else run.record
    return run._replace(at=FOLLOWING[run.at], record=record, ready=None)


def applied(objects: Objects, request: Request, conditional: frozenset[str]) -> Objects:
    if request.kind == "copy" and not objects[request.watched]:
        return objects
    if request.kind in conditional and objects[request.watched] != request.expects:
        return objects
    content = objects[request.watched] if request.kind == "copy" else request.content
    changed = list(objects)
    changed[request.target] = content
    return changed[0], changed[1], changed[2], changed[3]


def with_run(world: World, run: Run) -> World:
    runs = (run, world.runs[1]) if world.runs[0].name == run.name else (world.runs[0], run)
    return world._replace(runs=runs)


def steps(world: World, conditional: frozenset[str]) -> Iterator[World]:
    """Yield every world that can follow."""
    for run in world.runs:
        if run.at == "lock":
            taken = with_run(world, run._replace(at="pending"))
            yield taken._replace(holder=run.name, last=run.name)
        elif run.ready is not None:
            yield from sent(world, run, run.ready, conditional)
        elif (
            run.at != "end" and world.holder == run.name and is_settled(world, run)
        ):  # else it learns that the lock is lost, and stops
            yield from prepared(world, run)
    for request in world.late:
        rest = world._replace(late=world.late - {request})
        yield rest
        yield rest._replace(objects=applied(rest.objects, request, conditional))


def is_settled(world: World, run: Run) -> bool:
    """Return whether a run's requests are answered or gone, or its next one repeats the one that is under way."""
    targets = {request.target for request in world.late if request.sender == run.name}
    following = None if run.at in ("pending", "decide") else request_of(run, world.objects)
    return not targets or (following is not None and targets == {following.target})


def prepared(world: World, run: Run) -> Iterator[World]:
    if run.at in ("pending", "decide"):
        following = decided(run, world.objects)
    else:
        request = request_of(run, world.objects)
        following = advanced(run) if request is None else run._replace(ready=request._replace(sender=run.name))
    yield released(with_run(world, following), following)


def sent(world: World, run: Run, request: Request, conditional: frozenset[str]) -> Iterator[World]:
    """Send a request: it is answered at once, or under way without a response, and then sent again."""
    objects = applied(world.objects, request, conditional)
    is_refused = request.kind in conditional and world.objects[request.watched] != request.expects
    following = run._replace(ready=None) if is_refused else advanced(run)
    yield released(with_run(world, following)._replace(objects=objects), following)
    if len(world.late) < LATE:
        yield with_run(world, run._replace(ready=None))._replace(late=world.late | {request})


def released(world: World, run: Run) -> World:
    return world._replace(holder="") if run.at == "end" and world.holder == run.name else world


def finished(objects: Objects, run: Run, conditional: frozenset[str]) -> Objects:
    """Return the objects after a run that nothing disturbs."""
    run = run._replace(at="pending", ready=None)
    while run.at != "end":
        if run.at in ("pending", "decide"):
            run = decided(run, objects)
            continue
        request = request_of(run, objects)
        objects = objects if request is None else applied(objects, request, conditional)
        run = advanced(run)
    return objects


def explore(
    start: Objects, contents: str, conditional: frozenset[str] = frozenset(KINDS), *, reserves: bool = True
) -> Iterator[tuple[World, bool]]:
    """Yield every state, and whether the last holder's run is lost in it, now or by the next run."""
    runs = Run("1", contents[0], reserves=reserves), Run("2", contents[1], reserves=reserves)
    world = World(runs, "", "", start, frozenset())
    seen, todo = {world}, deque([world])
    while todo:
        world = todo.popleft()
        yield world, is_lost(world, conditional)
        for following in steps(world, conditional):
            if following not in seen:
                seen.add(following)
                todo.append(following)


def is_lost(world: World, conditional: frozenset[str]) -> bool:
    if world.late or not world.last:
        return False
    last = next(run for run in world.runs if run.name == world.last)
    if last.at == "end" and not is_complete(world.objects, last.content):
        return True
    after = finished(world.objects, last._replace(name="3"), conditional)
    return not is_complete(after, last.content) or (last.at == "end" and after[:2] != world.objects[:2])


COMPLETE: Objects = ("x", "x0", "", "")
EMPTY: Objects = ("", "", "", "")
STARTS = [(COMPLETE, "yx"), (COMPLETE, "yz"), (COMPLETE, "yy"), (EMPTY, "yy"), (EMPTY, "yz")]


@pytest.mark.parametrize(("start", "contents"), STARTS)
def test_no_order_of_steps_loses_the_last_holders_run(start: Objects, contents: str) -> None:
    states = list(explore(start, contents))
    assert len(states) > 500, "the model explores next to nothing"
    assert [world for world, lost in states if lost] == []


@pytest.mark.parametrize("kind", ["put", "delete"])
def test_conditions_are_needed(kind: str) -> None:
    assert any(lost for _, lost in explore(COMPLETE, "yz", frozenset(KINDS) - {kind}))


def test_a_commit_needs_a_reservation() -> None:
    assert any(lost for _, lost in explore(COMPLETE, "yx", reserves=False))
