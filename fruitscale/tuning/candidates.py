"""The candidates: network × input size × precision × photos per call, as far as they can run here."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields
from itertools import product
from typing import cast

from fruitscale.config.schema import Architecture, Model, Precision
from fruitscale.errors import ModelError
from fruitscale.kernels import cpu_kind
from fruitscale.model import weights
from fruitscale.model.architectures import NETWORKS

SIZES = (96, 128, 160, 192, 224)
PER_CALL = (1, 4)
"""Photos per call: a group is faster in bf16 and int8, and no faster in f32."""


@dataclass(frozen=True)
class Candidate:
    """One way to compute features; the fields are keys of the config's model section."""

    architecture: Architecture
    weights: str
    input_size: int
    precision: Precision
    photos_per_call: int

    @classmethod
    def of(cls, model: Model) -> Candidate:
        """Return the candidate that a config describes."""
        return cls(**{field.name: getattr(model, field.name) for field in fields(cls)})

    def applied_to(self, model: Model) -> Model:
        """Return a model section with this candidate's settings."""
        return model.model_copy(update={field.name: getattr(self, field.name) for field in fields(self)})

    def __str__(self) -> str:
        group = f", {self.photos_per_call} photos per call" if self.photos_per_call > 1 else ""
        return f"{self.architecture}, {self.input_size} px, {self.precision}{group}"


@dataclass(frozen=True)
class Wanted:
    """What to try; None: all that can run here."""

    networks: Sequence[str] | None = None
    sizes: Sequence[int] | None = None
    precisions: Sequence[Precision] | None = None


@dataclass(frozen=True)
class Grid:
    """The candidates, the configured one first; `missing` says why others can't be tried, and what to do."""

    candidates: tuple[Candidate, ...]
    missing: tuple[str, ...]

    @property
    def reference(self) -> Candidate:
        """The configured candidate."""
        return self.candidates[0]


def make_grid(model: Model, wanted: Wanted) -> Grid:
    """Return the candidates for a configured model. Raises ModelError if its own weights are unavailable."""
    weights.resolve(model)
    networks, missing = _networks(model, wanted.networks)
    precisions, unsupported = _precisions(wanted.precisions)
    sizes = sorted({*(wanted.sizes or SIZES)})
    tried = [
        Candidate(name, source, size, precision, group)
        for (name, source), size, precision in product(networks, sizes, precisions)
        for group in (PER_CALL[:1] if precision == "f32" else PER_CALL)
    ]
    return Grid(tuple(dict.fromkeys([Candidate.of(model), *tried])), (*missing, *unsupported))


def _networks(model: Model, wanted: Sequence[str] | None) -> tuple[list[tuple[Architecture, str]], list[str]]:
    """Return the networks whose weights are here, with the weights' names, and why the others are left out."""
    found: list[tuple[Architecture, str]] = []
    missing = []
    own = [model.architecture] if wanted is None else []
    for name in cast("Iterable[Architecture]", dict.fromkeys([*own, *(wanted or NETWORKS)])):
        sources = (model.weights,) if name == model.architecture else ("packaged", "imagenet")
        source = next((source for source in sources if _has_weights(name, source)), None)
        if source is not None:
            found.append((name, source))
        elif name != model.architecture:
            missing.append(name)
    return found, _how_to_get(missing)


def _has_weights(architecture: Architecture, source: str) -> bool:
    try:
        found = weights.resolve(Model(architecture=architecture, weights=source))
    except ModelError:
        return False
    return found.kind in ("random", "none") or found.path is not None


def _how_to_get(names: Sequence[str]) -> list[str]:
    if not names:
        return []
    return [
        f"{', '.join(names)}: the weights are not here. On a machine with network access, `fruitscale model export --set "
        f"model.architecture={names[0]}` downloads them to ~/.keras/models."
    ]


def _precisions(wanted: Sequence[Precision] | None) -> tuple[list[Precision], list[str]]:
    found: list[Precision] = ["f32"] if wanted is None or "f32" in wanted else []
    missing = []
    if wanted is None or "bf16" in wanted:
        if cpu_kind.can_bf16():
            found.append("bf16")
        else:
            missing.append("bf16: this CPU can't compute in it (it needs AVX-512 BF16 or AMX).")
    if wanted is None or "int8" in wanted:
        if importlib.util.find_spec("nncf") is not None:
            found.append("int8")
        else:
            missing.append("int8: NNCF is not installed. Install it with pip install 'fruitscale[int8]'.")
    return found, missing
