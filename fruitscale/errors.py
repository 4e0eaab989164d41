"""The errors that fruitscale raises.

FruitscaleError              exit 1   caught once, in the CLI; the hint says how to fix it
├── UsageError               exit 2   the command, a flag or the config is not valid
│   └── MissingExtraError    exit 2   an optional part of fruitscale is not installed
├── InputError               exit 1   the photos, or the list of them, can't be read
│   └── NothingNewError      exit 0   every photo is in a run of input.new_since
├── OutputError              exit 1   the run folder is not writable, locked, damaged or another run's
├── StorageError             exit 1   the store refused a request, or did not answer in time
│   ├── MissingObjectError   exit 1   a file or object does not exist
│   ├── ChangedObjectError   exit 1   a file or object is not the version that was listed
│   ├── ArchivedObjectError  exit 1   an object is in an archive class of S3, and not restored
│   ├── DeniedObjectError    exit 1   access to an object is denied
│   └── UnansweredObjectError exit 1  one object did not answer, though the store does
├── ResidencyError           exit 1   a bucket is outside the allowed regions, or its region is unknown
├── ModelError               exit 1   weights are unavailable, or don't fit
├── EngineError              exit 1   an engine could not be started, or gave up
├── ClusterError             exit 1   machines could not be launched, or a run on them failed
│   └── CapacityError        exit 1   AWS has no capacity for these machines now
└── InterruptedRunError      exit 130 Ctrl-C
"""

from __future__ import annotations

import re

_PYTHON_WORDS = (
    (r"\b(?:[Uu]se|add) (?=--set )", ""),
    (r"--set ([\w.]+=)((?:[^\s,;)]*[^\s,;).])?) --set ([\w.]+=\S*[^\s,;).])", r"set \1\2 and \3 in the config"),
    (r"--set ([\w.]+=(?:[^\s,;)]*[^\s,;).])?)", r"set \1 in the config"),
    (r"--set (?=[\w.{])", ""),
    (r"--overwrite\b", "overwrite (in a config: output.overwrite)"),
    (r"--(path|label)\b", r"\1s"),
    (r"--(input|output|config|engine|refit|matching|plot|page|unknown|k)\b", r"\1"),
    (r"\bfruitscale drift (\S+) (\S+)", r"fruitscale.drift('\1', '\2')"),
    (r"\bfruitscale erase (\S+)", r"fruitscale.erase('\1')"),
    (r"\bfruitscale apply --pca ([^\s)]+)", r"fruitscale.apply('\1', …)"),
    (r"\bfruitscale (run|apply|evaluate|export)\b", r"fruitscale.\1"),
    (r"the same command again", "the same code again"),
)
"""What a hint's flags and commands are in Python; the first to the last are replaced in turn."""


def in_python(hint: str) -> str:
    """Return a hint in Python's words: settings and functions instead of flags and commands."""
    translated = hint
    for flag, words in _PYTHON_WORDS:
        translated = re.sub(flag, words, translated)
    return hint if translated == hint else translated[:1].upper() + translated[1:]


class FruitscaleError(Exception):
    """An expected failure.

    `message` describes it in a sentence or two; `hint` says how to fix it, on a line of its own: in the command's words, and
    in Python's where Python prints the error.
    """

    exit_code = 1

    def __init__(self, message: str, hint: str | None = None) -> None:
        super().__init__(message, hint)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return self.message if self.hint is None else f"{self.message}\n\nHint: {in_python(self.hint)}"


class UsageError(FruitscaleError):
    """The command, a flag or the config is not valid."""

    exit_code = 2


class MissingExtraError(UsageError):
    """An optional part of fruitscale is not installed."""

    def __init__(self, what: str, extra: str) -> None:
        super().__init__(f"{what} is not installed.", f"pip install 'fruitscale[{extra}]'")
        self.args = (what, extra)  # pickle calls __init__ with args


class InputError(FruitscaleError):
    """The photos, or the list of them, can't be read."""


class NothingNewError(InputError):
    """Nothing to fit, or to launch machines for: the runs of input.new_since have every photo, which is not an error."""

    exit_code = 0


class OutputError(FruitscaleError):
    """The run folder is not writable, locked, damaged or another run's."""


class StorageError(FruitscaleError):
    """The store refused a request, or did not answer in time."""


class MissingObjectError(StorageError):
    """A file or object does not exist."""


class ChangedObjectError(StorageError):
    """A file or object is not the version that was listed."""


class ArchivedObjectError(StorageError):
    """An object is in an archive class of S3, and was not restored."""


class DeniedObjectError(StorageError):
    """Access to a file or object is denied."""


class UnansweredObjectError(StorageError):
    """One object did not answer in time, though the store answers other requests."""


class ResidencyError(FruitscaleError):
    """A bucket is outside the allowed regions, or its region is unknown."""


class ModelError(FruitscaleError):
    """Weights are unavailable, or don't fit."""


class EngineError(FruitscaleError):
    """An engine could not be started, or gave up."""


class ClusterError(FruitscaleError):
    """Machines could not be launched, or a run on them failed."""


class CapacityError(ClusterError):
    """AWS has no capacity for these machines now."""


class InterruptedRunError(FruitscaleError):
    """The user stopped the run."""

    exit_code = 130
