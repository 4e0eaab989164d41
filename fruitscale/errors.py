"""Everything that fruitscale raises on purpose.

FruitscaleError              exit 1   caught once, in the CLI; its message says what to do
├── UsageError               exit 2   the command, a flag or the config can't be used as it is
│   └── MissingExtraError    exit 2   an optional part of fruitscale is not installed
├── InputError               exit 1   the photos, or the list of them, can't be used
│   └── NothingNewError      exit 0   every photo is in a run of input.new_since: there is nothing to do
├── OutputError              exit 1   the run folder can't be used: not writable, another run's, locked, damaged
├── StorageError             exit 1   the store said no, or nothing, for longer than it was asked to try
│   ├── MissingObjectError   exit 1   there is no such file or object
│   └── ChangedObjectError   exit 1   it is not the version that was listed
├── ResidencyError           exit 1   a store is not where it should be, or doesn't say where it is
├── ModelError               exit 1   the weights can't be had, or don't fit
├── EngineError              exit 1   Spark or Dask could not be started, or gave up
├── ClusterError             exit 1   machines could not be had, or a run on them failed
│   └── CapacityError        exit 1   AWS has no such machine just now
└── InterruptedRunError      exit 130 Ctrl-C
"""

from __future__ import annotations


class FruitscaleError(Exception):
    """Say what is wrong and what to do about it.

    `message` is one sentence or two; `hint` is the remedy, shown on a line of its own.
    """

    exit_code = 1

    def __init__(self, message: str, hint: str | None = None) -> None:
        super().__init__(message, hint)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return self.message if self.hint is None else f"{self.message}\n\nHint: {self.hint}"


class UsageError(FruitscaleError):
    """The command, a flag or the config can't be used as it is."""

    exit_code = 2


class MissingExtraError(UsageError):
    """An optional part of fruitscale is not installed."""

    def __init__(self, what: str, extra: str) -> None:
        super().__init__(f"{what} is not installed.", f"pip install 'fruitscale[{extra}]'")
        self.args = (what, extra)  # what pickle calls __init__ with


class InputError(FruitscaleError):
    """The photos, or the list of them, can't be used."""


class NothingNewError(InputError):
    """Every photo is in a run that has it already: there is nothing to do, and that is no failure."""

    exit_code = 0


class OutputError(FruitscaleError):
    """The run folder can't be used."""


class StorageError(FruitscaleError):
    """The store said no, or nothing, for longer than it was asked to try."""


class MissingObjectError(StorageError):
    """There is no such file or object."""


class ChangedObjectError(StorageError):
    """A file or object is not the version that was listed."""


class ResidencyError(FruitscaleError):
    """A store is not where it should be, or doesn't say where it is."""


class ModelError(FruitscaleError):
    """The weights can't be had, or don't fit."""


class EngineError(FruitscaleError):
    """An engine could not be started, or gave up."""


class ClusterError(FruitscaleError):
    """Machines could not be had, or a run on them failed."""


class CapacityError(ClusterError):
    """AWS has no such machine just now."""


class InterruptedRunError(FruitscaleError):
    """The user stopped the run."""

    exit_code = 130
