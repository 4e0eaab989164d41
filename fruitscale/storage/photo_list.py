"""Reads a list of photos: CSV, as Excel and its relatives write it, too, or Parquet."""

from __future__ import annotations

import codecs
import csv
import io
import os
import re
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, NamedTuple

from fruitscale.config.schema import Storage
from fruitscale.errors import InputError
from fruitscale.storage.parquet import decode
from fruitscale.storage.store import open_store

if TYPE_CHECKING:
    import pyarrow as pa

_DELIMITERS = (",", ";", "\t", "|")
_UTF_16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
_EXCEL = "In Excel, save it as “CSV UTF-8”."
_WORKBOOKS = (b"PK\x03\x04", b"\xd0\xcf\x11\xe0")


class ListRow(NamedTuple):
    """A row of a list; `label` is None for no label, and counts only if the list has labels."""

    path: str
    label: str | None


class PhotoList(NamedTuple):
    """A list's rows, and whether it has a column `label`."""

    rows: Iterator[ListRow]
    has_labels: bool


def read_list(uri: str, storage: Storage) -> PhotoList:
    """Read a list. Raises InputError if it can't be used, with what to do."""
    import pyarrow as pa

    folder, name = os.path.split(uri)
    content = open_store(folder or ".", storage).read(name)
    try:
        is_parquet = name.lower().endswith(".parquet")
        table = decode(content).read(use_threads=False) if is_parquet else _read_csv(uri, content)
        columns = _columns(uri, table.column_names)
        paths = table.column(columns["path"]).to_pylist()
        labels = table.column(columns["label"]).to_pylist() if "label" in columns else [None] * len(paths)
    except (pa.ArrowException, OSError, ValueError, KeyError, csv.Error) as error:
        if isinstance(error, UnicodeDecodeError):
            reason = f"it is not {error.encoding} text"
        else:
            reason = str(error).strip("'").splitlines()[0]
        raise InputError(f"The list {uri} can't be read: {reason}", f"Give CSV or Parquet. {_EXCEL}") from None
    return PhotoList(_rows(uri, paths, labels), "label" in columns)


def _rows(uri: str, paths: Sequence[object], labels: Sequence[object]) -> Iterator[ListRow]:
    for number, (path, label) in enumerate(zip(paths, labels, strict=True), 1):
        if path is None or path == "":
            raise InputError(f"The list {uri} has no path in row {number}.", "Remove the row, or name its photo.")
        yield ListRow(normalized(str(path)), label if label is None else str(label))


def normalized(path: str) -> str:
    """Return a path without empty segments and `.`, as the listing has it: `./a//b` is `a/b`."""
    if "//" not in path and "./" not in path and path[-1:] != "/" and path[-2:] != "/.":
        return path
    leading = "/" if path.startswith("/") else ""
    return leading + "/".join(part for part in path.split("/") if part not in ("", "."))


def _columns(uri: str, names: Sequence[str]) -> dict[str, int]:
    """Return the positions of `path` and `label`, whatever spaces and capitals their names are written with."""
    columns: dict[str, int] = {}
    for position, name in enumerate(names):
        plain = name.strip().casefold()
        if plain not in ("path", "label"):
            continue
        if plain in columns:
            raise InputError(f"The list {uri} can't be read: it has two columns `{plain}`.", "Remove one of them.")
        columns[plain] = position
    if "path" not in columns:
        raise InputError(f"The list {uri} has no column `path`.", f"It has: {', '.join(names)}.")
    return columns


def _read_csv(uri: str, content: bytes) -> pa.Table:
    import pyarrow as pa
    from pyarrow import csv as arrow_csv

    content = _as_utf_8(uri, content)
    header, _, _ = content.partition(b"\n")
    if header.strip().lower().startswith(b"sep=") and len(header.strip()) == len(b"sep=;"):
        content = content[len(header) + 1 :]
        header, _, _ = content.partition(b"\n")
    delimiter = _delimiter(header.decode())
    if _has_spaced_names(header.decode(), delimiter):  # then its values follow spaces, too
        return _read_spaced(content.decode(), delimiter)
    names = next(csv.reader([header.decode().rstrip("\r\n")], delimiter=delimiter), [])
    return arrow_csv.read_csv(
        pa.BufferReader(content),
        arrow_csv.ReadOptions(use_threads=False),
        arrow_csv.ParseOptions(delimiter=delimiter, newlines_in_values=True),
        arrow_csv.ConvertOptions(column_types=dict.fromkeys(names, pa.string())),
    )


def _as_utf_8(uri: str, content: bytes) -> bytes:
    """Return the text as UTF-8 without a byte order mark. Raises InputError if it is in an encoding that nothing names."""
    if content.startswith(_WORKBOOKS):
        raise InputError(f"The list {uri} is an Excel workbook, not CSV.", _EXCEL)
    if content.startswith(_UTF_16):
        return content.decode("utf-16").encode()
    content = content.removeprefix(codecs.BOM_UTF8)
    try:
        content.decode()
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise InputError(f"The list {uri} can't be read: line {line} is not UTF-8 text.", _EXCEL) from None
    if b"\0" in content[:2]:  # UTF-16 without its mark
        raise InputError(f"The list {uri} can't be read: it is not UTF-8 text.", _EXCEL)
    return content


def _delimiter(header: str) -> str:
    """Return the delimiter with which the header has a column `path`; a comma if none has."""

    def has_path(delimiter: str) -> bool:
        return any(name.strip().strip('"').strip().casefold() == "path" for name in header.split(delimiter))

    return next((delimiter for delimiter in _DELIMITERS if delimiter in header and has_path(delimiter)), ",")


def _has_spaced_names(header: str, delimiter: str) -> bool:
    names = header.rstrip("\r\n").split(delimiter)
    return any(name != name.strip(" ") for name in names)


def _read_spaced(text: str, delimiter: str) -> pa.Table:
    import pyarrow as pa

    text = re.sub(rf'"[ ]+(?={re.escape(delimiter)}|\r?\n|\Z)', '"', text)
    rows = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, skipinitialspace=True, strict=True)
    names = next(rows)
    values: list[list[str]] = [[] for _ in names]
    for row in rows:
        if not row:
            continue
        if len(row) != len(names):
            raise ValueError(f"Expected {len(names)} columns, got {len(row)} in line {rows.line_num}")
        for column, value in zip(values, row, strict=True):
            column.append(value.strip(" "))
    return pa.Table.from_arrays([pa.array(column, pa.string()) for column in values], names)
