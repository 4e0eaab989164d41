"""The PCA of an earlier run, applied to new photos instead of fitting one."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from fruitscale.config.loading import Given, InheritedSettings, LoadedConfig, leaves, load
from fruitscale.config.schema import Config
from fruitscale.errors import ModelError, UsageError
from fruitscale.kernels.moments import Components
from fruitscale.runs.fingerprints import APPLIED, model_differences
from fruitscale.runs.reader import CompleteRun, open_complete
from fruitscale.runs.record import AppliedPca, PcaRecord
from fruitscale.runs.run_folder import RunPlan
from fruitscale.storage.residency import StorageAccess

INHERITED = ("model", "images.exif_orientation")
"""Settings taken from the earlier run unless they are set."""


KNOWN_EARLY = ("architecture", "input_size", "runtime", "precision")
"""Settings of a network that its export does not change."""


@dataclass(frozen=True)
class FittedPca:
    """The fitted components of a complete run; `sha256` is that of its pca.npz."""

    run: CompleteRun
    fitted: Components
    sha256: str

    @property
    def facts(self) -> Mapping[str, Any]:
        """What a run that applies these components depends on."""
        settings = self.run.plan.pca
        return {key: settings[key] for key in ("pca.components", "pca.standardize")} | {APPLIED: self.sha256}

    @property
    def pca(self) -> PcaRecord:
        """The components in the run's record."""
        return self.run.record.pca

    @property
    def applied(self) -> AppliedPca:
        """The run that fitted the components, even if this run applied them too."""
        return self.pca.applied or AppliedPca(uri=self.run.uri, id=self.run.record.id, sha256=self.sha256)

    def check_settings(self, config: Config) -> None:
        """Raise ModelError if a run's features are not comparable by its settings: known before its model is exported."""
        model = config.model
        if model.exported is not None or model.architecture in ("file", "patch_mean"):
            return
        known: dict[str, Any] = {f"model.{key}": getattr(model, key) for key in KNOWN_EARLY}
        self.check_model(replace(self.run.plan, features={**self.run.plan.features, **known}))

    def check_model(self, plan: RunPlan) -> None:
        """Raise ModelError if the features of a run with this plan are not comparable."""
        differing = model_differences(self.run.plan, plan)
        if differing:
            raise ModelError(
                f"The components of {self.run.uri} are for other features: {differing}.",
                "Leave these settings out, so that they are taken from that run, or fit a new PCA: fruitscale run",
            )


def configured_pca(config: Config, access: StorageAccess) -> FittedPca | None:
    """Return the components that `pca.run` names; None if the run fits its own.

    Raises InputError or OutputError if there is no such complete run.
    """
    return None if config.pca.run is None else open_fitted_pca(config.pca.run, access)


def open_fitted_pca(uri: str, access: StorageAccess) -> FittedPca:
    """Return the components of a complete run. Raises what `open_complete` raises."""
    run = open_complete(uri, access)
    content = run.read_components()
    return FittedPca(run, Components.from_bytes(content), hashlib.sha256(content).hexdigest())


def inherited_settings(uri: str, access: StorageAccess) -> InheritedSettings:
    """Return the settings of a complete run that runs applying its PCA share."""
    return _inherited(open_complete(uri, access))


def applied_config(
    uri: str,
    given: Given | None,
    access: StorageAccess,
    sets: Sequence[str] = (),
    flags: Mapping[str, object] | None = None,
) -> LoadedConfig:
    """Return the config of a run that applies the PCA of the run at `uri`, with the source of each value.

    `given`, `sets` and `flags` are those of `config.loading.load`; model settings that they leave out are taken from the
    run. Raises UsageError if any of them sets pca.components or pca.standardize to something else than the run has.
    """
    flags = {**(flags or {}), "pca.run": uri}
    reference = open_complete(uri, access)
    if isinstance(given, Config):
        explicit = {f"pca.{name}": "the Config" for name in given.pca.model_fields_set}
        set_flags = {key: value for key, value in flags.items() if value is not None}
        loaded = load(given.model_dump(mode="json"), sets, set_flags)
    else:
        loaded = load(given, sets, flags, _inherited(reference))
        explicit = {key: source for key, source in loaded.sources.items() if source != "default"}
    for name in ("components", "standardize"):
        key, value, fitted = f"pca.{name}", getattr(loaded.config.pca, name), reference.plan.pca[f"pca.{name}"]
        if key in explicit and value != fitted:
            raise UsageError(
                f"{key} can't be set to {value} (from {explicit[key]}): the components are those of {uri} ({fitted}).",
                f"Leave {key} out, or fit a new PCA: fruitscale run",
            )
    return loaded


def _inherited(run: CompleteRun) -> InheritedSettings:
    return InheritedSettings(run.uri, {key: value for key, value in leaves(run.plan.config) if _is_inherited(key)})


def _is_inherited(key: str) -> bool:
    return any(f"{key}.".startswith(f"{part}.") for part in INHERITED)
