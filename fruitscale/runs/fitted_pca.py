"""The components of an earlier run, for new photos that must land in the same space."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from fruitscale.config.loading import InheritedSettings, leaves
from fruitscale.config.schema import Config, Storage
from fruitscale.errors import ModelError
from fruitscale.kernels.moments import Components
from fruitscale.runs.fingerprints import APPLIED, model_differences
from fruitscale.runs.reader import CompleteRun, open_complete
from fruitscale.runs.record import AppliedPca, PcaRecord
from fruitscale.runs.run_folder import RunPlan

INHERITED = ("model", "images.exif_orientation")
"""Settings of an earlier run that hold for photos that must land in its space, unless they are said otherwise."""


@dataclass(frozen=True)
class FittedPca:
    """A complete run's components; `sha256` is that of its pca.npz."""

    run: CompleteRun
    fitted: Components
    sha256: str

    @property
    def facts(self) -> Mapping[str, Any]:
        """What a run that takes these components depends on."""
        asked = self.run.plan.pca
        return {key: asked[key] for key in ("pca.components", "pca.standardize")} | {APPLIED: self.sha256}

    @property
    def pca(self) -> PcaRecord:
        """What the run's record says of them."""
        return self.run.record.pca

    @property
    def applied(self) -> AppliedPca:
        """Where they come from: the run that fitted them, also when it is through another one that took them."""
        return self.pca.applied or AppliedPca(uri=self.run.uri, id=self.run.record.id, sha256=self.sha256)

    def check_model(self, plan: RunPlan) -> None:
        """Raise ModelError when a run of this plan has its features in another space."""
        differing = model_differences(self.run.plan, plan)
        if differing:
            raise ModelError(
                f"The components of {self.run.uri} are for other features: {differing}.",
                "Leave these settings out, so that they are that run's; or fit anew: fruitscale run",
            )


def configured_pca(config: Config) -> FittedPca | None:
    """Return the components that a configuration takes from an earlier run; None where it fits its own.

    Raises InputError or OutputError when there is no such run, or it is not complete.
    """
    return None if config.pca.run is None else open_fitted_pca(config.pca.run, config.storage)


def open_fitted_pca(uri: str, storage: Storage | None = None) -> FittedPca:
    """Return the components of a complete run; `storage` says how to reach one on S3."""
    run = open_complete(uri, storage)
    content = run.read_components()
    return FittedPca(run, Components.from_bytes(content), hashlib.sha256(content).hexdigest())


def inherited_settings(uri: str, storage: Storage | None = None) -> InheritedSettings:
    """Return what of a complete run's settings its successors must have too; `storage` says how to reach it on S3."""
    had = open_complete(uri, storage).plan.config
    return InheritedSettings(uri, {key: value for key, value in leaves(had) if _is_inherited(key)})


def _is_inherited(key: str) -> bool:
    return any(f"{key}.".startswith(f"{part}.") for part in INHERITED)
