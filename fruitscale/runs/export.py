"""Exports a run for other programs: CSV, NumPy npz, one Parquet file, or TensorBoard's projector."""

from __future__ import annotations

import json
import math
import os
import tempfile
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from fruitscale.config.schema import Storage
from fruitscale.errors import OutputError, StorageError, UsageError
from fruitscale.kernels.images import encode_png
from fruitscale.runs import arrow
from fruitscale.runs.photos import read_pixels, why_unreadable
from fruitscale.runs.reader import CompleteRun, open_complete
from fruitscale.runs.tables import Column, read_table
from fruitscale.storage.removal import check_replaceable, replace
from fruitscale.storage.residency import StorageAccess
from fruitscale.storage.scratch import ScratchFolder
from fruitscale.uris import is_s3, local_path

if TYPE_CHECKING:
    import pyarrow as pa

Format: TypeAlias = Literal["csv", "npz", "parquet", "tensorboard"]
SPRITE_PIXELS = 8192
"""Largest side of TensorBoard's sprite image, in pixels."""
THUMBNAIL_PIXELS = 64
"""Largest side of a thumbnail in it."""
PROJECTOR_FILES = frozenset({"tensors.tsv", "metadata.tsv", "sprite.png", "projector_config.pbtxt"})
"""The files of an export for TensorBoard: a folder with any other file is never replaced."""

REPLACE_HINT = "Choose another --output, or replace it with --overwrite."
FORMULA_STARTS = frozenset("=+-@\t\r\n＝＋－＠")
"""First characters of a cell that a spreadsheet takes for a formula."""


@dataclass(frozen=True)
class ExportResult:
    """The file or folder that was written; `notes` list in words what was left out."""

    path: str
    rows: int
    columns: int
    bytes: int
    notes: tuple[str, ...] = ()


def write(
    uri: str,
    to: Format,
    output: str | Path,
    column: Column = "components",
    storage: Storage | None = None,
    overwrite: bool = False,
) -> ExportResult:
    """Write a complete run's components or features to a file, on disk or S3 (tensorboard: to a folder on disk).

    csv has one column per number; npz the arrays `path`, `label` (empty if none) and the vectors; parquet the table
    that `read` returns. In csv and tensorboard, paths and labels that a spreadsheet would run as a formula (`=1+2`) begin
    with an apostrophe. Raises InputError or OutputError if there is no complete run, or `output` exists,
    ResidencyError if it is in a bucket outside the allowed regions.
    """
    if to not in WRITERS:
        raise UsageError(f"There is no format {to}.", f"Choose one of {', '.join(WRITERS)}.")
    access = StorageAccess(storage)
    publish = _in_store if is_s3(str(output)) else _on_disk
    with ExitStack() as held:
        made, commit = publish(str(output), to, access, held, overwrite=overwrite)
        run = open_complete(uri, access)
        table = read_table(run, column)
        try:
            notes = WRITERS[to](made, table, run, access)
            n_bytes = sum(file.stat().st_size for file in (made.iterdir() if made.is_dir() else [made]))
            commit()
        except OSError as error:
            raise StorageError(
                f"{output} can't be written: {error.strerror or error}.", "Choose another --output."
            ) from None
    return ExportResult(str(output), table.num_rows, table[column].type.list_size, n_bytes, notes)


Publication: TypeAlias = tuple[Path, Callable[[], None]]
"""Where an export is made, and the function that puts it in its place: whole or not at all."""


def _on_disk(output: str, to: Format, access: StorageAccess, held: ExitStack, *, overwrite: bool) -> Publication:
    target = local_path(output)
    if os.path.lexists(target) and not overwrite:
        raise OutputError(f"{target} exists already.", REPLACE_HINT)
    check_replaceable(target, PROJECTOR_FILES if to == "tensorboard" else ())
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StorageError(f"{target.parent} can't be created: {error.strerror}.", "Choose another --output.") from None
    folder = held.enter_context(tempfile.TemporaryDirectory(prefix=f".{target.name}-", dir=target.parent))
    made = Path(folder) / "made"
    return made, lambda: replace(made, target)


def _in_store(output: str, to: Format, access: StorageAccess, held: ExitStack, *, overwrite: bool) -> Publication:
    """Raises ResidencyError if the bucket is outside the allowed regions."""
    if to == "tensorboard":
        raise UsageError(
            "TensorBoard's projector reads files from a disk.", "Give a folder on this machine: --output FOLDER"
        )
    place, _, name = output.rpartition("/")
    if not name or len(place) <= len("s3://"):
        raise UsageError(f"{output} names no object.", f"Example: --output s3://bucket/components.{to}")
    store = access.open(place)
    if store.exists(name) and not overwrite:
        raise OutputError(f"{output} exists already.", REPLACE_HINT)
    made = held.enter_context(ScratchFolder("export")) / "made"
    return made, lambda: store.write(name, made.read_bytes())


