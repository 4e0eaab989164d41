"""Runs jobs that need TensorFlow, ONNX or NNCF in a child process, which ends when its parent does.

`run` is the parent's side, `main` the child's. They exchange files in a folder: the parent writes `model.json`, the child
its results or `error.json`.
"""

from __future__ import annotations

import importlib
import importlib.util
import json
import sys
from collections.abc import Callable
from pathlib import Path

from fruitscale import processes
from fruitscale.config.schema import Model
from fruitscale.errors import MissingExtraError, ModelError
from fruitscale.kernels import cpu_kind

JOBS = {
    "export": "fruitscale.model.exported_model:convert",
    "check": "fruitscale.model.check:recognise",
    "quantize": "fruitscale.model.nncf_process:quantize",
}
NEEDS = {"quantize": ("nncf", "NNCF", "int8")}
"""The library that a job needs instead of TensorFlow: its module, its name and the extra that installs it."""
ENVIRONMENT = {
    "CUDA_VISIBLE_DEVICES": "-1",
    "TF_CPP_MIN_LOG_LEVEL": "3",
    "KERAS_BACKEND": "tensorflow",
}
PORTABLE = {cpu_kind.CAPS[0]: cpu_kind.PORTABLE, "OMP_NUM_THREADS": "1"}
"""In addition for quantize: its result depends neither on the CPU nor on the number of cores."""


def run(job: str, model: Model, folder: Path) -> None:
    """Run one of JOBS in a child. Raises its error: ModelError, or MissingExtraError without its library.

    A network that comes as a file needs the libraries of its format instead of TensorFlow.
    """
    module, what, extra = NEEDS.get(job, ("tensorflow", "TensorFlow", "tensorflow"))
    is_needed = job in NEEDS or model.architecture != "file"
    if is_needed and importlib.util.find_spec(module) is None:
        raise MissingExtraError(what, extra)
    (folder / "model.json").write_text(model.model_dump_json(), encoding="utf-8")
    log = folder / "log.txt"
    with log.open("wb") as output:
        child = processes.start(
            "fruitscale.model.keras_process",
            [job, str(folder)],
            output=output,
            environment=ENVIRONMENT | (PORTABLE if job in NEEDS else {}),
            removes=folder,
        )
        try:
            code = child.wait()
        finally:
            processes.stop(child)
    if code != 0:
        raise _failure(folder, log.read_text(encoding="utf-8", errors="replace"), code)


def _failure(folder: Path, log: str, code: int) -> Exception:
    error_path = folder / "error.json"
    if error_path.is_file():
        error = json.loads(error_path.read_text(encoding="utf-8"))
        return MissingExtraError(*error["extra"]) if "extra" in error else ModelError(error["message"], error["hint"])
    last = "\n".join(f"  {line}" for line in log.strip().splitlines()[-8:])
    return ModelError(f"The model could not be exported; the exporting process ended with {code}:\n{last}")


def main(job: str, folder: Path) -> int:
    """Run a job, in the child; return the exit code."""
    module, _, name = JOBS[job].partition(":")
    function: Callable[[Model, Path], None] = getattr(importlib.import_module(module), name)
    try:
        function(Model.model_validate_json((folder / "model.json").read_text(encoding="utf-8")), folder)
    except MissingExtraError as error:
        return _write_error(folder, {"extra": error.args})
    except ModelError as error:
        return _write_error(folder, {"message": error.message, "hint": error.hint})
    return 0


def _write_error(folder: Path, error: dict[str, object]) -> int:
    (folder / "error.json").write_text(json.dumps(error), encoding="utf-8")
    return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], Path(sys.argv[2])))
