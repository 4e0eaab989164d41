"""The components of an earlier run, for new photos that must land in the same space."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from fruitscale.config import Config, Earlier, Storage, leaves
from fruitscale.errors import ModelError
from fruitscale.fingerprints import APPLIED, model_differences
from fruitscale.kernels.moments import Components
from fruitscale.record import Applied, Pca
from fruitscale.storage.complete import CompleteRun, open_complete
from fruitscale.storage.run_folder import Plan

INHERITED = ("model", "images.exif_orientation")
"""Settings of an earlier run that hold for photos that must land in its space, unless they are said otherwise."""


@dataclass(frozen=True)
class Basis:
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
    def pca(self) -> Pca:
        """What the run's record says of them."""
        return self.run.record.pca

    @property
    def applied(self) -> Applied:
        """Where they come from: the run that fitted them, also when it is through another one that took them."""
        return self.pca.applied or Applied(uri=self.run.uri, id=self.run.record.id, sha256=self.sha256)

    def check_model(self, plan: Plan) -> None:
        """Raise ModelError when a run of this plan has its features in another space."""
        differing = model_differences(self.run.plan, plan)
        if differing:
            raise ModelError(
                f"The components of {self.run.uri} are for other features: {differing}.",
                "Leave these settings out, so that they are that run's; or fit anew: fruitscale run",
            )


def read_basis(config: Config) -> Basis | None:
    """Return the components that a configuration takes from an earlier run; None where it fits its own.

    Raises InputError or OutputError when there is no such run, or it is not complete.
    """
    return None if config.pca.run is None else open_basis(config.pca.run, config.storage)


def open_basis(uri: str, storage: Storage | None = None) -> Basis:
    """Return the components of a complete run; `storage` says how to reach one on S3."""
    run = open_complete(uri, storage)
    content = run.read_components()
    return Basis(run, Components.from_bytes(content), hashlib.sha256(content).hexdigest())


def earlier_settings(uri: str, storage: Storage | None = None) -> Earlier:
    """Return what of a complete run's settings its successors must have too; `storage` says how to reach it on S3."""
    had = open_complete(uri, storage).plan.config
    return Earlier(uri, {key: value for key, value in leaves(had) if _is_inherited(key)})


def _is_inherited(key: str) -> bool:
    return any(f"{key}.".startswith(f"{part}.") for part in INHERITED)
