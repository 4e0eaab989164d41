"""The files of a tuning: the recommended config, the page and the data."""

from __future__ import annotations

import json
from pathlib import Path

from fruitscale.errors import MissingExtraError, OutputError
from fruitscale.tuning import tune_page, tuned_config
from fruitscale.tuning.tuning_results import Tuning

CONFIG, DATA, PAGE = "tuned.yaml", "tune.json", "tune.html"


def check_folder(folder: Path) -> None:
    """Create the folder now, rather than fail after minutes. Raises OutputError, also if it has a file of somebody else."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"{folder} can't be created: {error.strerror}.", "Choose another --output.") from None
    config = folder / CONFIG
    if config.exists() and not tuned_config.is_ours(config):
        raise OutputError(f"{config} was not written by fruitscale tune.", "Choose another --output.")


def write_files(tuning: Tuning, given: Path | None, folder: Path) -> list[Path]:
    """Write tuned.yaml, tune.json and, with Bokeh, tune.html; return their paths. Raises OutputError."""
    config, data, page = (folder / name for name in (CONFIG, DATA, PAGE))
    try:
        tuned_config.write(tuning, given, config)
        data.write_text(json.dumps(tuning.to_json(), indent=2) + "\n", encoding="utf-8")
        page.write_bytes(tune_page.make_tune_page(tuning))
    except MissingExtraError:
        return [config, data]
    except OSError as error:
        raise OutputError(f"{error.filename} can't be written: {error.strerror}.", "Choose another --output.") from None
    return [config, page, data]
