"""The results of checks of a launch: what was found, and how to fix it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

from fruitscale.errors import ClusterError
from fruitscale.storage import aws


class CheckVerdict(StrEnum):
    """The result of a check; "could not be checked" does not count as passed."""

    PASS = "pass"  # noqa: S105
    FAIL = "fail"
    UNKNOWN = "could not be checked"


@dataclass(frozen=True)
class LaunchCheck:
    """One check, what it found, and how to fix a failure."""

    name: str
    verdict: CheckVerdict
    found: str
    remedy: str = ""


@dataclass(frozen=True)
class ConfigProblem:
    """A setting that is missing or can't work, and what to set."""

    found: str
    remedy: str


def passed(name: str, found: str) -> LaunchCheck:
    """Return a check that passed."""
    return LaunchCheck(name, CheckVerdict.PASS, found)


def failed(name: str, found: str, remedy: str) -> LaunchCheck:
    """Return a check that failed."""
    return LaunchCheck(name, CheckVerdict.FAIL, found, remedy)


def unknown(name: str, found: str, remedy: str = "") -> LaunchCheck:
    """Return a check that could not be made."""
    return LaunchCheck(name, CheckVerdict.UNKNOWN, found, remedy)


def attempt(name: str, check: Callable[[], LaunchCheck], resource: str) -> LaunchCheck:
    """Run a check. It fails if AWS does not know the resource, and is "could not be checked" on any other error."""
    try:
        return check()
    except ClusterError as error:
        if aws.is_absent(error) or "does not exist" in error.message:
            return failed(name, f"{resource} does not exist", error.hint or "")
        return unknown(name, error.message, (error.hint or "") if aws.is_denied(error) else "")
