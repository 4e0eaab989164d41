"""Features of one run from different kinds of CPU: recorded, and warned of or refused (model.cpu)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from fruitscale.config.schema import Config
from fruitscale.errors import EngineError
from fruitscale.kernels import cpu_kind
from fruitscale.stages import ShardReport

DIFFERENCE = "Features of different kinds can differ: in f32 by about 1e-5, in bf16 and int8 by a few percent."


@dataclass
class CpuKinds:
    """The kinds of CPU that computed a run's features: `kept` before this start, `known` in all, in order of appearance."""

    rule: str
    kept: tuple[str, ...]
    known: list[str] = field(default_factory=list)

    @property
    def only_allowed(self) -> str | None:
        """The one kind that workers may be, if the run must not mix kinds and has parts."""
        return self.kept[0] if self.rule == "same" and self.kept else None

    def at_start(self, local: tuple[str, ...]) -> tuple[str, ...]:
        """Return the kinds to record before the workers, on this machine, report theirs: it may be killed until then."""
        return self.kept if self.only_allowed else tuple(dict.fromkeys([*self.kept, *local]))

    def add(self, report: ShardReport, kept_photos: int, warn: Callable[[str], None]) -> bool:
        """Add the kind of a report; return whether it is new. Raises EngineError if it may not be mixed with the others."""
        kind = report.cpu
        if not kind or kind in self.known:
            return False
        others = ", ".join(self.known)
        self.known.append(kind)
        if not others:
            return True
        if self.rule == "same":
            raise EngineError(
                f"The workers are of different kinds ({others} and {kind}), but model.cpu is same.",
                "Use machines of one kind, and --overwrite; or set model.cpu to portable or any.",
            )
        computed = f"{kept_photos:,} photos of this run were" if kept_photos else "Photos of this run were"
        warn(
            f"{computed} computed on {others}, others are on {kind}. {DIFFERENCE} model.cpu: portable avoids this, and same "
            "refuses it."
        )
        return True


def cpu_kinds(config: Config, kept: tuple[str, ...]) -> CpuKinds:
    """Return the kinds of a run that keeps features of the kinds `kept`."""
    return CpuKinds(config.model.cpu, kept, list(kept))


def driver_kind(config: Config, is_remote: bool) -> tuple[str, ...]:
    """Return the kind of this machine, if the workers run on it and compute with OpenVINO."""
    if is_remote or config.model.runtime != "openvino" or config.model.architecture == "patch_mean":
        return ()
    return (cpu_kind.portable_kind() if config.model.cpu == "portable" else cpu_kind.cpu_kind(),)
