"""The recommended config: the given one, or the reference's settings, with the recommended candidate's model."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

from fruitscale.config.filled_file import fill
from fruitscale.config.regular_files import read_config
from fruitscale.tuning.tuning_results import Tuning

MARK = "# By fruitscale tune"


def is_ours(path: Path) -> bool:
    """Return whether a file is a config that `write` wrote."""
    return read_config(path).startswith(MARK.encode())


def write(tuning: Tuning, given: Path | None, target: Path) -> None:
    """Write the recommended config: `given` with its comments, or a new file. Raises UsageError or OSError."""
    text = "" if given is None else read_config(given).decode()
    chosen = tuning.recommended.candidate
    settings = {f"model.{key}": value for key, value in asdict(chosen).items()}
    target.write_text(f"{_comment(tuning)}\n{fill(text, settings)}", encoding="utf-8")


def _comment(tuning: Tuning) -> str:
    best, default = tuning.recommended, tuning.reference
    lines = [
        f"{MARK[2:]}, {tuning.date}, {tuning.cpu} ({', '.join(tuning.cpu_features)}), {tuning.photos:,} photos:",
        f"{best.ms_per_photo:.2f} ms per photo and core, before {default.ms_per_photo:.2f};",
        f"{tuning.measure} {best.quality:.1%}, before {default.quality:.1%} ({tuning.how}).",
    ]
    return "\n".join(f"# {line}" for line in lines)
