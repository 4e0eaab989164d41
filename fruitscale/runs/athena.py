"""Writes the SQL that creates Athena tables (in Glue's catalog) for a run's features and components, in place."""

from __future__ import annotations

import re

from fruitscale.config.schema import Storage
from fruitscale.errors import UsageError
from fruitscale.runs.reader import COLUMNS, open_complete
from fruitscale.storage.residency import StorageAccess
from fruitscale.uris import is_s3

LONGEST = 100
"""Longest name of a table: Athena's limit is 128 characters, with what we append."""
TABLE = """\
CREATE EXTERNAL TABLE IF NOT EXISTS `{name}` (
  `path` string,
  `label` string,
  `{column}` array<float>
)
STORED AS PARQUET
LOCATION '{location}'
TBLPROPERTIES ('classification' = 'parquet', 'parquet.compression' = 'ZSTD');
"""


def statements(uri: str, storage: Storage | None = None) -> str:
    """Return one CREATE EXTERNAL TABLE statement for the features of a complete run on S3, and one for its components.

    Raises UsageError if the run is not on S3, InputError or OutputError if there is no complete run.
    """
    if not is_s3(uri):
        raise UsageError(
            f"{uri} is not on S3, and Athena reads only from S3.", "Copy the run to s3://bucket/prefix first."
        )
    run = open_complete(uri, StorageAccess(storage))
    folder = uri.rstrip("/")
    return "\n".join(
        TABLE.format(name=f"{table_name(folder)}_{place}", column=column, location=_quoted(f"{folder}/{place}/"))
        for place, column in COLUMNS.items()
        if any(name.startswith(f"{place}/") for name in run.record.files)
    )


def table_name(folder: str) -> str:
    """Return a table's name for a run folder: its last part, in characters that Athena accepts."""
    name = re.sub(r"\W+", "_", folder.rpartition("/")[2].lower(), flags=re.ASCII).strip("_")[:LONGEST]
    return name if name[:1].isalpha() else f"run_{name}".rstrip("_")


def _quoted(text: str) -> str:
    return text.replace("\\", "\\\\").replace("'", "\\'")
