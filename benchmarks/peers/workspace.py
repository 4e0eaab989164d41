"""Folders, commands and environment variables shared by all runs."""

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
"""No usage reports, no progress bars, no GPU."""
BLAS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
TENSORFLOW = ("TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS")


@dataclass(frozen=True)
class Workspace:
    """The working folder and the settings of all runs. `components` is the number of PCA components per job."""

    work: Path
    python: Path
    java_home: str | None
    slots: int
    timeout_seconds: float
    components: dict[JobName, int]
    settings: Sequence[str] = ()
    """fruitscale settings as KEY=VALUE, such as the network. Peers use the same network."""

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
        """The cache folder with fruitscale's exported model."""
        return self.work / "cache"

    def parts(self, *, ours: bool) -> Path:
        """The folder of the PCA input's parts."""
        return self.work / ("ours" if ours else "theirs") / run_folder.FEATURES


def environment(workspace: Workspace, contestant: Contestant) -> dict[str, str]:
    """Return the environment of a run: one thread per process, or one per slot for single-process tools."""
    threads = 1 if contestant.processes else workspace.slots
    inherited = {
        name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "SPARK", "PYSPARK"))
    }
    return {
        **inherited,
        **QUIET,
        **dict.fromkeys(BLAS, str(threads)),
        **dict.fromkeys(TENSORFLOW, "1"),
        **({"JAVA_HOME": workspace.java_home} if workspace.java_home else {}),
        "PYTHONPATH": str(ROOT),
        "PYSPARK_PYTHON": sys.executable if contestant.ours else str(workspace.python),
        "XDG_CACHE_HOME": str(workspace.cache),
        "RAY_TMPDIR": str(workspace.work),
    }


def command(workspace: Workspace, contestant: Contestant, output: Path) -> list[str]:
    """Return the command of a run."""
    if contestant.module is None:
        return run_command(workspace, contestant.variant, output)
    python = Path(sys.executable) if contestant.ours else workspace.python
    folder = workspace.photos if contestant.job == "featurize" else workspace.parts(ours=contestant.ours)
    options = {
        "input": folder,
        "output": output,
        "model": workspace.model,
        "slots": workspace.slots,
        "components": workspace.components[contestant.job],
        "variant": contestant.variant,
    }
    flags = [f"--{name}={value}" for name, value in options.items()]
    return [str(python), "-m", f"benchmarks.peers.{contestant.module}", *flags]


def run_command(workspace: Workspace, engine: str, output: Path) -> list[str]:
    """Return the `fruitscale run` command."""
    settings = [
        *workspace.settings,
        f"slots={workspace.slots}",
        f"pca.components={workspace.components['featurize']}",
        "report=false",
    ]
    return [
        sys.executable, "-m", "fruitscale", "run", "--quiet", "--json", "--engine", engine,
        "--config", str(CONFIG), "--input", str(workspace.photos), "--output", str(output),
        *(word for setting in settings for word in ("--set", setting)),
    ]  # fmt: skip
