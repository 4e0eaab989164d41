"""The names of Athena's tables, and what it can't read."""

from __future__ import annotations

from pathlib import Path

import pytest

from fruitscale.errors import UsageError
from fruitscale.runs import athena
from tests.conftest import Cli


@pytest.mark.parametrize(
    ("folder", "name"),
    [
        ("s3://bucket/runs/First-Run.2", "first_run_2"), ("s3://bucket/2026-01-31", "run_2026_01_31"),
        ("s3://bucket/Pommes d'été", "pommes_d_t"), ("s3://bucket/été`; DROP", "t_drop"), ("s3://bucket/\u00e9", "run"),
        ("s3://bucket/" + "a" * 200, "a" * 100),
    ],
)  # fmt: skip
def test_a_table_is_named_after_its_run(folder: str, name: str) -> None:
    assert athena.table_name(folder) == name


def test_a_folder_on_disk_is_refused(cli: Cli, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="Athena reads only from S3"):
        athena.statements(str(tmp_path))
    refused = cli("export", "s3://bucket/run", "--to", "athena", "-o", tmp_path / "x.sql")
    assert (refused.code, "it prints SQL" in refused.err) == (2, True)