def _write_csv(made: Path, table: pa.Table, run: CompleteRun, access: StorageAccess) -> tuple[str, ...]:
    import pyarrow as pa
    from pyarrow import csv

    vectors = values_of(table)
    names = [f"{table.column_names[-1]}_{number}" for number in range(vectors.shape[1])]
    texts = [pa.array(_defused(table[name]), pa.string()) for name in ("path", "label")]
    columns = [*texts, *(pa.array(column) for column in vectors.T)]
    csv.write_csv(pa.table(columns, ["path", "label", *names]), made)
    return ()


def _write_npz(made: Path, table: pa.Table, run: CompleteRun, access: StorageAccess) -> tuple[str, ...]:
    texts = {
        name: np.array([text or "" for text in table[name].to_pylist()], dtype=np.str_) for name in ("path", "label")
    }
    with made.open("wb") as file:
        np.savez(file, allow_pickle=False, **texts, **{table.column_names[-1]: values_of(table)})
    return ()


def _write_parquet(made: Path, table: pa.Table, run: CompleteRun, access: StorageAccess) -> tuple[str, ...]:
    import pyarrow.parquet as pq

    pq.write_table(table, made, compression="zstd", use_dictionary=["label"])
    return ()


def _write_tensorboard(made: Path, table: pa.Table, run: CompleteRun, access: StorageAccess) -> tuple[str, ...]:
    """Write the files of the embedding projector: `tensorboard --logdir FOLDER`, or its page's Load button.

    The format: https://github.com/tensorflow/tensorboard/blob/master/docs/tensorboard_projector_plugin.ipynb
    """
    made.mkdir()
    with (made / "tensors.tsv").open("w", encoding="utf-8") as file:
        np.savetxt(file, values_of(table), fmt="%.9g", delimiter="\t")
    paths = table["path"].to_pylist()
    cells = zip(_defused(table["label"]), _defused(table["path"]), strict=True)
    rows = [f"{_one_cell(label)}\t{_one_cell(path)}\n" for label, path in cells]
    (made / "metadata.tsv").write_text("label\tpath\n" + "".join(rows), encoding="utf-8")
    side, notes = _write_sprite(made, paths, run, access) if paths else (0, ())
    sprite = (
        f'  sprite {{ image_path: "sprite.png" single_image_dim: {side} single_image_dim: {side} }}\n' if side else ""
    )
    (made / "projector_config.pbtxt").write_text(
        "embeddings {\n"
        f"  tensor_name: {json.dumps(table.column_names[-1])}\n"
        '  tensor_path: "tensors.tsv"\n'
        '  metadata_path: "metadata.tsv"\n'
        f"{sprite}}}\n",
        encoding="utf-8",
    )
    return notes


def _write_sprite(made: Path, paths: list[str], run: CompleteRun, access: StorageAccess) -> tuple[int, tuple[str, ...]]:
    """Write the thumbnails as one square image; return the side of each in pixels (0: none) and notes."""
    if reason := why_unreadable(run):
        return 0, (f"without thumbnails: {reason}",)
    across = math.ceil(math.sqrt(len(paths)))
    side = min(THUMBNAIL_PIXELS, SPRITE_PIXELS // across)
    if side < 1:
        return 0, (f"without thumbnails: {len(paths):,} photos do not fit into one image",)
    pixels = read_pixels(run, paths, side, access)
    if pixels.missing == len(paths):
        return 0, (f"without thumbnails: none of the photos can be read in {run.record.input.uri}",)
    (made / "sprite.png").write_bytes(encode_png(mosaic(pixels.values, across)))
    return side, (
        (f"{pixels.missing:,} photos can't be read again: their thumbnails are white",) if pixels.missing else ()
    )


def mosaic(pixels: NDArray[np.uint8], across: int) -> NDArray[np.uint8]:
    """Return squares (n, side, side, 3) laid out in rows of `across` on a white square."""
    side = pixels.shape[1]
    page = np.full((across * across, side, side, 3), 255, np.uint8)
    page[: len(pixels)] = pixels
    return page.reshape(across, across, side, side, 3).swapaxes(1, 2).reshape(across * side, across * side, 3)


def values_of(table: pa.Table) -> NDArray[np.float32]:
    """Return the vectors in a table's last column: float32 (rows, width)."""
    return arrow.rows(table[table.column_names[-1]])


def _defused(column: pa.ChunkedArray) -> list[str | None]:
    """Return texts with an apostrophe before those that a spreadsheet would run as a formula, such as `=1+2`."""
    return [f"'{text}" if text and text[0] in FORMULA_STARTS else text for text in column.to_pylist()]


def _one_cell(text: str | None) -> str:
    return "" if text is None else " ".join(text.split())


Writer: TypeAlias = "Callable[[Path, pa.Table, CompleteRun, StorageAccess], tuple[str, ...]]"
WRITERS: Mapping[Format, Writer] = {
    "csv": _write_csv,
    "npz": _write_npz,
    "parquet": _write_parquet,
    "tensorboard": _write_tensorboard,
}
