"""What runs share: folders, commands and the environment of each process."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.peers.contestants import Contestant, JobName
from fruitscale.runs import run_folder

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
CONFIG = ROOT / "configs" / "quickstart.yaml"
QUIET = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "DAFT_ANALYTICS_ENABLED": "0",
    "DO_NOT_TRACK": "1",
    "DAFT_PROGRESS_BAR": "0",
    "TF_CPP_MIN_LOG_LEVEL": "3",
    "CUDA_VISIBLE_DEVICES": "-1",
    "KERAS_BACKEND": "tensorflow",
}
"""No usage reports, no bars, no GPU."""
BLAS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
TENSORFLOW = ("TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS")


@dataclass(frozen=True)
class Ground:
    """Where runs are made, and with what. `components` is how many a PCA keeps, in each job."""

    work: Path
    python: Path
    java_home: str | None
    slots: int
    timeout_seconds: float
    components: dict[JobName, int]
    settings: Sequence[str] = ()
    """Of fruitscale's configuration, as KEY=VALUE: which network, say. Peers get the same."""

    @property
    def photos(self) -> Path:
        """The folder of photos."""
        return self.work / "photos"

    @property
    def model(self) -> Path:
        """The folder of the model's files."""
        return self.work / "model"

    @property
    def cache(self) -> Path:
        """Where fruitscale keeps its exported model."""
        return self.work / "cache"

    def parts(self, *, ours: bool) -> Path:
        """The folder of the matrix's parts."""
        return self.work / ("ours" if ours else "theirs") / run_folder.FEATURES


def environment(ground: Ground, contestant: Contestant) -> dict[str, str]:
    """Return the environment of a run: one thread a process, or, where there is but one process, one a slot."""
    threads = 1 if contestant.processes else ground.slots
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "SPARK", "PYSPARK"))}
    return {
        **kept,
        **QUIET,
        **dict.fromkeys(BLAS, str(threads)),
        **dict.fromkeys(TENSORFLOW, "1"),
        **({"JAVA_HOME": ground.java_home} if ground.java_home else {}),
        "PYTHONPATH": str(ROOT),
        "PYSPARK_PYTHON": sys.executable if contestant.ours else str(ground.python),
        "XDG_CACHE_HOME": str(ground.cache),
        "RAY_TMPDIR": str(ground.work),
    }


def command(ground: Ground, contestant: Contestant, output: Path) -> list[str]:
    """Return the command of a run."""
    if contestant.module is None:
        return run_command(ground, contestant.variant, output)
    python = Path(sys.executable) if contestant.ours else ground.python
    folder = ground.photos if contestant.job == "featurize" else ground.parts(ours=contestant.ours)
    options = {
        "input": folder,
        "output": output,
        "model": ground.model,
        "slots": ground.slots,
        "components": ground.components[contestant.job],
        "variant": contestant.variant,
    }
    told = [f"--{name}={value}" for name, value in options.items()]
    return [str(python), "-m", f"benchmarks.peers.{contestant.module}", *told]


def run_command(ground: Ground, engine: str, output: Path) -> list[str]:
    """Return fruitscale's own command, as a user types it."""
    settings = [
        *ground.settings,
        f"slots={ground.slots}",
        f"pca.components={ground.components['featurize']}",
        "report=false",
    ]
    return [
        sys.executable, "-m", "fruitscale", "run", "--quiet", "--json", "--engine", engine,
        "--config", str(CONFIG), "--input", str(ground.photos), "--output", str(output),
        *(word for setting in settings for word in ("--set", setting)),
    ]  # fmt: skip
