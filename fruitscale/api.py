"""What Python users and the CLI call."""

from __future__ import annotations

from collections.abc import Sequence

from fruitscale import pipeline
from fruitscale.basis import earlier_settings
from fruitscale.config import Config, Given, Storage, as_config
from fruitscale.erasure import Erased, erase
from fruitscale.errors import UsageError
from fruitscale.evaluation.drift import Drift, drift
from fruitscale.evaluation.neighbours import Evaluation, evaluate
from fruitscale.events import Observer
from fruitscale.formats import Written
from fruitscale.formats import write as export
from fruitscale.notebook import watching
from fruitscale.record import RunRecord
from fruitscale.storage.complete import open_complete
from fruitscale.tables import read

__all__ = [
    "Drift", "Erased", "Evaluation", "Written", "apply", "drift", "erase", "evaluate", "export", "read", "record", "run",
]  # fmt: skip


def run(config: Given, observer: Observer | None = None) -> RunRecord:
    """Make, resume or verify the run that a config describes, and return its record.

    `config` is the path of a YAML file, a mapping, or a Config; `observer` is told where the run is; without one, a
    notebook shows it. Raises a FruitscaleError whatever goes wrong; what was finished by then is kept, and the same call
    resumes.
    """
    config = as_config(config)
    if config.cluster is not None:
        raise UsageError(
            "This config runs on a cluster (cluster: is set), which fruitscale.run doesn't start.",
            "Set cluster: null to run here.",
        )
    with watching(observer) as told:
        return pipeline.run(config, told)


def apply(pca: str, config: Given, new_since: Sequence[str] = (), observer: Observer | None = None) -> RunRecord:
    """Bring new photos into the space of an earlier run: its model and its components, nothing fitted.

    `pca` is that run's folder; `config` says where the new photos are and where they go, as for `run`; a model that it
    doesn't say is that run's (a Config says everything). With `new_since` only photos are taken that none of those runs has.
    Raises ModelError when the model is another, NothingNewError when no photo is new, and what `run` raises.
    """
    if not isinstance(config, Config):
        storage = as_config(config).storage
        config = as_config(config, earlier_settings(pca, storage))
    since = {"input": config.input.model_copy(update={"new_since": tuple(new_since)})} if new_since else {}
    applied = config.model_copy(update={"pca": config.pca.model_copy(update={"run": pca}), **since})
    return run(applied, observer)


def record(uri: str, storage: Storage | None = None) -> RunRecord:
    """Return the record of a complete run; `storage` says how to reach one on S3.

    Raises InputError or OutputError when there is none, ResidencyError when its bucket is not where it should be.
    """
    return open_complete(uri, storage).record
